"""Evaluate one model folder by one versioned protocol, through whichever engine its folder asks for."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medllm.data.answers import TermScorer
from medllm.data.examples import question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record, read_records
from medllm.engines import Engine, open_engine
from medllm.engines.context import context_length
from medllm.errors import UserError
from medllm.evaluate.choice import chance, choose, majority
from medllm.evaluate.first_messages import FIRST_MESSAGES, SAFE, load_sentences
from medllm.evaluate.generated import Writer
from medllm.evaluate.items import choose_items, id_sha256
from medllm.evaluate.patients import load_patients, patient_metrics, patient_rows, simulate
from medllm.evaluate.red_flags import asked_of_models, red_flag_rows
from medllm.evaluate.rows import Row, prediction, share, task_rows, write_rows
from medllm.evaluate.screen import end_tokens, tokenizer_sha256, write_distributions
from medllm.evaluate.terms import EntityScorer
from medllm.evaluate.wording import MARKS

PROTOCOL_VERSION = 3
PATIENT_FILE = "patients.jsonl"
# Long texts are cut here, the same for every model: llama.cpp refuses what exceeds the context, transformers would go on without a word.
_TEXT_TOKENS = 256
CONTEXT = 1024  # tokens of prompt and answer, or the model's own length if that is shorter: what the llama.cpp engine reserves
TOKENS = ("answer", "advice", "solution", "patient", "red_flag")
_SCORED = ("answer", "paraphrase", "grounded", "scenario", "choice", "choice_written", "passage", "interview", "solution", "patient")
_GENERAL = ("passage", "interview")
_DEPARTMENT = ("department", "symptom_department")


def evaluate_model(
    folder: Path, prepared: Path, graph: Path, sets: Path, predictions: Path, screens: Path, *, metric_prefix: str, threads: int,
    max_items: Mapping[str, int], max_new_tokens: Mapping[str, int], max_turns: int, max_unanswered_share: float,
) -> dict[str, Any]:  # fmt: skip
    """Write predictions/<model>.jsonl and screens/<model>.npy, and return flat metrics.

    `graph` is the folder of the terminology dictionary, `sets` that of the hand-written evaluation sets (red flags, patients).
    `max_items` has a limit for every task of medllm.evaluate.items, `max_new_tokens` one for answer, advice, solution, patient, red_flag.
    Raises UserError when a set is missing or broken, RuntimeError when more than `max_unanswered_share` of the answers are empty.
    """
    if wrong := sorted(set(max_new_tokens) ^ set(TOKENS)):
        raise UserError(f"evaluate.max_new_tokens: {wrong[0]!r} is unknown or missing; the keys are {', '.join(TOKENS)}")
    items = choose_items(prepared / "test.jsonl", max_items=max_items)
    sentences = asked_of_models(load_sentences(sets / FIRST_MESSAGES), max_items["red_flag"])
    patients = sorted(load_patients(sets / PATIENT_FILE), key=lambda patient: id_sha256(patient.id))[: max_items["patient"]]
    scorer = TermScorer.of([*read_records(prepared / "test.jsonl"), *read_records(prepared / "train.jsonl")])
    prompts, engine = Prompts.load(folder), open_engine(folder, threads=threads)
    context = min(context_length(folder), CONTEXT)
    writer = Writer(engine, prompts, context=context)
    entities = EntityScorer(graph)
    rows: list[Row] = []
    for task in ("answer", "paraphrase", "grounded"):
        rows += writer.answers(items[task], scorer, entities, task=task, max_new_tokens=max_new_tokens["answer"])
    rows += writer.advice(items["scenario"], max_new_tokens=max_new_tokens["advice"])
    rows += writer.choices(items["choice"], max_new_tokens=max_new_tokens["answer"])
    rows += writer.solutions(items["solution"], max_new_tokens=max_new_tokens["solution"])
    rows += red_flag_rows(writer, prompts, sentences, max_new_tokens=max_new_tokens["red_flag"])
    room = context - max_new_tokens["patient"]
    talks = simulate(
        engine, prompts, patients, max_turns=max_turns, max_new_tokens=max_new_tokens["patient"], max_prompt_tokens=room
    )
    rows += patient_rows(talks, prompts)
    for task in ("choice", *_GENERAL):
        rows += _chosen(engine, prompts, items[task], task, context=context)
    metrics: dict[str, Any] = {"protocol_version": PROTOCOL_VERSION, **_baselines(items), **_bits(engine, prompts, items)}
    metrics |= {"tokenizer_sha256": tokenizer_sha256(engine, prompts), **end_tokens(engine, prompts)}
    metrics["cut_prompts"] = writer.cut
    write_distributions(screens / f"{folder.name}.npy", engine, prompts, items["answer"][: max_items["screen"]], context=context)
    engine.close()
    metrics |= _marks(rows) | patient_metrics(talks) | _accuracies(rows, prefix=metric_prefix)
    if metrics["unanswered_rate"] > max_unanswered_share:
        told = f"{metrics['unanswered_rate']:.0%}"
        raise RuntimeError(f"{folder.name}: {told} of the answers are empty, more than {max_unanswered_share:.0%}")
    write_rows(predictions / f"{folder.name}.jsonl", rows)
    return dict(sorted(metrics.items()))


def _chosen(engine: Engine, prompts: Prompts, records: Sequence[Record], task: str, *, context: int) -> list[Row]:
    asked = [prompts.question(question_text(record)) if task != "interview" else prompts.text(record.question) for record in records]
    interview = task == "interview"  # a line of running text: the blank before it belongs to it, and lines differ much in length
    options = [[prompts.text(f" {option}" if interview else option) for option in record.options] for record in records]
    picks = choose(engine, asked, options, context=context, per_token=interview)
    return [
        prediction(record, task, ids, record.options[pick], pick == record.answer_index)
        for record, ids, pick in zip(records, asked, picks, strict=True)
    ]


def _baselines(items: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    """What guessing gets: by chance, and by always taking the position that is right most often."""
    found: dict[str, float] = {}
    for task in ("choice", *_GENERAL):
        if records := items[task]:
            found |= {f"{task}_chance": chance(records), f"{task}_majority": majority(records)}
    return found


def bits_per_byte(engine: Engine, prompts: Prompts, texts: Sequence[str]) -> float:
    """Cross-entropy in bits per UTF-8 byte over the first 256 tokens of each text, the first one given."""
    encoded = [ids for text in texts if len(ids := prompts.text(text)[:_TEXT_TOKENS]) > 1]
    nats = -sum(sum(values) for values in engine.token_logprobs(encoded))
    scored_bytes = sum(len(prompts.decode(ids[1:]).encode()) for ids in encoded)
    return nats / math.log(2) / scored_bytes


def _bits(engine: Engine, prompts: Prompts, items: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    bits = {"bits_per_byte": bits_per_byte(engine, prompts, [f"{r.question} {r.answer}" for r in items["text"]])}
    if general := [r.text or r.passage for r in items["general"]]:
        bits["bits_per_byte_general"] = bits_per_byte(engine, prompts, general)
    return bits


def _marks(rows: Sequence[Row]) -> dict[str, float]:
    """Shares of generated answers by wording, and of short answers that say a wrong term."""
    found: dict[str, float] = {}
    for mark, name in MARKS.items():
        # answers to first messages are cut off after a few tokens, which says nothing of how they would have gone on
        marked = [row[mark] for row in rows if mark in row and (mark == "empty" or row["task"] != "red_flag")]
        found[name] = sum(marked) / len(marked)
    contradicted = [row["contradicted"] for row in task_rows(rows, "answer", "paraphrase", "grounded")]
    if unread := [row["unread"] for row in rows if "unread" in row]:
        found["unread_rate"] = sum(unread) / len(unread)
    found["contradiction_rate"] = sum(contradicted) / len(contradicted)
    return found


def _accuracies(rows: Sequence[Row], *, prefix: str) -> dict[str, float]:
    """`<prefix>accuracy_<task>` with n and Wilson interval for every task that had items."""
    found: dict[str, float] = {}
    for task in _SCORED:
        found |= share(task_rows(rows, task), f"{prefix}accuracy_{task}")
    closed = task_rows(rows, "answer", "paraphrase")
    found |= share([row for row in closed if row["relation"] in _DEPARTMENT], f"{prefix}accuracy_department")
    found |= share([row for row in rows if "entity" in row], f"{prefix}accuracy_term", key="entity")
    found |= share(task_rows(rows, "red_flag", where=lambda row: row["level"] != SAFE), f"{prefix}accuracy_red_flag")
    if safe := task_rows(rows, "red_flag", where=lambda row: row["level"] == SAFE):
        found["overtriage_rate"] = 1 - sum(row["score"] for row in safe) / len(safe)
    found |= share(task_rows(rows, *_GENERAL), f"{prefix}accuracy_general")
    return found
