"""A pruned student keeps to the teacher's channels in the layers that were kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.distill.hidden import HiddenStates
from medllm.errors import UserError
from medllm.model.folder import load_model

INPUTS = {"input_ids": torch.tensor([[5, 6, 7, 8], [9, 3, 0, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}
REAL = INPUTS["attention_mask"].bool()


def states(hidden: HiddenStates, student: Any) -> list[torch.Tensor]:
    with hidden.watched() as outputs:
        student(**INPUTS, use_cache=False)
    return outputs


def rms(values: torch.Tensor) -> torch.Tensor:
    return values / (values.square().mean(-1, keepdim=True) + 1e-6).sqrt()


@pytest.fixture
def teacher(make_neox: Any) -> Path:
    folder: Path = make_neox(layers=4, seed=3)
    return folder


def test_a_student_without_a_map_is_compared_as_it_is(teacher: Path, make_neox: Any) -> None:
    same: Any = load_model(teacher)
    hidden = HiddenStates(load_model(teacher), same, teacher)
    assert float(hidden.distance(states(hidden, same), INPUTS, REAL).detach()) == 0.0
    other: Any = load_model(make_neox(layers=4, ffn=64, seed=4))
    hidden = HiddenStates(load_model(teacher), other, teacher)
    outputs = states(hidden, other)
    distance = hidden.distance(outputs, INPUTS, REAL)
    wanted = load_model(teacher)(**INPUTS, output_hidden_states=True).hidden_states[1:4]
    parts = [(rms(found[REAL]) - rms(state[REAL])).square().mean() for found, state in zip(outputs, wanted, strict=False)]
    assert len(outputs) == 4
    last = 4 * distance - sum(parts)
    assert 0 < float(last.detach()) < 4
    distance.backward()
    assert other.gpt_neox.layers[0].mlp.dense_h_to_4h.weight.grad.abs().sum() > 0


def test_layers_and_channels_go_by_the_map(teacher: Path, make_neox: Any, tmp_path: Path) -> None:
    layers, channels = [0, 3], sorted(torch.randperm(128, generator=torch.Generator().manual_seed(0))[:64].tolist())
    folder = tmp_path / "student"
    shutil.copytree(make_neox(layers=2, hidden=64, ffn=64, seed=4), folder)
    (folder / "prune_map.json").write_text(json.dumps({"layers": layers, "hidden": channels}), encoding="utf-8")
    student: Any = load_model(folder)
    hidden = HiddenStates(load_model(teacher), student, folder)
    outputs = states(hidden, student)
    seen: list[torch.Tensor] = []
    full: Any = load_model(teacher)
    for layer in full.gpt_neox.layers:
        layer.register_forward_hook(lambda module, args, output: seen.append(output[0] if isinstance(output, tuple) else output))
    full(**INPUTS)
    parts = [(rms(outputs[i][REAL]) - rms(seen[layer][REAL][:, channels])).square().mean() for i, layer in enumerate(layers)]
    assert float(hidden.distance(outputs, INPUTS, REAL).detach()) == pytest.approx(float(torch.stack(parts).mean().detach()), rel=1e-5)


def test_padding_does_not_count(teacher: Path, make_neox: Any) -> None:
    student: Any = load_model(make_neox(layers=4, seed=4))
    hidden = HiddenStates(load_model(teacher), student, teacher)
    outputs = states(hidden, student)
    spoiled = [torch.where(REAL[..., None], output, 7.0) for output in outputs]
    assert torch.equal(hidden.distance(spoiled, INPUTS, REAL), hidden.distance(outputs, INPUTS, REAL))


@pytest.mark.parametrize(("shape", "kept", "told"), [
    ({"layers": 2}, {}, "2 layers"),
    ({"layers": 4, "hidden": 64}, {}, "64 hidden"),
    ({"layers": 2}, {"layers": [0, 4]}, "2 layers"),
    ({"layers": 2}, {"layers": [0, 1, 2]}, "2 layers"),
    ({"layers": 4, "hidden": 64}, {"hidden": list(range(100, 164))}, "64 hidden"),
])  # fmt: skip
def test_another_student_is_refused(
    shape: dict[str, int], kept: dict[str, list[int]], told: str, teacher: Path, make_neox: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "student"
    shutil.copytree(make_neox(**shape), folder)
    if kept:
        (folder / "prune_map.json").write_text(json.dumps(kept), encoding="utf-8")
    where = folder / "prune_map.json" if kept else f"{folder}, which has no prune_map.json"
    with pytest.raises(UserError, match=rf"^{where}: the student has {told}.*hidden_weight"):
        HiddenStates(load_model(teacher), load_model(folder), folder)
