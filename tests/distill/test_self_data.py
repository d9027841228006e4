"""The teacher's own answers take the place of the reference where they are right."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.data.examples import answer_text, question_text
from medllm.data.prompts import Prompts
from medllm.data.records import Record, read_records
from medllm.distill import self_data
from medllm.distill.self_data import self_answered
from medllm.model.folder import load_model

KNOBS: dict[str, Any] = {"roles": ["medical"], "max_tokens": 512, "batch_rows": 5, "dtype": torch.float32}


@pytest.fixture(scope="module")
def asked(few: Path) -> list[Record]:
    """Questions of every kind, and a chat."""
    records = list(read_records(few / "train.jsonl"))
    plain = [record for record in records if record.kind != "chat" and record.role == "medical"][:14]
    return [*plain, *[record for record in records if record.kind == "chat"][:1]]


@torch.inference_mode()
def greedy(folder: Path, prompt: list[int], count: int) -> list[int] | None:
    """One token after the other, without padding or cache."""
    model, end, ids = load_model(folder), Prompts.load(folder).eos_id, list(prompt)
    while len(ids) < min(len(prompt) + count, 256):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == end:
            return ids[len(prompt) : -1]
    return None


@pytest.fixture(scope="module")
def writer(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that ends its answers now and then: the row of its end token is larger."""
    folder = tmp_path_factory.mktemp("teachers") / "writer"
    shutil.copytree(tiny_folder, folder)
    model: Any = load_model(tiny_folder)
    with torch.no_grad():
        model.get_output_embeddings().weight[Prompts.load(tiny_folder).eos_id] *= 2.5
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_answers_are_greedy_and_judged_by_what_they_must_hold(writer: Path, asked: list[Record], tmp_path: Path) -> None:
    prompts = Prompts.load(writer)
    texts = {}
    for record in asked[:-1]:
        ids, start = prompts.answered(question_text(record), answer_text(record))
        answer = greedy(writer, ids[:start], 2 * (len(ids) - start))  # the room that a batch gives it at least
        texts[record.id] = prompts.decode(answer) if answer is not None else None
    # a right answer is whatever this teacher says: every other record that gets one asks for a word of it
    said = [i for i, record in enumerate(asked[:-1]) if (texts[record.id] or "").strip()]
    assert len(said) >= 2, "the teacher of this test never ends an answer"
    records = list(asked)
    for i in said[::2]:
        records[i] = dataclasses.replace(asked[i], must=(str(texts[asked[i].id]).strip(),), fact_id="")
    found = self_answered(writer, records, tmp_path, **KNOBS)
    assert found.written == len(asked) - 1
    assert found.records[-1] == asked[-1]
    changed = [i for i, (before, after) in enumerate(zip(records, found.records, strict=True)) if before != after]
    assert found.kept == len(changed)
    assert set(said[::2]) <= set(changed)
    for i, (before, after) in enumerate(zip(records, found.records, strict=True)):
        if i in changed:
            assert after.answer == (texts[before.id] or after.answer)  # in a batch of longer ones it had more room
            assert question_text(after) == question_text(before)
            assert (after.id, after.role, after.context) == (before.id, before.role, before.context)
        if i in said[1::2]:
            assert after == before


def test_an_answer_that_does_not_end_is_not_kept(tiny_folder: Path, asked: list[Record], tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(tiny_folder, folder)
    model: Any = load_model(tiny_folder)
    with torch.no_grad():
        model.get_output_embeddings().weight[Prompts.load(tiny_folder).eos_id] = 0
    model.to(torch.bfloat16).save_pretrained(folder)
    prompts, records = Prompts.load(folder), []
    for record in asked[:4]:  # its answer begins with what it must hold
        with torch.inference_mode():
            said = int(model(input_ids=torch.tensor([prompts.question(question_text(record))])).logits[0, -1].argmax())
        records.append(dataclasses.replace(record, must=(prompts.decode([said]) or " ",), fact_id=""))
    found = self_answered(folder, records, tmp_path / "answers", **KNOBS)
    assert (found.written, found.kept, found.records) == (4, 0, records)


def test_only_missing_batches_are_written_and_never_those_of_other_inputs(
    writer: Path, tiny_folder: Path, asked: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = self_answered(writer, asked, tmp_path, **KNOBS)
    files = sorted(tmp_path.glob("*/*.json"))
    assert len(files) == 3
    wanted = files[1].read_text(encoding="utf-8")
    files[1].unlink()
    files[1].with_suffix(".partial").write_text("[[", encoding="utf-8")  # killed while it was written
    files[0].write_text(json.dumps([None] * 5), encoding="utf-8")  # kept as it is
    self_answered(writer, asked, tmp_path, **KNOBS)
    assert files[1].read_text(encoding="utf-8") == wanted
    assert json.loads(files[0].read_text(encoding="utf-8")) == [None] * 5
    other = self_answered(tiny_folder, asked, tmp_path, **KNOBS)
    assert [path.exists() for path in files] == [False] * 3
    assert other == self_answered(tiny_folder, asked, tmp_path / "fresh", **KNOBS)
    again = self_answered(writer, asked, tmp_path, **KNOBS)
    assert again == first
    monkeypatch.delattr(self_data, "load_model")
    assert self_answered(writer, asked, tmp_path, **KNOBS) == first
