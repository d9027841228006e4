"""The cache of teacher logits is the teacher, small, and survives a kill."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medllm.data.examples import Example, qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.distill import cache
from medllm.distill.cache import TeacherLogits, cache_logits, entries_of
from medllm.distill.losses import forward_kl, reverse_kl
from medllm.model.folder import load_model

KNOBS: dict[str, Any] = {"top_k": 16, "temperature": 1.0, "batch_rows": 7, "vocabulary": 600, "dtype": torch.float32}


@pytest.fixture(scope="module")
def examples(tiny_folder: Path, few: Path) -> list[Example]:
    return qa_examples(
        list(read_records(few / "train.jsonl"))[::2], Prompts.load(tiny_folder), roles=["medical", "distillation", "baseline_check"],
        grounded_share=0.5, reading_share=1.0, consultation_share=1.0, num_distractors=1, max_tokens=512, seed=2,
    )  # fmt: skip


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch, examples: list[Example]) -> int:
    monkeypatch.setattr(cache, "_SHARD_EXAMPLES", 10)
    return -(-len(examples) // 10)


@torch.inference_mode()
def direct(folder: Path, example: Example, temperature: float = 1.0) -> torch.Tensor:
    logits = load_model(folder)(input_ids=torch.tensor([example.ids])).logits[0, torch.tensor(example.targets) - 1]
    return torch.log_softmax(logits / temperature, -1)


def everything(found: TeacherLogits, examples: list[Example]) -> list[torch.Tensor]:
    return [tensor for example in examples for tensor in found.rows([example.key])]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("top_k", "temperature"), [(16, 1.0), (10_000, 2.0)])
def test_the_cache_is_the_teacher_at_the_loss_positions(
    top_k: int, temperature: float, tiny_folder: Path, examples: list[Example], tmp_path: Path, small_shards: int
) -> None:
    found = cache_logits(tiny_folder, examples, tmp_path, **{**KNOBS, "top_k": top_k, "temperature": temperature})
    assert len(list(tmp_path.glob("*/values.npy"))) == small_shards
    assert found.tokens == sum(len(example.targets) for example in examples)
    chat = next(example.key for example in examples if len(example.scored or ()) > 1)
    for key in (0, 3, chat, len(examples) - 1):
        wanted = direct(tiny_folder, examples[key], temperature)
        values, ids = found.rows([key])
        assert len(values) == len(examples[key].targets)
        assert ids.shape[1] <= min(top_k, 600)
        kept = values[:, :-1] > -np.inf
        assert torch.allclose(values[:, :-1][kept], wanted.gather(-1, ids)[kept], atol=5e-3)
        assert torch.equal(ids[:, 0], wanted.argmax(-1))
        assert torch.allclose(values.exp().sum(-1), torch.ones(len(values)), atol=5e-3)
        rest = wanted.exp().sum(-1) - (wanted.gather(-1, ids).exp() * kept).sum(-1)
        assert torch.allclose(values[:, -1].exp(), rest, atol=2e-3)
    (together, _), first, second = found.rows([3, 0]), found.rows([3])[0], found.rows([0])[0]
    assert torch.equal(together[:, -1], torch.cat([first[:, -1], second[:, -1]]))
    assert torch.equal(together[: len(first), : first.shape[1] - 1], first[:, :-1])
    assert torch.equal(together[len(first) :, : second.shape[1] - 1], second[:, :-1])


@pytest.mark.parametrize(("peak", "top_k", "entries"), [(20.0, 64, 1), (9.0, 64, 2), (0.0, 64, 64), (0.0, 600, 600), (0.0, 1, 1)])
def test_a_token_keeps_as_many_entries_as_hold_the_mass(peak: float, top_k: int, entries: int) -> None:
    logits = torch.zeros(1, 600)
    logits[0, 5], logits[0, 9] = 2 * peak, 2 * peak if entries == 2 else peak
    logprobs = torch.log_softmax(logits, -1)
    values, ids, counts, rests = entries_of(logprobs, top_k=top_k)
    assert counts.tolist() == [entries]
    assert (peak == 0.0) or 5 in ids.tolist()
    assert float(values.exp().sum() + rests.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    assert entries == top_k or float(values.exp().sum()) >= 0.9999


@pytest.mark.parametrize("loss", [forward_kl, reverse_kl])
def test_the_loss_is_that_of_the_whole_distribution(
    loss: Callable[..., torch.Tensor], tiny_folder: Path, examples: list[Example], tmp_path: Path
) -> None:
    found = cache_logits(tiny_folder, examples[:4], tmp_path, **{**KNOBS, "top_k": 600})
    for example in examples[:4]:
        teacher = direct(tiny_folder, example)
        student = teacher + 0.5 * torch.randn(teacher.shape, generator=torch.Generator().manual_seed(1))
        nothing, ids = torch.full((len(teacher), 1), -torch.inf), torch.arange(teacher.shape[1]).expand(len(teacher), -1)
        wanted = float(loss(student, torch.cat([teacher, nothing], -1), ids, temperature=1.0))
        assert float(loss(student, *found.rows([example.key]), temperature=1.0)) == pytest.approx(wanted, rel=5e-3)


def test_only_missing_shards_are_computed(tiny_folder: Path, examples: list[Example], tmp_path: Path, small_shards: int) -> None:
    folder, teacher = tmp_path / "cache", tmp_path / "teacher"
    shutil.copytree(tiny_folder, teacher)
    first = everything(cache_logits(teacher, examples, folder, **KNOBS), examples)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.npy")}
    shutil.rmtree(folder / "000001")
    (folder / "000001.partial").mkdir()  # killed while it was written
    (folder / "000001.partial" / "values.npy").write_bytes(b"half")
    assert same(everything(cache_logits(teacher, examples, folder, **KNOBS), examples), first)
    changed = {path.parent.name for path in folder.glob("*/*.npy") if times[path] != path.stat().st_mtime_ns}
    assert changed == {"000001"}
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{n:06d}" for n in range(small_shards)), "key.txt"]


def test_a_finished_cache_needs_no_teacher(
    tiny_folder: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = everything(cache_logits(tiny_folder, examples, tmp_path, **KNOBS), examples)
    monkeypatch.delattr(cache, "load_model")
    assert same(everything(cache_logits(tiny_folder, examples, tmp_path, **KNOBS), examples), first)


@pytest.mark.parametrize("change", ["teacher", "tokens", "spans", "temperature", "top_k", "vocabulary"])
def test_a_cache_of_other_inputs_is_never_taken(
    change: str, tiny_folder: Path, make_neox: Any, examples: list[Example], tmp_path: Path
) -> None:
    def made(folder: Path, teacher: Path, rows: list[Example], **knobs: Any) -> list[torch.Tensor]:
        return everything(cache_logits(teacher, rows, folder, **{**KNOBS, **knobs}), rows)

    rows, teacher, knobs = examples[:6], tiny_folder, {}
    made(tmp_path / "cache", teacher, rows)
    if change == "teacher":
        teacher = make_neox(seed=9)
    elif change == "tokens":
        rows = [dataclasses.replace(rows[0], ids=[*rows[0].ids[:-1], 7]), *rows[1:]]
    elif change == "spans":
        rows = [dataclasses.replace(rows[0], scored=((len(rows[0].ids) - 2, len(rows[0].ids)),)), *rows[1:]]
    else:
        knobs = {change: {"temperature": 2.0, "top_k": 3, "vocabulary": 500}[change]}
    assert same(made(tmp_path / "cache", teacher, rows, **knobs), made(tmp_path / "fresh", teacher, rows, **knobs))


def test_rows_of_padding_are_left_out(tiny_folder: Path, examples: list[Example], tmp_path: Path) -> None:
    found = cache_logits(tiny_folder, examples[:2], tmp_path, **{**KNOBS, "vocabulary": 300, "top_k": 300})
    values, ids = found.rows([0])
    wanted = torch.log_softmax(direct(tiny_folder, examples[0])[:, :300], -1)
    assert int(ids.max()) < 300
    assert torch.allclose(values[:, 0], wanted.max(-1).values, atol=5e-3)
