"""Distillation on cached logits: the cache is the teacher, and the student comes nearer."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medllm.data.examples import Example, qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records
from medllm.distill.cache import TeacherLogits, cache_logits
from medllm.distill.logits import DistillResult, distill_logits
from medllm.distill.losses import forward_kl
from medllm.errors import UserError
from medllm.model.folder import load_model, read_lineage
from medllm.training import Schedule

ITEMS: dict[str, Any] = {
    "roles": ["medical", "distillation", "baseline_check"], "grounded_share": 0.5, "reading_share": 1.0, "consultation_share": 1.0,
    "num_distractors": 1, "max_tokens": 512, "seed": 2,
}  # fmt: skip
SCHEDULE = Schedule(
    num_epochs=3.0, batch_tokens=1024, learning_rate=1e-3, warmup_ratio=0.0, weight_decay=0.0, precision="fp32", checkpoint_steps=0
)
KNOBS: dict[str, Any] = {
    "loss": forward_kl,
    **ITEMS, "alpha": 1.0, "temperature": 1.0, "top_k": 64, "trainable": "full", "lora_rank": 8, "batch_rows": 8, "schedule": SCHEDULE,
    "lora_targets": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}  # fmt: skip


@pytest.fixture(scope="module")
def student(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher with noise on its weights."""
    folder = tmp_path_factory.mktemp("students") / "pruned"
    shutil.copytree(tiny_folder, folder)
    model: Any = load_model(tiny_folder)
    torch.manual_seed(8)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.3 * value.std() * torch.randn_like(value)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def examples(tiny_folder: Path, few: Path) -> list[Example]:
    return qa_examples(read_records(few / "train.jsonl"), Prompts.load(tiny_folder), **ITEMS)


@torch.inference_mode()
def divergence(folder: Path, teacher: Path, examples: list[Example]) -> float:
    """Mean exact KL(teacher || student) over the loss tokens."""
    models = load_model(teacher), load_model(folder)
    total, count = 0.0, 0
    for example in examples:
        ids, span = torch.tensor([example.ids]), slice(example.targets[0] - 1, -1)
        p, q = (torch.log_softmax(model(input_ids=ids).logits[0, span], -1) for model in models)
        total += float((p.exp() * (p - q)).sum())
        count += len(p)
    return total / count


@pytest.mark.parametrize(("top_k", "temperature"), [(16, 1.0), (10_000, 2.0)])
def test_the_cache_is_the_teacher_at_the_loss_positions(
    top_k: int, temperature: float, tiny_folder: Path, examples: list[Example], tmp_path: Path
) -> None:
    teacher = load_model(tiny_folder)
    cache = cache_logits(teacher, examples, tmp_path, top_k=top_k, temperature=temperature, batch_rows=7)
    assert cache.values.dtype == np.float16
    chat = next(example.key for example in examples if len(example.scored or ()) > 1)
    for key in (0, 3, chat, len(examples) - 1):
        example = examples[key]
        with torch.inference_mode():
            direct = teacher(input_ids=torch.tensor([example.ids])).logits[0, torch.tensor(example.targets) - 1]
        wanted = torch.log_softmax(direct / temperature, -1)
        values, ids = cache.rows([key])
        assert values.shape == (len(example.targets), min(top_k, teacher.config.vocab_size))
        assert torch.allclose(values, wanted.gather(-1, ids), atol=5e-3)
        assert torch.equal(ids[:, 0], wanted.argmax(-1))
    together, _ = cache.rows([3, 0])
    assert torch.equal(together, torch.cat([cache.rows([3])[0], cache.rows([0])[0]]))


def test_a_finished_cache_is_used_and_an_unfinished_one_is_not(tiny_folder: Path, examples: list[Example], tmp_path: Path) -> None:
    teacher, knobs = load_model(tiny_folder), {"top_k": 4, "temperature": 1.0, "batch_rows": 8}
    first = np.array(cache_logits(teacher, examples, tmp_path, **knobs).values)  # type: ignore[arg-type]
    written = np.load(tmp_path / "values.npy", mmap_mode="r+")
    written[:] = 7
    written.flush()
    assert (np.asarray(cache_logits(teacher, examples, tmp_path, **knobs).values) == 7).all()  # type: ignore[arg-type]
    (tmp_path / "done.json").unlink()
    assert (np.asarray(cache_logits(teacher, examples, tmp_path, **knobs).values) == first).all()  # type: ignore[arg-type]
    assert TeacherLogits.load(tmp_path).starts[-1] == json.loads((tmp_path / "done.json").read_text(encoding="utf-8"))["tokens"]


@pytest.mark.parametrize(("trainable", "precision"), [("full", "fp32"), ("lora", "bf16")])
def test_a_spoiled_teacher_comes_back(
    trainable: str, precision: str, tiny_folder: Path, student: Path, few: Path, examples: list[Example], tmp_path: Path
) -> None:
    schedule = dataclasses.replace(SCHEDULE, precision=precision, learning_rate=1e-3 if trainable == "full" else 1e-2)
    result: DistillResult = distill_logits(
        tiny_folder, student, few, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
        **{**KNOBS, "trainable": trainable, "schedule": schedule},
    )  # fmt: skip
    before, after = (divergence(folder, tiny_folder, examples) for folder in (student, tmp_path / "distilled"))
    assert after < 0.6 * before
    assert result.training.loss_last < result.training.loss_first
    assert (result.trainable_parameters == result.parameters) == (trainable == "full")
    assert result.cached_tokens == sum(len(example.targets) for example in examples)
    assert not (tmp_path / "checkpoints" / "teacher_logits").exists()
    lineage = read_lineage(tmp_path / "distilled")
    assert (lineage.parent, lineage.step, lineage.params["teacher"]) == ("pruned", "distill", tiny_folder.name)
    assert load_model(tmp_path / "distilled").num_parameters() == result.parameters


def test_the_loss_is_the_stated_mixture(tiny_folder: Path, student: Path, few: Path, examples: list[Example], tmp_path: Path) -> None:
    """One batch with everything in it: its first loss is alpha * KL + (1 - alpha) * CE of the untrained student."""
    schedule = dataclasses.replace(SCHEDULE, num_epochs=1.0, batch_tokens=10**6)
    result = distill_logits(
        tiny_folder, student, few, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
        **{**KNOBS, "alpha": 0.7, "top_k": 10_000, "schedule": schedule},
    )  # fmt: skip
    model, chosen = load_model(student), []
    with torch.inference_mode():
        for example in examples:
            rows = torch.log_softmax(model(input_ids=torch.tensor([example.ids])).logits[0, example.targets[0] - 1 : -1], -1)
            chosen.append(rows.gather(-1, torch.tensor(example.ids[example.targets[0] :])[:, None]))
    cross_entropy = -float(torch.cat(chosen).mean())
    wanted = 0.7 * divergence(student, tiny_folder, examples) + 0.3 * cross_entropy
    assert result.training.loss_first == pytest.approx(wanted, rel=2e-3)


def test_wrong_input_is_one_line(tiny_folder: Path, student: Path, few: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    text = (other / "tokenizer.json").read_text(encoding="utf-8")
    content = json.loads(text)
    content["added_tokens"][1]["content"] = "<|filler|>"
    content["model"]["vocab"]["<|filler|>"] = content["model"]["vocab"].pop("<|pad|>")
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    paths = {"checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(UserError, match=r"token '<\|(filler|pad)\|>'") as error:
        distill_logits(other, student, few, tmp_path / "distilled", **paths, **KNOBS)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="max_tokens=3"):
        distill_logits(tiny_folder, student, few, tmp_path / "distilled", **paths, **{**KNOBS, "max_tokens": 3})
    assert not (tmp_path / "distilled").exists()


def test_the_loss_is_a_knob(tiny_folder: Path, student: Path, few: Path, tmp_path: Path) -> None:
    calls = []

    def reverse(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(kwargs["temperature"])
        return forward_kl(*args, **kwargs)

    distill_logits(
        tiny_folder, student, few, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
        **{**KNOBS, "loss": reverse, "temperature": 2.0, "schedule": dataclasses.replace(SCHEDULE, num_epochs=1.0)},
    )  # fmt: skip
    assert set(calls) == {2.0}
    assert read_lineage(tmp_path / "distilled").method == "reverse"
