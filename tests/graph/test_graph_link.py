"""Linking: inflected, respaced and mixed-script Korean finds the right node, everyday Korean finds none, and time is linear."""

import sys
import unicodedata
from itertools import pairwise

import pytest

from medllm.graph.link import Linker, name_key
from medllm.graph.store import Graph, Node


@pytest.fixture(scope="module")
def graph(whole_graph: Graph) -> Graph:
    return whole_graph


@pytest.fixture(scope="module")
def linker(graph: Graph) -> Linker:
    return Linker(graph)


def _linked(graph: Graph, linker: Linker, text: str) -> list[Node]:
    return [graph.nodes[mention.node_id] for mention in linker.link(text)]


def _has_name(node: Node, name: str) -> bool:
    return name_key(name) in map(name_key, node.names)


def _graph(**names: tuple[str, ...]) -> Graph:
    """A graph of disease nodes: id -> names."""
    nodes = {key: Node(id=key, kind="disease", name=forms[0], names=forms, source="s", reviewed=False) for key, forms in names.items()}
    return Graph(nodes=nodes, edges=(), facts=())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("당뇨가 있으신 어머니께서 요즘 힘들어하세요", ["당뇨병"]),
        ("당뇨 병원 추천해 주세요", ["당뇨병"]),
        ("당뇨 병은 왜 생기나요", ["당뇨병"]),
        ("아버지가 당뇨라서 걱정이에요", ["당뇨병"]),
        ("제가당뇨가있는데요", ["당뇨병"]),
        ("DM이 뭐예요?", ["당뇨병"]),
        ("Diabetes Mellitus란 무엇인가요", ["당뇨병"]),
        ("맹장염이래요", ["충수염"]),
        ("급성충수염은 어느 과에서 보나요", ["충수염"]),
        ("쓸개돌이 있다는데요", ["담석증"]),
        ("쓸개 돌이 있다는데요", ["담석증"]),
        ("명치를 누르면 답답해요", ["상복부"]),
        ("명치 통증이 심해요", ["상복부통증"]),
        ("간질을 앓았던 적이 있어요", ["뇌전증"]),
        ("예전에 정신분열병이라고 들었습니다", ["조현병"]),
        ("독감인지 감기인지 모르겠어요", ["인플루엔자", "감기"]),
        ("감기몸살로 누워 있어요", ["감기"]),
        ("독감에 걸렸다가 나은 뒤에 기침만 남았어요", ["인플루엔자", "기침"]),
        ("두통약을 먹어도 두통이 계속돼요", ["두통", "두통"]),
        ("기침하다가 가래까지 나와요", ["기침", "가래"]),
        ("흉부외과로 가라는데요", ["심장혈관흉부외과"]),
        ("비뇨기과랑 소아과는 어디 있어요", ["비뇨의학과", "소아청소년과"]),
        ("당화 혈색소가 높대요", ["당화혈색소"]),
        ("hba1c 수치가 8이에요", ["당화혈색소검사"]),
        ("공복혈당검사를 했습니다", ["공복혈당검사"]),
        ("골밀도는 왜 재나요", ["골밀도검사"]),
        ("타이레놀이랑 부루펜을 번갈아 먹나요", ["아세트아미노펜", "이부프로펜"]),
        ("메트포르민은 어떤 약인가요", ["메트포르민"]),
        ("암입니까?", ["악성종양"]),
        ("암 환자도 맞을 수 있나요", ["악성종양"]),
        ("무릎에 멍이 들었어요", ["반상출혈"]),
        ("무좀 때문에 가려움이 심해요", ["무좀", "가려움"]),
        ("어머니께서 중풍으로 쓰러지셨어요", ["뇌졸중"]),
        ("오십견에는 어떤 운동이 좋나요", ["유착성관절낭염"]),
        ("코피가 자주 나는데요", ["비출혈"]),
        ("목뼈와 허리뼈를 같이 찍었어요", ["경추", "요추"]),
        ("B형 간염 보균자예요", ["만성b형간염"]),
        ("COPD 환자입니다", ["만성폐쇄성폐질환"]),
        ("BP가 높게 나왔어요", ["혈압"]),
    ],
)
def test_inflected_sentences(graph: Graph, linker: Linker, text: str, expected: list[str]) -> None:
    nodes = _linked(graph, linker, text)
    assert len(nodes) == len(expected)
    assert all(map(_has_name, nodes, expected)), [node.name for node in nodes]


@pytest.mark.parametrize(
    "text",
    [
        "오늘 서울 날씨가 어때요?",
        "주말에 비가 오면 우산을 챙겨야 할까요",
        "비만 오면 길이 막혀요",
        "삼성전자 주식을 지금 사도 될까요",
        "적금 이자가 얼마나 되나요",
        "치열한 경쟁 끝에 계약을 따냈어요",
        "이명박 전 대통령의 정책을 요약해 줘",
        "다음 선거에서 어느 정당이 이길까요",
        "김치찌개 맛있게 끓이는 방법",
        "가래떡 구워 먹는 법 알려 주세요",
        "양치질은 하루에 몇 번 하나요",
        "커피는 하루 몇 잔이 적당해요",
        "콜라 두 통 주세요",
        "화상 회의 링크를 보내 주세요",
        "국내 외교 안과 밖의 사정",
        "구치소가 어디에 있나요",
        "시간이 수두룩하게 남았어요",
        "이 명 중에 한 명만 고르세요",
        "암만 생각해도 모르겠어요",
        "창밖을 보며 멍 때리고 있어요",
        "파이썬 코드를 고쳐 주세요",
        "po er ct 같은 소문자",
        "HTTP 404가 떠요",
        "어디 사시는 분이세요",
        "통풍이 잘 되는 운동화 추천",
        "설사 그렇다 해도 괜찮아",
        "😭😭😭",
        "...",
        "",
        "   ",
    ],
)
def test_everyday_sentences_link_nothing(graph: Graph, linker: Linker, text: str) -> None:
    assert _linked(graph, linker, text) == []


def test_mentions_are_exact_ordered_and_disjoint(linker: Linker) -> None:
    text = "당뇨 병과 고혈압이 있고, 흉부 엑스선 검사와 MRI를 찍었으며\n명치 통증, 코 막힘이 있어요."
    mentions = linker.link(text)
    assert [mention.surface for mention in mentions] == ["당뇨 병", "고혈압", "흉부 엑스선 검사", "MRI", "명치 통증", "코 막힘"]
    assert all(text[mention.start : mention.end] == mention.surface for mention in mentions)
    assert all(left.end <= right.start for left, right in pairwise(mentions))


def test_decomposed_text_links_like_composed_text(linker: Linker) -> None:
    text = "급성 충수염과 두통이 있어요"
    assert linker.link(unicodedata.normalize("NFD", text)) == linker.link(text) != []


@pytest.mark.parametrize("frame", ["{}", "{} 때문에 왔어요", "저는 {}입니다"])
def test_every_standard_name_links_to_a_node_of_that_name(graph: Graph, linker: Linker, frame: str) -> None:
    texts = {node.name: frame.format(node.name) for node in graph.nodes.values()}
    found = {name: [node.name for node in _linked(graph, linker, text)] for name, text in texts.items()}
    assert {name: names for name, names in found.items() if list(map(name_key, names)) != [name_key(name)]} == {}


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        ({"a": ("배 아픔",), "b": ("아랫배",)}, "오른쪽 아랫배 아픔", ["아랫배"]),
        ({"a": ("대상포진",), "b": ("대상포진 후 신경통",)}, "대상포진 후 신경통이", ["대상포진 후 신경통"]),
        ({"a": ("암",)}, "암이 어금니암석", ["암"]),
        ({"a": ("폐",)}, "지폐가 폐 밖에", []),
        ({"a": ("CT",)}, "CT를 ACT ct CTS 뇌CT", ["CT", "CT"]),
        ({"a": ("COPD",)}, "copd라는데 xcopd copd2", ["copd"]),
        ({"a": ("heart failure",)}, "Heart\tFailure란 heartfailure", ["Heart\tFailure"]),
        ({"a": ("치주염",)}, "치 주 염", ["치 주 염"]),
        ({"a": ("치주염",)}, "치  주염", []),
        ({"a": ("B형간염",)}, "B형 간염이고 HB형간염은", ["B형 간염"]),
        ({"a": ("당뇨",)}, "제가당뇨가있고 당뇨원 양당뇨", ["당뇨"]),
    ],
)
def test_matching_rules(names: dict[str, tuple[str, ...]], text: str, expected: list[str]) -> None:
    assert [mention.surface for mention in Linker(_graph(**names)).link(text)] == expected


def test_shared_alias_goes_to_the_node_it_is_no_part_of() -> None:
    graph = _graph(a=("복부 CT", "CT"), b=("컴퓨터단층촬영", "CT"))
    assert [mention.node_id for mention in Linker(graph).link("CT와 복부 CT")] == ["b", "a"]


def test_shared_surface_goes_to_the_standard_name() -> None:
    graph = _graph(a=("급성 비인두염", "감기"), b=("감기",))
    assert [mention.node_id for mention in Linker(graph).link("감기에 걸렸어요")] == ["b"]


def _steps(linker: Linker, text: str) -> int:
    """Calls and line events inside the linker: a count that no other load on the machine changes."""
    count = 0

    def trace(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        linker.link(text)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("unit", ["아", "암", "당뇨 ", "당 ", "알레르기", "a", " ", "가암"])
def test_time_grows_with_the_length_only(linker: Linker, unit: str) -> None:
    small, large = (_steps(linker, unit * count) for count in (500, 5_000))
    assert large < 11 * small
