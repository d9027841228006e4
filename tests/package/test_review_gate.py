"""No package for production with rows that nobody reviewed, and no demo without saying so."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from medllm.data.knowledge import load_knowledge
from medllm.data.knowledge.content import REVIEW_COLUMNS, content_sha256
from medllm.errors import UserError
from medllm.graph.store import Graph, Node
from medllm.package.review_gate import check_gates, check_review

UNREVIEWED = {
    "redflags": {"rows": 4, "reviewed": 0}, "drugs": {"rows": 1, "reviewed": 0}, "emergency": {"rows": 1, "reviewed": 0},
}  # fmt: skip
HARMFUL = [("redflags", f"RF0{number}") for number in range(1, 5)] + [("drugs", "drg_a"), ("symptoms", "sym_em")]


def review(folder: Path, verdicts: Mapping[tuple[str, str], str]) -> None:
    """Write reviews.csv as an import would."""
    knowledge = load_knowledge(folder)
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(REVIEW_COLUMNS)
        for (table, key), verdict in sorted(verdicts.items()):
            sha256 = content_sha256(getattr(knowledge, table)[key], knowledge)
            writer.writerow([table, key, sha256, "김의사", "2026-11-22", verdict, ""])


def test_demo_counts_what_is_reviewed(small_knowledge: Path, small_graph: Path) -> None:
    assert check_review(small_knowledge, small_graph, mode="demo") == UNREVIEWED
    review(small_knowledge, {("drugs", "drg_a"): "accept", ("redflags", "RF01"): "reject"})
    counts = check_review(small_knowledge, small_graph, mode="demo")
    assert counts == {**UNREVIEWED, "drugs": {"rows": 1, "reviewed": 1}}


def test_production_names_count_first_ids_and_what_to_do(small_knowledge: Path, small_graph: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_review(small_knowledge, small_graph, mode="production")
    message = str(caught.value)
    assert "4 redflags rows not reviewed (RF01, RF02, RF03, ...)" in message
    assert "1 drugs rows not reviewed (drg_a)" in message
    assert "1 emergency rows not reviewed (sym_em)" in message
    assert "python -m pipeline.review export" in message
    assert "\n" not in message


def test_production_passes_with_every_harmful_row_accepted_and_fails_with_one_less(small_knowledge: Path, small_graph: Path) -> None:
    accepted = dict.fromkeys(HARMFUL, "accept")  # neither the other drug (not carried) nor diseases, tests and terms
    review(small_knowledge, accepted)
    counts = check_review(small_knowledge, small_graph, mode="production")
    assert all(count["rows"] == count["reviewed"] > 0 for count in counts.values())
    for table, key in HARMFUL:
        review(small_knowledge, {row: verdict for row, verdict in accepted.items() if row != (table, key)})
        with pytest.raises(UserError, match=rf"1 \w+ rows not reviewed \({key}\)"):
            check_review(small_knowledge, small_graph, mode="production")


@pytest.mark.parametrize("verdict", ["change", "reject"])
def test_production_refuses_any_row_that_a_clinician_did_not_accept(small_knowledge: Path, small_graph: Path, verdict: str) -> None:
    review(small_knowledge, {**dict.fromkeys(HARMFUL, "accept"), ("departments", "dep_a"): verdict})
    with pytest.raises(UserError, match=r"1 rows marked change or reject by the reviewer \(dep_a\)"):
        check_review(small_knowledge, small_graph, mode="production")
    path = small_knowledge / "departments.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("내분비", "내분비 질환"), encoding="utf-8")  # corrected
    check_review(small_knowledge, small_graph, mode="production")


def test_an_edit_after_the_review_closes_the_gate_again(small_knowledge: Path, small_graph: Path) -> None:
    review(small_knowledge, dict.fromkeys(HARMFUL, "accept"))
    path = small_knowledge / "redflags.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("조이", "쥐어짜"), encoding="utf-8")
    with pytest.raises(UserError, match=r"1 redflags rows not reviewed \(RF01\)"):
        check_review(small_knowledge, small_graph, mode="production")


def test_a_graph_of_other_tables_is_refused(small_knowledge: Path, tmp_path: Path) -> None:
    node = Node(id="drg_x", kind="drug", name="약", names=("약",), source="law", reviewed=True)
    Graph(nodes={"drg_x": node}, edges=(), facts=()).save(tmp_path / "other")
    with pytest.raises(UserError, match=r"graph\.json: drg_x is not in drugs\.csv; run dvc repro build_graph"):
        check_review(small_knowledge, tmp_path / "other", mode="demo")


GATES = [
    {"model": "small", "metric": "accuracy_answer", "verdict": "pass"},
    {"model": "small", "metric": "red_flag_sensitivity", "verdict": "fail"},
    {"model": "other", "metric": "tokenizer", "verdict": "fail"},
]


def test_the_gates_of_the_model_go_into_the_demo() -> None:
    assert check_gates(GATES, "small", mode="demo") == {"accuracy_answer": "pass", "red_flag_sensitivity": "fail"}


def test_production_wants_every_gate_passed() -> None:
    with pytest.raises(UserError, match=r"gates of small that are not passed: red_flag_sensitivity \(fail\); see the report"):
        check_gates(GATES, "small", mode="production")
    undecided = [{"model": "small", "metric": "accuracy_grounded", "verdict": "cannot_tell"}]
    with pytest.raises(UserError, match="cannot_tell"):
        check_gates(undecided, "small", mode="production")
    with pytest.raises(UserError, match="it has none"):
        check_gates([], "small", mode="production")
    assert check_gates(GATES[:1], "small", mode="production") == {"accuracy_answer": "pass"}


def test_production_refuses_what_a_failed_ancestor_disqualifies() -> None:
    passed = {"model": "small", "metric": "accuracy_answer", "verdict": "pass", "disqualifies": []}
    teacher = {"model": "teacher", "metric": "accuracy_general", "verdict": "fail", "disqualifies": ["teacher", "small"]}
    with pytest.raises(UserError, match=r"teacher\.accuracy_general \(fail\)"):
        check_gates([passed, teacher], "small", mode="production")
