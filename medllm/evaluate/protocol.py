"""Evaluate one model folder: answers, paraphrases, grounded answers, consultations, multiple choice, bits per byte, predictions."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medllm.data.answers import TermScorer, squeeze
from medllm.data.examples import open_book_only, question_text
from medllm.data.prompts import Prompts, Turn
from medllm.data.records import FREE_PREFIX, Record, read_records
from medllm.engines import Engine, open_engine
from medllm.errors import UserError
from medllm.evaluate.choice import chance, choose, majority, shuffled
from medllm.statistics import wilson_interval

PROTOCOL_VERSION = 2
# Long texts are cut here, the same for every model: llama.cpp refuses what exceeds the context, transformers would go on without a word.
_TEXT_TOKENS = 256
# Of a consultation the oldest turns go when it is longer, so that its answer has room in a context of 512.
_TALK_TOKENS = 240
Row = dict[str, Any]


def take(records: Sequence[Record], limit: int) -> list[Record]:
    """At most `limit` records in the order of a hash of their ids, the same for every model."""
    return sorted(records, key=lambda record: hashlib.sha256(record.id.encode()).hexdigest())[:limit]


def _row(record: Record, task: str, prompt_ids: Sequence[int], output: str, score: bool) -> Row:
    row: Row = {
        "item_id": record.id, "task": task, "cluster": record.fact_id or record.id, "redistributable": record.redistributable,
        "prompt_sha256": hashlib.sha256(json.dumps(list(prompt_ids)).encode()).hexdigest()[:16], "score": int(score),
    }  # fmt: skip
    if record.redistributable:
        asked, right = (record.messages[-2][1], record.messages[-1][1]) if record.messages else (question_text(record), record.answer)
        row |= {"question": asked, "reference": right, "output": output}
    return row


def _generated(
    engine: Engine, prompts: Prompts, records: Sequence[Record], scorer: TermScorer, *, task: str, max_new_tokens: int
) -> list[Row]:
    asked = [prompts.question(question_text(r), facts=r.context if task == "grounded" else ()) for r in records]
    outputs = [prompts.decode(ids) for ids in engine.generate(asked, max_new_tokens=max_new_tokens)]
    return [
        _row(record, task, ids, output, scorer.right(record, output)) | {"empty": not output.strip()}
        for record, ids, output in zip(records, asked, outputs, strict=True)
    ]


def _advised(engine: Engine, prompts: Prompts, records: Sequence[Record], *, max_new_tokens: int) -> list[Row]:
    """The last answer of consultations whose earlier turns are given; right when it holds one of the `must` terms (진료과, 119, 109)."""
    asked = []
    for record in records:
        texts = [text for _, text in record.messages]
        history = [Turn(question=question, answer=answer) for question, answer in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
        while history and len(prompts.question(texts[-2], history=history)) > _TALK_TOKENS:
            history = history[1:]
        asked.append(prompts.question(texts[-2], history=history))
    rows = []
    for record, ids, generated in zip(records, asked, engine.generate(asked, max_new_tokens=max_new_tokens), strict=True):
        output = prompts.decode(generated)
        right = any(squeeze(term) in squeeze(output) for term in record.must)
        rows.append(_row(record, "scenario", ids, output, right) | {"cluster": record.cluster, "empty": not output.strip()})
    return rows


def bits_per_byte(engine: Engine, prompts: Prompts, texts: Sequence[str]) -> float:
    """Cross-entropy in bits per UTF-8 byte over the first 256 tokens of each text, the first one given."""
    encoded = [ids for text in texts if len(ids := prompts.text(text)[:_TEXT_TOKENS]) > 1]
    nats = -sum(sum(values) for values in engine.token_logprobs(encoded))
    scored_bytes = sum(len(prompts.decode(ids[1:]).encode()) for ids in encoded)
    return nats / math.log(2) / scored_bytes


def _share(rows: Sequence[Row], name: str) -> dict[str, float]:
    right = sum(row["score"] for row in rows)
    low, high = wilson_interval(right, len(rows))
    return {name: right / len(rows), f"{name}_n": len(rows), f"{name}_low": low, f"{name}_high": high}


def evaluate_model(
    folder: Path, prepared: Path, predictions: Path, *, metric_prefix: str, threads: int, max_answer_items: int, max_paraphrase_items: int,
    max_grounded_items: int, max_scenario_items: int, max_choice_items: int, max_text_items: int, max_new_tokens: int,
    max_advice_tokens: int, max_unanswered_share: float,
) -> dict[str, Any]:  # fmt: skip
    """Write predictions/<model>.jsonl and return flat metrics.

    Closed-book answers are asked on held-out forms (on every medical short answer where data have no forms), grounded ones on held-out
    facts.
    Raises UserError when a task has no items, RuntimeError when more than `max_unanswered_share` of the answers are empty.
    """
    test = list(read_records(prepared / "test.jsonl"))
    short = [r for r in test if r.kind == "qa" and r.role == "medical"]
    known = [r for r in short if r.held_out != "fact"]
    closed = take([r for r in known if not r.form.startswith(FREE_PREFIX)], max_answer_items)
    free = take([r for r in known if r.form.startswith(FREE_PREFIX)], max_paraphrase_items)
    grounded = take([r for r in short if r.held_out == "fact" and r.context], max_grounded_items)
    consultations = take([r for r in test if r.kind == "chat" and r.must and not open_book_only(r)], max_scenario_items)
    choices = [shuffled(r) for r in take([r for r in test if r.kind == "choice" and r.answer_index is not None], max_choice_items)]
    if not closed or not choices:
        raise UserError(f"{prepared / 'test.jsonl'}: no medical short answers or no multiple choice to evaluate on; check the data report")
    scorer = TermScorer.of([*test, *read_records(prepared / "train.jsonl")])
    prompts, engine = Prompts.load(folder), open_engine(folder, threads=threads)
    rows = _generated(engine, prompts, closed, scorer, task="answer", max_new_tokens=max_new_tokens)
    rows += _generated(engine, prompts, free, scorer, task="paraphrase", max_new_tokens=max_new_tokens)
    rows += _generated(engine, prompts, grounded, scorer, task="grounded", max_new_tokens=max_new_tokens)
    rows += _advised(engine, prompts, consultations, max_new_tokens=max_advice_tokens)
    for record, pick in zip(choices, choose(engine, prompts, choices), strict=True):
        rows.append(_row(record, "choice", prompts.question(question_text(record)), record.options[pick], pick == record.answer_index))
    medical = [f"{r.question} {r.answer}" for r in take(known, max_text_items)]
    general = [r.text or r.passage for r in take([r for r in test if r.role == "baseline_check"], max_text_items)]
    metrics: dict[str, Any] = {"protocol_version": PROTOCOL_VERSION, "choice_chance": chance(choices), "choice_majority": majority(choices)}
    metrics["bits_per_byte"] = bits_per_byte(engine, prompts, medical)
    if general:
        metrics["bits_per_byte_general"] = bits_per_byte(engine, prompts, general)
    engine.close()
    generated = [row for row in rows if "empty" in row]
    metrics["unanswered_rate"] = sum(row.pop("empty") for row in generated) / len(generated)
    if metrics["unanswered_rate"] > max_unanswered_share:
        share = f"{metrics['unanswered_rate']:.0%}"
        raise RuntimeError(f"{folder.name}: {share} of the answers are empty, more than {max_unanswered_share:.0%}")
    for task in ("answer", "paraphrase", "grounded", "scenario", "choice"):
        if part := [row for row in rows if row["task"] == task]:
            metrics |= _share(part, f"{metric_prefix}accuracy_{task}")
    _write(predictions / f"{folder.name}.jsonl", rows)
    return dict(sorted(metrics.items()))


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
