"""The consultation scenarios of data/knowledge, and the loader that refuses broken ones."""

import copy
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from medllm.data.scenarios import URGENT, Scenario, load_scenarios
from medllm.errors import UserError
from medllm.safety.redflags import RedFlags

KNOWLEDGE = Path(__file__).parents[2] / "data" / "knowledge"
FILES = sorted(KNOWLEDGE.glob("scenarios*.jsonl"))
POLITE = re.compile(r"(요|니다|니까|시오|지요|죠)[.?!~]*$")
# 진단·처방처럼 들리는 말, 용량
FORBIDDEN = re.compile(r"(으로|로) 보입니다|인 것 같습니다|으로 진단|처방해 드|확진입니다|\d ?(mg|밀리그램|그램|알|정)(?![가-힣])|1393")


def known(table: str) -> dict[str, dict[str, str]]:
    with (KNOWLEDGE / f"{table}.csv").open(encoding="utf-8", newline="") as lines:
        return {row["id"]: row for row in csv.DictReader(lines)}


def read(path: Path) -> tuple[Scenario, ...]:
    return load_scenarios(path, departments=known("departments"), redflags=known("redflags"))


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.name)
def scenarios(request: pytest.FixtureRequest) -> tuple[Scenario, ...]:
    return read(request.param)


@pytest.fixture(scope="module")
def rules() -> RedFlags:
    return RedFlags.load(KNOWLEDGE / "redflags.csv")


def users(scenario: Scenario) -> list[str]:
    return [text for role, text in scenario.messages() if role == "user"]


def test_there_are_scenarios() -> None:
    assert FILES


def test_the_whole_is_as_large_and_mixed_as_promised() -> None:
    merged = read(KNOWLEDGE / "scenarios.jsonl")
    assert len(merged) >= 120
    assert len({scenario.cluster for scenario in merged}) >= 30
    assert {scenario.outcome.kind for scenario in merged} == {"emergency_119", "er", "crisis", "same_day", "department", "self_care"}


def test_red_flags_are_raised_by_the_rules_and_answered_at_once(scenarios: tuple[Scenario, ...], rules: RedFlags) -> None:
    wrong = []
    for scenario in (s for s in scenarios if s.outcome.kind in URGENT):
        flags = [(at, rules.check(turn.text)) for at, turn in enumerate(scenario.turns) if turn.role == "user"]
        raised = [(at, flag) for at, flag in flags if flag and flag.id in scenario.redflags]
        if not raised:
            wrong.append(f"{scenario.id}: none of {scenario.redflags} is raised, but {[flag.id for _, flag in flags if flag]}")
        elif scenario.outcome.kind == "emergency_119" and not any(flag.level == "119" for _, flag in raised):
            wrong.append(f"{scenario.id}: no raised flag is of level 119")
        elif not any(term in scenario.turns[raised[0][0] + 1].text for term in scenario.outcome.must):
            wrong.append(f"{scenario.id}: {raised[0][1].id} is raised, but the next turn sends to none of {scenario.outcome.must}")
    assert not wrong, "\n".join(wrong)


def test_no_other_scenario_raises_an_emergency(scenarios: tuple[Scenario, ...], rules: RedFlags) -> None:
    calm = [scenario for scenario in scenarios if scenario.outcome.kind not in URGENT]
    flags = [(scenario.id, text, rules.check(text)) for scenario in calm for text in users(scenario)]
    wrong = [f"{name}: {flag.id} on {text}" for name, text, flag in flags if flag and flag.level == "119"]
    assert not wrong, "\n".join(wrong)


def test_advice_names_department_and_danger_signs(scenarios: tuple[Scenario, ...]) -> None:
    names = {row_id: row["name"] for row_id, row in known("departments").items()}
    wrong = []
    for scenario in scenarios:
        advice = scenario.advice()
        where = [names[department] for department in scenario.outcome.departments]
        if scenario.outcome.kind in ("department", "same_day") and not any(name in advice for name in where):
            wrong.append(f"{scenario.id}: the advice names none of {where}")
        if not any(number in advice for number in ("119", "응급실", "109")):
            wrong.append(f"{scenario.id}: the advice says nothing of 119, 응급실 or 109")
    assert not wrong, "\n".join(wrong)


def test_the_assistant_is_short_polite_and_no_doctor(scenarios: tuple[Scenario, ...]) -> None:
    wrong = []
    for scenario in scenarios:
        for turn in (turn for turn in scenario.turns if turn.role == "assistant"):
            limit = 240 if turn is scenario.turns[-1] else 100
            if len(turn.text) > limit or not POLITE.search(turn.text) or FORBIDDEN.search(turn.text) or len(turn.asks) > 2:
                wrong.append(f"{scenario.id}: {turn.text}")
    assert not wrong, "\n".join(wrong)


def test_every_talk_reads_like_another_person(scenarios: tuple[Scenario, ...]) -> None:
    for texts in (
        [scenario.advice() for scenario in scenarios],
        [scenario.title for scenario in scenarios],
        [text for scenario in scenarios for text in users(scenario) if len(text) > 12],
    ):
        assert sorted(set(texts)) == sorted(texts)


GOOD: dict[str, Any] = {
    "id": "scn_901", "cluster": "cold_cough", "title": "콧물", "patient": {"age": 30, "sex": "female", "context": "지병 없음"},
    "turns": [
        {"role": "user", "text": "콧물이 나요"},
        {"role": "assistant", "text": "언제부터인가요?", "asks": ["start"]},
        {"role": "user", "text": "어제요"},
        {"role": "assistant", "text": "쉬어 보시고 오래가면 내과로 가세요."},
    ],
    "key_facts": [{"id": "start", "question": "언제부터인지", "answer": "어제부터"}],
    "redflags": [], "outcome": {"kind": "department", "departments": ["dep_internal"], "must": ["내과"]},
    "source": "gk_medical", "reviewed": False,
}  # fmt: skip
EMERGENCY = GOOD | {
    "turns": [{"role": "user", "text": "숨을 안 쉬어요"}, {"role": "assistant", "text": "지금 바로 119에 전화하세요."}],
    "key_facts": [], "redflags": ["RF01"], "outcome": {"kind": "emergency_119", "departments": [], "must": ["119"]},
}  # fmt: skip


def written(folder: Path, *rows: object) -> Path:
    path = folder / "scenarios.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return path


def load(path: Path) -> tuple[Scenario, ...]:
    return load_scenarios(path, departments={"dep_internal"}, redflags={"RF01"})


def changed(row: dict[str, Any], *path: Any) -> dict[str, Any]:
    """A copy of `row` in which the place `path[:-1]` holds the value `path[-1]`; the value ... takes the key out."""
    new = copy.deepcopy(row)
    *places, key, value = path
    cell: Any = new
    for place in places:
        cell = cell[place]
    if value is ...:
        del cell[key]
    else:
        cell[key] = value
    return new


def test_a_good_file_is_read_as_written(tmp_path: Path) -> None:
    first, second = load(written(tmp_path, GOOD, EMERGENCY | {"id": "scn_902"}))
    assert first.messages() == tuple((turn["role"], turn["text"]) for turn in GOOD["turns"])
    assert first.turns[1].asks == ("start",)
    assert first.patient.age == 30
    assert not first.sent_at_once()
    assert second.sent_at_once()


REFUSED = [
    (changed(GOOD, "note", "x"), "unknown key 'note' in the scenario"),
    (changed(GOOD, "patient", "name", "x"), "unknown key 'name' in the patient"),
    (changed(GOOD, "turns", 1, "ask", []), "unknown key 'ask' in the turn"),
    (changed(GOOD, "title", ...), "no 'title'"),
    (changed(GOOD, "outcome", "must", ...), "no 'must'"),
    (changed(GOOD, "title", " x"), "title must be text"),
    (changed(GOOD, "turns", 0, "text", ""), "turn.text must be text"),
    (changed(GOOD, "turns", {}), "turns must be a list"),
    (changed(GOOD, "patient", []), "the patient is not an object"),
    (changed(GOOD, "patient", "age", True), "patient.age"),
    (changed(GOOD, "patient", "age", 130), "patient.age"),
    (changed(GOOD, "patient", "sex", "f"), "patient.sex 'f'"),
    (changed(GOOD, "reviewed", True), "reviewed must be false"),
    (changed(GOOD, "id", "scn_1"), "three digits"),
    (changed(GOOD, "cluster", "감기"), "not a slug"),
    (changed(GOOD, "turns", 2, "role", "assistant"), "do not alternate"),
    (changed(GOOD, "turns", GOOD["turns"][:3]), "do not alternate"),
    (changed(GOOD, "turns", []), "do not alternate"),
    (changed(GOOD, "turns", 0, "role", "system"), "turn.role 'system'"),
    (changed(GOOD, "outcome", "kind", "home"), "outcome.kind 'home'"),
    (changed(GOOD, "outcome", "departments", ["dep_x"]), "department 'dep_x'"),
    (changed(GOOD, "outcome", "departments", []), "without a department"),
    (changed(GOOD, "redflags", ["RF99"]), "red flag 'RF99'"),
    (changed(GOOD, "redflags", ["RF01"]), "a red flag leads to"),
    (changed(EMERGENCY, "redflags", []), "without a red flag"),
    (changed(EMERGENCY, "redflags", ["RF01", "RF01"]), "names something twice"),
    (changed(GOOD, "outcome", "must", ["외과"]), "none of must"),
    (changed(GOOD, "outcome", "must", []), "none of must"),
    (changed(GOOD, "turns", 1, "asks", ["place"]), "asks 'place'"),
    (changed(GOOD, "turns", 1, "asks", []), "'start' is asked by no turn"),
    (changed(GOOD, "turns", 3, "asks", ["start"]), "the final turn asks"),
    (changed(GOOD, "turns", 0, "asks", ["start"]), "only the assistant asks"),
    (changed(GOOD, "key_facts", GOOD["key_facts"] * 2), "id is there twice"),
    (changed(changed(GOOD, "turns", 1, "asks", []), "key_facts", []), "no key facts"),
    ("{", "not valid JSON"),
    ("[]", "the scenario is not an object"),
]


@pytest.mark.parametrize(("row", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_broken_line_is_refused_with_file_and_line(tmp_path: Path, row: object, message: str) -> None:
    path = written(tmp_path, GOOD | {"id": "scn_900"}, row)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}:2: .*{re.escape(message)}"):
        load(path)


def test_an_id_twice_no_file_and_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r":2: id 'scn_901' is also in line 1"):
        load(written(tmp_path, GOOD, GOOD))
    with pytest.raises(UserError, match="no scenarios"):
        load(written(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.jsonl")
