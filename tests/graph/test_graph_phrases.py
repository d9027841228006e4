"""Names that inflect: what a name and a text are reduced to, what may stand between, and what must not be read as the name."""

import pytest

from medllm.graph.homonyms import other_sense
from medllm.graph.link import Linker
from medllm.graph.morphemes import content_morphemes
from medllm.graph.phrases import Phrases, phrases_of
from medllm.graph.store import Graph, Node


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("배가 아파서요", ["배", "아프"]),
        ("배는 안 아파요", ["배", "!아프"]),
        ("배가 아프지는 않아요", ["배", "!아프"]),
        ("소화가 되지 않고", ["!소화"]),
        ("소화를 못 시켜요", ["!소화"]),
        ("집중하지 못해요", ["!집중"]),
        ("오줌을 눌 때 통증이", ["소변", "보", "때", "아프"]),
        ("두근 두근 거려요", ["두근"]),
        ("머리가 지끈지끈해요", ["머리", "지끈"]),
        ("속이 답답하시대요", ["속", "답답"]),
        ("", []),
    ],
)
def test_stems_without_particles_and_endings_but_with_negation(text: str, keys: list[str]) -> None:
    assert [morpheme.key for morpheme in content_morphemes(text) if morpheme.form] == keys


def test_offsets_are_those_of_the_text() -> None:
    text = "😭 머리가 너무 아파요"
    assert [text[morpheme.start : morpheme.end] for morpheme in content_morphemes(text)] == ["머리", "너무", "아파"]


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("가슴이 아픔", {"가슴아프"}),
        ("무릎 통증", {"무릎아프"}),
        ("소화가 안 됨", {"!소화"}),
        ("목이 자꾸 마름", {"목마르"}),
        ("묽은 변", {"묽변", "변묽"}),
        ("어지럼증", {"어지럽"}),
        ("코골이", {"코골"}),
        ("토함", {"토"}),
        ("걸림", set()),  # too common a verb
        ("통증", set()),
        ("밥 먹고 나서", set()),  # no noun
        ("먹던 약", {"먹약"}),  # not "약을 먹다"
        ("고혈압", set()),
        ("HbA1c", set()),
        ("heart failure", set()),
    ],
)
def test_phrases_of_a_name(name: str, phrases: set[str]) -> None:
    assert phrases_of(name) == phrases


_NAMES = ("배가 아픔", "머리가 아픔", "소화가 안 됨", "열이 남", "코가 막힘", "관절이 부음", "피 섞인 기침", "방광 검사")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("머리가 지끈지끈 아파요", "머리가 지끈지끈 아파"),
        ("머리가 깨질 듯이 아프대요", "머리가 깨질 듯이 아프"),
        ("머리가 지끈거려요", "머리가 지끈거려"),
        ("배가 어제부터 살살 아픈데", "배가 어제부터 살살 아픈"),
        ("배가 고프고 아파요", "배가 고프고 아파"),
        ("배에 통증이 있어요", "배에 통증"),
        ("소화도 잘 안되고", "소화"),
        ("소화되지 않아요", "소화"),
        ("열이 38도까지 올라요", "열이 38도까지 올"),
        ("막힌 코가", "막힌 코"),
        ("관절이 퉁퉁 부었어요", "관절이 퉁퉁 부었"),
        ("기침에 피가 섞여 나와요", "기침에 피가 섞여"),
        ("방광 검사를", "방광 검사"),
        ("배는 안 아파요", None),
        ("소화가 잘 돼요", None),
        ("배와 머리", None),
        ("배를 깎았어요. 마음이 아파요", None),
        ("배를 먹은 사람이 머리를 감아요", None),
        ("방광은 어떤 검사를 하나요", None),
    ],
)
def test_a_phrase_is_found_in_its_inflected_forms_only(text: str, found: str | None) -> None:
    phrases = Phrases({phrase: name for name in _NAMES for phrase in phrases_of(name)})
    spans = {(start, end) for start, end, _, _ in phrases.find(text)}
    longest = max(spans, key=lambda span: span[1] - span[0], default=None)
    assert (longest and text[longest[0] : longest[1]]) == found


def test_a_phrase_does_not_begin_inside_a_name() -> None:
    nodes = {
        "a": Node(id="a", kind="disease", name="치열", names=("치열",), source="s", reviewed=False),
        "b": Node(id="b", kind="symptom", name="열", names=("열이 남",), source="s", reviewed=False),
    }
    linker = Linker(Graph(nodes=nodes, edges=(), facts=(), phrases={"열나": "b"}))
    assert [mention.node_id for mention in linker.link("치열이 생겼대요")] == ["a"]
    assert [mention.node_id for mention in linker.link("밤에 열이 났어요")] == ["b"]


@pytest.mark.parametrize(
    ("text", "name", "other"),
    [
        ("제 신장은 175cm예요", "신장", True),
        ("신장에 3cm 돌이 있대요", "신장", False),
        ("신장 투석을 받고 몸무게가 늘었어요", "신장", False),
        ("심판의 오심이었다", "오심", True),
        ("오심과 구토가 있어요", "오심", False),
        ("머리 감기 귀찮아요", "감기", True),
        ("머리 아프고 감기 기운이 있어요", "감기", False),
        ("통풍이 잘 되는 신발", "통풍", True),
        ("통풍이 안 나아요", "통풍", False),
        ("피로 쓰러졌어요", "피로", False),
        ("약물 두통이 있어요", "두통", False),
        ("대장 내시경", "대장", False),
        ("은행 이자가 올랐어요", "이자", True),
    ],
)
def test_homonyms_are_told_apart_by_their_surroundings(text: str, name: str, other: bool) -> None:
    start = text.index(name)
    assert other_sense(text, start, start + len(name)) is other
