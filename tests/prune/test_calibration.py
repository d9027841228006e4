"""The calibration pass counts every token once, whatever memory does; criteria and least squares earn their place."""

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from medllm.calibration import Batch, calibrate, calibration_batches, forward, packed
from medllm.errors import UserError
from medllm.model.architecture import layers_of, reshape_config, shape_of
from medllm.model.folder import load_model
from medllm.prune import importance
from medllm.prune.cut import choose, cut
from medllm.prune.depth import distances
from medllm.prune.refit import refit
from medllm.prune.shapes import Sizes

CRITERIA = {name: getattr(importance, name) for name in ("activation", "random", "magnitude", "taylor")}
NO_MEMORY = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12"),
}


@contextmanager
def room_for(model: Any, rows: int, error: Exception) -> Iterator[None]:
    """The last layer of this model fails on bigger batches."""

    def refuse(module: Any, args: tuple[Tensor, ...]) -> None:
        if len(args[0]) > rows:
            raise error

    handle = layers_of(model)[-1].register_forward_pre_hook(refuse)
    yield
    handle.remove()


@pytest.fixture(scope="module")
def batches(learned: Path, small_prepared: Path) -> list[Batch]:
    return calibration_batches(small_prepared, learned, batch_rows=12, max_tokens=128)


@pytest.mark.parametrize("kind", list(NO_MEMORY))
def test_halved_batches_count_every_row_once(
    kind: str, learned: Path, batches: list[Batch], caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(learned)
    watch = [*layers_of(model), model.get_output_embeddings()]

    def measured() -> tuple[int, Tensor]:
        sums = torch.zeros(len(watch), 2)

        def see(index: int, inputs: Tensor, output: Tensor) -> None:
            sums[index] += torch.stack([inputs.sum(), inputs.new_tensor(len(inputs))]).cpu()

        return calibrate(model, batches, watch, see), sums

    tokens, sums = measured()
    assert tokens == sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert sums[:, 1].tolist() == [tokens] * len(watch)
    with room_for(model, 2, NO_MEMORY[kind]), caplog.at_level(logging.WARNING):
        tokens_again, sums_again = measured()
    assert (tokens_again, sums_again[:, 1].tolist()) == (tokens, sums[:, 1].tolist())
    assert torch.allclose(sums_again, sums, rtol=1e-4, atol=1e-2)
    rows = len(batches[0]["labels"])
    assert [int(record.getMessage().split()[-1]) for record in caplog.records] == [rows // 2, rows // 4]


def test_everything_measured_survives_halving(learned: Path, batches: list[Batch]) -> None:
    model, shape = load_model(learned), shape_of(load_model(learned))

    def measured() -> list[Tensor]:
        scores = [criterion(model, batches, seed=1) for criterion in CRITERIA.values()]
        far = distances(model, batches, metric="block_influence", span=1)
        return [far, *(value for score in scores for value in (score.ffn, score.groups, score.hidden))]

    expected = measured()
    with room_for(model, 5, NO_MEMORY["gpu"]):
        for value, again in zip(expected, measured(), strict=True):
            assert torch.allclose(value, again, rtol=1e-3, atol=1e-5)
        smaller = cut(model, kept := choose(importance.random(model, batches, seed=1), shape, shape, range(2)))
        before, after = refit(model, smaller, kept, batches[0], ridge=0.01)
    assert before == pytest.approx(after, abs=1e-4)


@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize("ridge", [None, 0.01])
def test_a_fit_that_ran_out_of_memory_half_way_is_as_if_it_had_not_begun(
    ridge: float | None, depth: bool, learned: Path, batches: list[Batch]
) -> None:
    """The first layers of the smaller model are fitted when its last one refuses the batch; the whole model has room."""
    model, rows = load_model(learned), len(batches[0]["labels"]) // 2
    model.gpt_neox.layers.append(copy.deepcopy(model.gpt_neox.layers[0]))
    model.config.num_hidden_layers = 3
    shape = shape_of(model)
    wanted = replace(shape, layers=2) if depth else replace(shape, ffn=shape.ffn // 2)
    kept = choose(importance.magnitude(model, batches, seed=0), shape, wanted, [1, 2] if depth else range(3))
    cut_short, whole = cut(model, kept), cut(model, kept)
    with room_for(cut_short, rows, NO_MEMORY["gpu"]):
        losses = refit(model, cut_short, kept, batches[0], ridge=ridge)
    assert losses == refit(model, whole, kept, {key: value[:rows] for key, value in batches[0].items()}, ridge=ridge)
    for (name, value), again in zip(whole.state_dict().items(), cut_short.state_dict().values(), strict=True):
        assert torch.equal(value, again), name


@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "qwen3"])
def test_packed_rows_give_what_padded_ones_give(kind: str, miniature: Callable[[str], Path], small_prepared: Path) -> None:
    model = load_model(miniature(kind))
    padded = calibration_batches(small_prepared, miniature(kind), batch_rows=64, max_tokens=128)
    rows = packed(padded, batch_rows=3)
    assert sum(batch["labels"].numel() for batch in rows) < sum(batch["labels"].numel() for batch in padded)

    def scored(batches: list[Batch]) -> Tensor:
        pairs = [(forward(model, batch)[:, :-1], batch["labels"][:, 1:]) for batch in batches]
        every = [-logits.log_softmax(-1)[labels != -100].gather(-1, labels[labels != -100, None])[:, 0] for logits, labels in pairs]
        return torch.cat(every).sort().values

    with torch.inference_mode():
        assert torch.allclose(scored(rows), scored(padded), atol=1e-3)


def test_not_even_one_row_fits(learned: Path, batches: list[Batch]) -> None:
    model = load_model(learned)
    with room_for(model, 0, NO_MEMORY["gpu"]), pytest.raises(UserError, match="out of memory with a batch of one sequence; lower"):
        calibrate(model, batches, [], lambda *seen: None)


def test_other_errors_are_not_taken_for_memory(learned: Path, batches: list[Batch]) -> None:
    model = load_model(learned)
    with room_for(model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), pytest.raises(RuntimeError, match="mat1"):
        calibrate(model, batches, [], lambda *seen: None)


def losses(learned: Path, batches: list[Batch], criterion: Callable[..., importance.Importance], ridge: float | None, seed: int) -> float:
    """The answers' loss with half of the FFN channels gone."""
    model = load_model(learned)
    shape = shape_of(model)
    kept = choose(criterion(model, batches, seed=seed), shape, replace(shape, ffn=shape.ffn // 2), range(shape.layers))
    return refit(model, cut(model, kept), kept, batches[0], ridge=ridge)[1]


def test_activation_beats_random_and_least_squares_beat_both(learned: Path, batches: list[Batch]) -> None:
    by_chance = [losses(learned, batches, importance.random, None, seed) for seed in range(3)]
    by_activation = losses(learned, batches, importance.activation, None, 0)
    assert by_activation < min(by_chance)
    assert losses(learned, batches, importance.activation, 0.01, 0) < by_activation


@pytest.mark.parametrize("name", list(CRITERIA))
@pytest.mark.parametrize("kind", ["tied_neox", "llama", "qwen3"])
def test_criteria_score_every_structure(name: str, kind: str, miniature: Callable[[str], Path], small_prepared: Path) -> None:
    model = load_model(miniature(kind))
    batches = calibration_batches(small_prepared, miniature(kind), batch_rows=8, max_tokens=128)[:1]
    scores, again, shape = *(CRITERIA[name](model, batches, seed=7) for _ in range(2)), shape_of(model)
    assert scores.ffn.shape == (4, 512)
    assert scores.groups.shape == (4, shape.groups)
    assert scores.hidden.shape == (shape.hidden,)
    for value, same in zip((scores.ffn, scores.groups, scores.hidden), (again.ffn, again.groups, again.hidden), strict=True):
        assert torch.isfinite(value).all()
        assert (value > 0).float().mean() > 0.99
        assert torch.equal(value, same)


@pytest.mark.parametrize("kind", ["gpt_neox", "tied_neox", "llama", "qwen3"])
def test_the_size_arithmetic_equals_the_real_model(kind: str, miniature: Callable[[str], Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = load_model(miniature(kind))
    sizes = Sizes.of(model)
    shapes = sizes.shapes(axes=["ffn", "heads", "hidden"], round_to=64, layers=[1, 3, 4])
    assert len(shapes) > 40
    for shape in shapes[::9]:
        with torch.device("meta"):
            smaller: Any = AutoModelForCausalLM.from_config(reshape_config(model, shape, layers=range(shape.layers)))
        assert sizes.parameters(shape) == smaller.num_parameters()
    assert sizes.parameters(sizes.source) == model.num_parameters()
