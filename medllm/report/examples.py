"""Teacher and champion side by side. Text of items that may not be redistributed is dropped while reading."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.errors import UserError
from medllm.report.format import need

OUTCOMES = {
    (1, 0): "champion만 틀림",
    (0, 0): "둘 다 틀림",
    (0, 1): "teacher만 틀림",
    (1, 1): "둘 다 맞음",
}
_TASK_ORDER = (
    "answer", "paraphrase", "grounded", "scenario", "patient", "solution", "choice_written", "choice", "passage", "interview", "red_flag",
)  # fmt: skip
Predictions = Mapping[tuple[str, str], "Prediction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One evaluated item; the three texts are empty when the item is not redistributable."""

    item_id: str
    task: str
    score: int
    redistributable: bool
    question: str = ""
    reference: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The same item answered by both models."""

    outcome: str
    teacher: Prediction
    champion: Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What is shown, the counts behind it by task and outcome, and the ids of hidden items that the champion got wrong."""

    shown: list[Example]
    counts: list[tuple[str, list[int]]]
    hidden: int
    hidden_failed: list[str]


def _prediction(row: Mapping[str, Any], where: str) -> Prediction:
    score = need(row, "score", where)
    if score not in (0, 1):
        raise UserError(f"{where}: score is {score!r}, expected 0 or 1; run evaluate again")
    shown = need(row, "redistributable", where) is True
    texts = {key: str(need(row, key, where)) for key in ("question", "reference", "output")} if shown else {}
    return Prediction(item_id=need(row, "item_id", where), task=need(row, "task", where), score=int(score), redistributable=shown, **texts)


def read_predictions(path: Path) -> dict[tuple[str, str], Prediction]:
    """Predictions of one model by (task, item id)."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run evaluate for this model (dvc repro)")
    found: dict[tuple[str, str], Prediction] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: not valid JSON ({error.msg}); run evaluate again") from error
        item = _prediction(row, f"{path}:{number}")
        found[item.task, item.item_id] = item
    return found


def _rank(example: Example) -> tuple[int, int, str]:
    task = example.champion.task
    order = _TASK_ORDER.index(task) if task in _TASK_ORDER else len(_TASK_ORDER)
    return list(OUTCOMES.values()).index(example.outcome), order, example.champion.item_id


def red_flag_sentences(predictions: Predictions) -> dict[str, str]:
    """Texts of the red-flag sentences by id, of those that may be shown."""
    return {name: one.question for (task, name), one in predictions.items() if task == "red_flag" and one.redistributable}


def pair_examples(left: Predictions, right: Predictions, *, examples: int) -> Examples:
    """Pair the items of teacher and champion; failures of the champion first, at most `examples` shown."""
    if left.keys() != right.keys():
        odd = len(left.keys() ^ right.keys())
        raise UserError(f"predictions of teacher and champion are over different items ({odd} differ); evaluate both again (dvc repro)")
    counts: Counter[tuple[str, str]] = Counter()
    shown: list[Example] = []
    hidden: list[Prediction] = []
    for key in left:
        one = Example(outcome=OUTCOMES[left[key].score, right[key].score], teacher=left[key], champion=right[key])
        counts[key[0], one.outcome] += 1
        if one.teacher.redistributable and one.champion.redistributable:
            shown.append(one)
        else:
            hidden.append(one.champion)
    tasks = sorted({task for task, _ in left}, key=lambda t: (_TASK_ORDER.index(t) if t in _TASK_ORDER else len(_TASK_ORDER), t))
    return Examples(
        shown=sorted(shown, key=_rank)[:examples],
        counts=[(task, [counts[task, outcome] for outcome in OUTCOMES.values()]) for task in tasks],
        hidden=len(hidden),
        hidden_failed=sorted({item.item_id for item in hidden if item.score == 0})[:examples],
    )
