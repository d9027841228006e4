from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.ab import ab_test
from medllm.errors import UserError

Write = Callable[..., Path]
Rows = list[dict[str, Any]]
SCORES = {"answer": [1, 0, 1, 1], "choice": [0, 1]}


def _test(a: Path, b: Path, *tasks: str) -> dict[str, Any]:
    return ab_test(a, b, tasks=list(tasks) or ["answer", "choice"], margin=0.02, num_resamples=20, num_experiments=10, seed=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda rows: rows.pop(0), "b.jsonl: item 'answer_0' .* is in .*a.jsonl alone, as are 0", id="missing"),
        pytest.param(lambda rows: rows.append(rows[0] | {"item_id": "x"}), "a.jsonl: item 'x' .* is in .*b.jsonl alone", id="more"),
        pytest.param(lambda rows: rows[1].update(prompt_sha256="x"), "b.jsonl: item 'answer_1' .* another prompt_sha256 than", id="prompt"),
        pytest.param(lambda rows: rows[2].update(cluster="x"), "b.jsonl: item 'answer_2' .* another cluster than .*a.jsonl", id="cluster"),
        pytest.param(lambda rows: rows.__delitem__(slice(4, None)), "b.jsonl: no item of task 'choice'; .* are answer,", id="no item"),
        pytest.param(lambda rows: rows.clear(), "b.jsonl: no item of task 'answer'; the tasks there are none", id="empty"),
        pytest.param(lambda rows: rows.append(rows[3]), "b.jsonl:7: item 'answer_3' of task 'answer' a second time", id="twice"),
        pytest.param(lambda rows: rows[1].update(score=0.5), "b.jsonl:2: score 0.5 is neither 0 nor 1", id="score"),
        pytest.param(lambda rows: rows[1].pop("score"), "b.jsonl:2: score None", id="no score"),
        pytest.param(lambda rows: rows[4].pop("cluster"), "b.jsonl:5: no text 'cluster'", id="no cluster"),
        pytest.param(lambda rows: rows[4].update(item_id=7), "b.jsonl:5: no text 'item_id'", id="id"),
        pytest.param(lambda rows: rows.insert(0, 5), "b.jsonl:1: not an object", id="no object"),
    ],
)  # fmt: skip
def test_what_cannot_be_paired(write: Write, change: Callable[[Rows], object], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        _test(write("a", SCORES), write("b", SCORES, change=change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"task": "answer"', "b.jsonl:1: not JSON"), (b"\xff\xfe{}", "b.jsonl:1: not JSON"), (b"\n", "b.jsonl:1: not JSON")],
    ids=["torn", "bytes", "blank"],
)
def test_bad_lines(write: Write, content: bytes, said: str) -> None:
    b = write("b", SCORES)
    b.write_bytes(content)
    with pytest.raises(UserError, match=said) as raised:
        _test(write("a", SCORES), b)
    assert "\n" not in str(raised.value)


def test_missing_file_unknown_task_and_no_task(write: Write, tmp_path: Path) -> None:
    a = write("a", SCORES)
    with pytest.raises(UserError, match=r"gone\.jsonl: no such predictions file"):
        _test(a, tmp_path / "gone.jsonl")
    with pytest.raises(UserError, match=r"no item of task 'anwser'; the tasks there are answer, choice, set ab\.tasks"):
        _test(a, a, "anwser")
    with pytest.raises(UserError, match=r"ab\.tasks: no task"):
        ab_test(a, a, tasks=[], margin=0.02, num_resamples=20, num_experiments=10, seed=0)


def test_tasks_that_nobody_asked_for_may_differ(write: Write) -> None:
    a, b = write("a", SCORES), write("b", {"answer": SCORES["answer"]})
    assert list(_test(a, b, "answer")["tasks"]) == ["answer"]
