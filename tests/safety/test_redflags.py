"""Recall and precision of the red-flag rules on written-down texts, their robustness to spelling tricks, and their cost.

`round` of the two tables: 1 the first rules; 2 and 3 written before the second repair of the rules, 4 after it, 5 after the repair of 4,
6 after that of 5.
All texts were used to repair rules, so what passes here is no estimate of the recall on texts never seen. At first sight, found at their
level or above: round 2 47 of 107, 3 28 of 53, 4 44 of 60, 5 17 of 30, 6 122 of 170;
false alarms 21 of 106, 5 of 40, 3 of 50, 3 of 20, 32 of 170.
"""

import csv
import time
import unicodedata
from pathlib import Path

import pytest

from medllm.errors import UserError
from medllm.safety.messages import PLAN_FLAGS
from medllm.safety.redflags import LEVELS, RedFlags

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "data" / "knowledge" / "redflags.csv"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


EMERGENCIES = [(row["text"], row["level"]) for row in _rows(HERE / "emergencies.csv")]
SAFE = [row["text"] for row in _rows(HERE / "safe.csv")]
CALM = [row["text"] for row in _rows(HERE / "safe.csv") if row["round"] != "1"]


@pytest.fixture(scope="module")
def rules() -> RedFlags:
    return RedFlags.load(RULES)


def _height(rules: RedFlags, text: str) -> int:
    flag = rules.check(text)
    return -1 if flag is None else LEVELS.index(flag.level)


@pytest.mark.parametrize(("text", "level"), EMERGENCIES)
def test_emergency_is_found(rules: RedFlags, text: str, level: str) -> None:
    flag = rules.check(text)
    assert flag is not None
    assert flag.level == level


@pytest.mark.parametrize("text", SAFE)
def test_hard_negative_is_no_emergency(rules: RedFlags, text: str) -> None:
    flag = rules.check(text)
    assert flag is None or flag.level == "er", flag


@pytest.mark.parametrize("text", CALM)
def test_later_hard_negative_raises_nothing(rules: RedFlags, text: str) -> None:
    assert rules.check_all(text) == ()


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("목이 간질간질하고 두드러기가 났어요", None),
        ("한쪽 팔에 힘 빠지고 그런 건 없어요", None),
        ("한쪽 팔에 힘이 빠지고 숨 쉬는 것도 힘들어요", "119"),
        ("숨 찬 건 없어요", None),
        ("숨이 차지는 않아요", None),
        ("숨이 차거나 말을 못하거나 의식이 없어요", "119"),
        ("의식이 없고 움직이지 않아요", "119"),
        ("이렇게 머리가 깨질 듯이 갑자기 아픈 적은 없었어요", "119"),
        ("임신은 아니고 피임약을 2년째 먹고 있어요", None),
        ("임신이고 피가 비쳐요", "er"),
        ("머리가 조이고 뒷목도 뻣뻣해요", None),
        ("머리가 아프고 뒷목이 뻣뻣하고 열이 나요", "er"),
        ("소변에 피가 섞여 나왔어요", None),
        ("대변에 피가 많이 섞여 나왔어요", "er"),
        ("연기를 마시면 어떻게 하나요", None),
        ("애가 연기를 마셨으면 어떡해요", "119"),
        ("유튜브에서 뇌졸중이 오면 말이 어눌해진다던데 정말인가요", None),
        ("유튜브를 보다가 아빠가 말이 어눌해졌어요", "119"),
        ("3년 전 스텐트 넣은 아빠가 쓰러졌어요", "119"),
        ("작년에 할머니가 쓰러지셨어요", None),
        ("의식이 없거나 토한 건 없어요", None),
        ("심정지랑 뇌경색은 다른 병인가요", None),
        ("고운 얼굴이 창백하고 식은땀이 나요", "119"),
        *((f"오른쪽 아랫배가 {ache}", "er") for ache in ("아픕니다", "아팠어요", "아퍼", "아픔", "아픈데요", "아파", "아프다", "쑤십니다")),
    ],
)
def test_denial_is_told_from_sign(rules: RedFlags, text: str, raised: str | None) -> None:
    flag = rules.check(text)
    assert (flag.level if flag else None) == raised


def test_lists_are_large_enough() -> None:
    levels = [level for _, level in EMERGENCIES]
    assert levels.count("119") >= 40
    assert levels.count("crisis") >= 15
    assert len(SAFE) >= 60
    assert not set(SAFE) & {text for text, _ in EMERGENCIES}


def _jamo(text: str) -> str:
    """Every syllable as keyboard letters."""
    letters = {**{chr(0x1100 + i): c for i, c in enumerate("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ")}}
    letters |= {chr(0x1161 + i): chr(0x314F + i) for i in range(21)}
    letters |= {chr(0x11A8 + i): c for i, c in enumerate("ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")}
    return "".join(letters.get(c, c) for c in unicodedata.normalize("NFD", text))


TRICKS = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "zero width": "\u200b".join,
    "hangul filler": "\u3164".join,
    "no blanks": lambda text: text.replace(" ", ""),
    "keyboard letters": _jamo,
    "emoji": lambda text: text.replace(" ", " 😭"),
    "panting": lambda text: text.replace(" ", "... "),
    "lines": lambda text: text.replace(" ", "\n"),
    "weeping": lambda text: text + "ㅠㅠㅠㅠ",
    "greeting": lambda text: "안녕하세요 질문이 있어요. " + text,
    "older history": lambda text: "작년에 건강검진을 받았는데 " + text,
    "played down": lambda text: text + " 남편은 별거 아니래요",
    "reassurance wanted": lambda text: text + " 괜찮은 거죠?",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_lowers_the_level(rules: RedFlags, trick: str) -> None:
    lowered = [text for text, level in EMERGENCIES if _height(rules, TRICKS[trick](text)) < LEVELS.index(level)]
    assert lowered == []


def test_every_urgent_rule_is_exercised(tmp_path: Path) -> None:
    rows = [row for row in _rows(RULES) if row["level"] != "er"]
    silent = []
    for row in rows:
        path = tmp_path / "one.csv"
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(row))
            writer.writeheader()
            writer.writerow(row)
        one = RedFlags.load(path)
        if not any(one.check(text) for text, _ in EMERGENCIES):
            silent.append(row["id"])
    assert silent == []


def test_rules_are_well_formed() -> None:
    rows = _rows(RULES)
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids) >= 45
    assert {row["reviewed"] for row in rows} == {"false"}
    assert {row["source"] for row in rows} <= {"notice_em", "gk_medical", "phones"}
    assert {row["id"] for row in rows if row["level"] == "crisis"} > PLAN_FLAGS
    for row in rows:  # every repetition is bounded, so matching is linear in the text
        assert not set("*+") & set(row["pattern"] + row["exclude"]), row["id"]
        assert ",}" not in row["pattern"] + row["exclude"], row["id"]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("배고파 죽겠는데 사실은 진짜 죽고 싶어요", "crisis"),
        ("작년에 뇌졸중으로 쓰러지셨는데 지금 또 쓰러지셨어요", "119"),
        ("심근경색 증상이 뭐예요? 아빠가 가슴을 움켜쥐고 쓰러졌어요", "119"),
        ("숙제로 조사하는 게 아니라 지금 아빠가 숨을 안 쉬어요", "119"),
        ("교과서에 낙서만 하다가 죽고 싶다는 생각을 했어요", "crisis"),
        ("열은 없는데 숨을 못 쉬겠어요", "119"),
        ("코피 말고 팔에서 피가 분수처럼 나요", "119"),
    ],
)
def test_exclusion_hides_no_present_emergency(rules: RedFlags, text: str, level: str) -> None:
    flag = rules.check(text)
    assert flag is not None
    assert flag.level == level


def test_highest_level_wins_and_crisis_is_remembered(rules: RedFlags) -> None:
    flag = rules.check("손목을 그었는데 피가 안 멈춰요")
    assert flag is not None
    assert (flag.level, flag.crisis) == ("119", True)
    plan = rules.check("죽고 싶어서 유서를 썼어요")
    assert plan is not None
    assert plan.id == "RF59"
    other = rules.check("할아버지가 떡 드시다가 목에 걸려서 캑캑거려요")
    assert other is not None
    assert not other.crisis


def test_all_flags_come_and_the_cause_first(rules: RedFlags) -> None:
    assert [flag.id for flag in rules.check_all("인슐린 맞고 헛소리를 해요")] == ["RF70", "RF02"]
    assert rules.check_all("인슐린 맞고 쓰러졌는데 숨을 안 쉬어요")[0].id == "RF01"
    flags = rules.check_all("죽고 싶어서 손목을 그었는데 피가 안 멈추고 가슴이 아파요")
    heights = [LEVELS.index(flag.level) for flag in flags]
    assert heights == sorted(heights, reverse=True)
    assert {flag.level for flag in flags} == set(LEVELS)
    assert all(flag.crisis for flag in flags)


@pytest.mark.parametrize(
    "unit",
    [
        "아", "갑자기 ", "숨이 막히는 더위 ", "작년에 가슴이 쥐어짰", "죽 ", "ㅈㅜㄱ", "wnrrh ", "\u3164가", "피가. ",
        "임신 피 ", "머리를 박고 토", "가슴이 아프고 땀이 ", "당뇨 땀 정신 ", "쉴 수가 없",
    ],
)  # fmt: skip
def test_time_grows_with_length_only(rules: RedFlags, unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        spent = []
        for _ in range(3):
            start = time.process_time()
            rules.check(text)
            spent.append(time.process_time() - start)
        return min(spent)

    assert seconds(16_000) < 10 * seconds(4_000) + 0.02  # 4 when linear, 16 when quadratic


def test_a_hundred_thousand_characters_finish(rules: RedFlags) -> None:
    assert rules.check("아" * 100_000) is None
    assert _height(rules, "아" * 100_000 + " 숨을 못 쉬겠어요") == LEVELS.index("119")


def test_a_sentence_takes_milliseconds_and_a_long_text_little_more(rules: RedFlags) -> None:
    texts = SAFE + [text for text, _ in EMERGENCIES]
    start = time.process_time()
    for text in texts:
        rules.check(text)
    assert (time.process_time() - start) / len(texts) < 0.005
    for unit in ("아기가 열이 나고 ", "임신 ", "약을 먹고 토하고 ", "다리가 갑자기 ", "가슴이 아파서 땀이 나고 "):
        start = time.process_time()
        rules.check((unit * 20_000)[:20_000])
        assert time.process_time() - start < 3, unit  # 0.2 to 0.8 on the machine this was written on


HEADER = "id,name,level,pattern,exclude,advice,source,reviewed\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        ("id,name\n", "column 'advice' is missing"),
        (HEADER, "no rules"),
        (HEADER + "a,b,112,x,,,s,false\n", ":2: level '112'"),
        (HEADER + "a,b,119,,,,s,false\n", ":2: empty pattern"),
        (HEADER + "a,b,119,(x,,,s,false\n", ":2: not a regular expression"),
        (HEADER + "a,b,119,x && (y,,,s,false\n", ":2: not a regular expression"),
        (HEADER + "a,b,119,{pain},,,s,false\n", ":2: {pain} is no word class"),
        (HEADER + "a,b,119,x && ,,,s,false\n", ":2: empty part"),
    ],
)
def test_broken_table_is_refused(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "redflags.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"redflags\.csv") as error:
        RedFlags.load(path)
    assert says in str(error.value)
