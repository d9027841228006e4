"""Distillation on cached logits: the cache is the teacher, and the student comes nearer."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.data.examples import Example, qa_examples
from medllm.data.prompts import Prompts
from medllm.data.records import read_records, write_records
from medllm.distill.logits import DistillResult, distill_logits
from medllm.distill.losses import forward_kl, jsd
from medllm.errors import UserError
from medllm.model.folder import load_model, read_lineage
from medllm.training import Schedule, train

ITEMS: dict[str, Any] = {
    "roles": ["medical", "distillation", "baseline_check"], "grounded_share": 0.5, "reading_share": 1.0, "consultation_share": 1.0,
    "num_distractors": 1, "max_tokens": 512, "seed": 2,
}  # fmt: skip
SCHEDULE = Schedule(
    num_epochs=3.0, batch_tokens=1024, learning_rate=1e-3, warmup_ratio=0.0, weight_decay=0.0, precision="fp32", optimizer="adamw",
    gradient_checkpointing=False, packing=False, checkpoint_steps=0,
)  # fmt: skip
KNOBS: dict[str, Any] = {
    "loss": forward_kl,
    **ITEMS, "alpha": 1.0, "temperature": 1.0, "top_k": 64, "hidden_weight": 0.0, "self_data": False, "fake_quantize": "none",
    "trainable": "full", "lora_rank": 8, "lora_targets": [], "batch_rows": 8, "schedule": SCHEDULE,
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
def fewer(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fewer")
    write_records(folder / "train.jsonl", list(read_records(few / "train.jsonl"))[::2])
    return folder


@pytest.fixture(scope="module")
def examples(tiny_folder: Path, fewer: Path) -> list[Example]:
    return qa_examples(read_records(fewer / "train.jsonl"), Prompts.load(tiny_folder), **ITEMS)


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


@pytest.mark.parametrize(("trainable", "precision"), [("full", "fp32"), ("lora", "bf16")])
def test_a_spoiled_teacher_comes_back(
    trainable: str, precision: str, tiny_folder: Path, student: Path, fewer: Path, examples: list[Example], tmp_path: Path
) -> None:
    schedule = dataclasses.replace(SCHEDULE, precision=precision, learning_rate=1e-3 if trainable == "full" else 1e-2)
    result: DistillResult = distill_logits(
        tiny_folder, student, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
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


@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_is_the_stated_mixture(
    packing: bool, tiny_folder: Path, student: Path, fewer: Path, examples: list[Example], tmp_path: Path
) -> None:
    """One batch with everything in it: its first loss is alpha * KL + (1 - alpha) * CE of the untrained student."""
    schedule = dataclasses.replace(SCHEDULE, num_epochs=1.0, batch_tokens=10**6, packing=packing)
    result = distill_logits(
        tiny_folder, student, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
        **{**KNOBS, "alpha": 0.7, "top_k": 10_000, "schedule": schedule},
    )  # fmt: skip
    model, chosen = load_model(student), []
    with torch.inference_mode():
        for example in examples:
            rows = torch.log_softmax(model(input_ids=torch.tensor([example.ids])).logits[0, example.targets[0] - 1 : -1], -1)
            chosen.append(rows.gather(-1, torch.tensor(example.ids[example.targets[0] :])[:, None]))
    cross_entropy = -float(torch.cat(chosen).mean())
    wanted = 0.7 * divergence(student, tiny_folder, examples) + 0.3 * cross_entropy
    assert result.training.loss_first == pytest.approx(wanted, rel=5e-3)  # what holds the last 0.0001 of the mass is one class in the cache


def test_wrong_input_is_one_line(tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    text = (other / "tokenizer.json").read_text(encoding="utf-8")
    content = json.loads(text)
    content["added_tokens"][1]["content"] = "<|filler|>"
    content["model"]["vocab"]["<|filler|>"] = content["model"]["vocab"].pop("<|pad|>")
    (other / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    paths = {"checkpoints": tmp_path / "checkpoints"}
    with pytest.raises(UserError, match=r"token '<\|(filler|pad)\|>' has id (1|None) in the student and (1|None) in the teacher") as error:
        distill_logits(other, student, fewer, tmp_path / "distilled", **paths, **KNOBS)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="max_tokens=3"):
        distill_logits(tiny_folder, student, fewer, tmp_path / "distilled", **paths, **{**KNOBS, "max_tokens": 3})
    knobs = {**KNOBS, "fake_quantize": "q4_0", "trainable": "lora"}
    with pytest.raises(UserError, match=r"fake_quantize=q4_0.*trainable=full"):
        distill_logits(tiny_folder, student, fewer, tmp_path / "distilled", **paths, **knobs)
    assert not (tmp_path / "distilled").exists()


def test_a_quantised_student_is_refused(quantised_folder: Path, tiny_folder: Path, fewer: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\), so it cannot be distilled; take student, which") as error:
        distill_logits(tiny_folder, quantised_folder, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints", **KNOBS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "distilled").exists()


@pytest.mark.parametrize("content", ['{"layers": [0, 1]}\n', None])
def test_the_map_of_pruning_goes_along(content: str | None, student: Path, fewer: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(student, tmp_path / "source"))
    if content:
        (source / "prune_map.json").write_text(content, encoding="utf-8")
    knobs = {**KNOBS, "alpha": 0.0, "schedule": dataclasses.replace(SCHEDULE, num_epochs=0.1)}
    distill_logits(tmp_path / "none", source, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints", **knobs)
    found = tmp_path / "distilled" / "prune_map.json"
    assert (found.read_text(encoding="utf-8") if found.exists() else None) == content


def test_alpha_zero_is_plain_fine_tuning_without_a_teacher(tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path) -> None:
    schedule, none = dataclasses.replace(SCHEDULE, num_epochs=0.5), tmp_path / "no_teacher"
    knobs = {**KNOBS, "alpha": 0.0, "schedule": schedule}
    result = distill_logits(none, student, fewer, tmp_path / "control", checkpoints=tmp_path / "checkpoints", **knobs)
    assert result.cached_tokens == 0
    assert read_lineage(tmp_path / "control").method == "cross_entropy"
    examples = qa_examples(read_records(fewer / "train.jsonl"), Prompts.load(student), **{**ITEMS, "seed": 2})
    model: Any = load_model(student)
    plain = train(model, examples, schedule=schedule, seed=2, checkpoints=tmp_path / "plain")
    assert result.training.loss_last == pytest.approx(plain.loss_last, rel=1e-4)
    assert (result.training.steps, result.training.loss_tokens) == (plain.steps, plain.loss_tokens)


def padded(source: Path, target: Path, rows: int) -> Path:
    """The same model with rows of its embeddings that no token uses, and that would win every softmax."""
    shutil.copytree(source, target)
    model: Any = load_model(source)
    tokens = model.config.vocab_size
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        model.get_output_embeddings().weight[tokens:] = 3 * model.get_output_embeddings().weight[:tokens].abs().max()
    model.to(torch.bfloat16).save_pretrained(target)
    return target


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_rows_of_padding_do_not_count(who: str, tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path) -> None:
    wide = padded(student if who == "student" else tiny_folder, tmp_path / "wide", 640)
    folders = {"teacher": tiny_folder, "student": student}
    schedule, first = dataclasses.replace(SCHEDULE, num_epochs=0.2), []
    for found in (folders, {**folders, who: wide}):
        result = distill_logits(
            found["teacher"], found["student"], fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
            **{**KNOBS, "alpha": 0.7, "schedule": schedule},
        )  # fmt: skip
        first.append(result.training.loss_first)
    assert first[1] == pytest.approx(first[0], rel=1e-4)


@pytest.mark.parametrize("knobs", [{"self_data": True, "fake_quantize": "q4_0", "hidden_weight": 1.0, "loss": jsd}, {"trainable": "lora"}])
def test_a_distillation_that_was_cut_off_goes_on(
    knobs: dict[str, Any], tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path
) -> None:
    schedule = dataclasses.replace(SCHEDULE, num_epochs=1.0, batch_tokens=1024, checkpoint_steps=2)
    curves: dict[str, list[float]] = {}

    def run(name: str, stop: int | None = None) -> None:
        def on_log(values: Any, step: int) -> None:
            curves.setdefault(name, []).append(values["loss"])
            if step == stop:
                raise KeyboardInterrupt

        distill_logits(
            tiny_folder, student, fewer, tmp_path / name, checkpoints=tmp_path / f"{name}_checkpoints", on_log=on_log,
            **{**KNOBS, "alpha": 0.7, "schedule": schedule, **knobs},
        )  # fmt: skip

    run("unbroken")
    with pytest.raises(KeyboardInterrupt):
        run("broken", stop=3)
    run("broken")
    assert curves["broken"] == [*curves["unbroken"][:3], *curves["unbroken"][2:]]
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("unbroken", "broken"))
    assert first == second


def test_the_loss_is_a_knob(tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path) -> None:
    calls = []

    def reverse(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(kwargs["temperature"])
        return forward_kl(*args, **kwargs)

    distill_logits(
        tiny_folder, student, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
        **{**KNOBS, "loss": reverse, "temperature": 2.0, "schedule": dataclasses.replace(SCHEDULE, num_epochs=1.0)},
    )  # fmt: skip
    assert set(calls) == {2.0}
    assert read_lineage(tmp_path / "distilled").method == "reverse"


@pytest.mark.parametrize("change", [{"packing": True}, {"gradient_checkpointing": True}])
def test_hidden_states_are_seen_however_a_step_is_made(
    change: dict[str, bool], tiny_folder: Path, student: Path, fewer: Path, tmp_path: Path
) -> None:
    """Two steps on one batch with everything in it."""
    plain = dataclasses.replace(SCHEDULE, num_epochs=2.0, batch_tokens=10**6)
    losses = []
    for schedule in (plain, dataclasses.replace(plain, **change)):
        result = distill_logits(
            tiny_folder, student, fewer, tmp_path / "distilled", checkpoints=tmp_path / "checkpoints",
            **{**KNOBS, "alpha": 0.0, "hidden_weight": 5.0, "schedule": schedule},
        )  # fmt: skip
        losses.append((result.training.loss_first, result.training.loss_last))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[0][0] > 1.0
