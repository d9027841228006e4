"""Homonyms: the everyday sense links nothing, the medical sense still links, whatever stands around it."""

import pytest

from medllm.graph.link import Linker
from medllm.graph.store import Graph


@pytest.fixture(scope="module")
def linker(whole_graph: Graph) -> Linker:
    return Linker(whole_graph)


@pytest.mark.parametrize(
    "text",
    [
        "업무를 관장하는 부서가 어디예요",
        "박물관 관장님을 만났어요",
        "이불을 발치에 두고 자요",
        "발치에서 강아지가 자요",
        "날이 갤 기미가 보이지 않아요",
        "나아질 기미가 없어요",
        "혼자 사시는 어머니 댁에 가요",
        "그렇게 사시는 까닭이 뭐예요",
        "복수의 답을 고르세요",
        "복수 응답이 가능한 설문이에요",
        "이웃에 폐를 끼치고 싶지 않아요",
        "이자를 십만 원 냈어요",
        "이자가 밀렸어요",
        "실명으로 가입해야 하나요",
        "문제가 산재해 있어요",
        "과제가 산재하는 상황이에요",
        "수지 씨가 전화했어요",
        "미란 씨는 언제 와요",
        "편도 두 시간 거리예요",
        "서울까지 편도로 예매했어요",
        "편도는 얼마예요",
        "혼수용품을 샀어요",
        "정관 변경은 어떻게 하나요",
        "연식이 오래된 차예요",
        "2015년 연식을 샀어요",
        "화병에 꽃을 꽂았어요",
        "결혼식을 치루는 날이에요",
        "풍진 세상을 살았어요",
        "엔진 소리가 작게 들려요",
        "말이 늦네요 답장이",
    ],
)
def test_the_everyday_sense_links_nothing(linker: Linker, text: str) -> None:
    assert [mention.surface for mention in linker.link(text)] == []


@pytest.mark.parametrize(
    ("text", "surface"),
    [
        ("대장내시경 전에 관장을 했어요", "관장"),
        ("관장하는 방법을 알려 주세요", "관장"),
        ("발치하고 피가 나요", "발치"),
        ("얼굴 기미가 짙어졌어요", "기미"),
        ("볼 기미가 없어졌어요", "기미"),
        ("사시가 있대요", "사시"),
        ("복수의 원인이 뭔가요", "복수"),
        ("복수가 차서 힘들어요", "복수"),
        ("폐가 안 좋대요", "폐"),
        ("이자를 검사 받았어요", "이자"),
        ("실명할까 봐 무서워요", "실명"),
        ("산재 처리 되나요", "산재"),
        ("편도에 하얀 게 있어요", "편도"),
        ("편도 표면이 빨개요", "편도"),
        ("수술 뒤에 연식을 먹어요", "연식"),
        ("화병으로 잠을 못 자요", "화병"),
        ("내일 치루 수술을 해요", "치루"),
        ("풍진 주사를 맞았어요", "풍진"),
        ("티비 소리가 작게 들려요", "소리가 작게 들려"),
        ("아이가 말이 늦어서 인사를 못 해요", "말이 늦"),
    ],
)
def test_the_medical_sense_still_links(linker: Linker, text: str, surface: str) -> None:
    assert surface in [mention.surface for mention in linker.link(text)]
