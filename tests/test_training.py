"""Batches keep their budget, and a training that was cut off ends where an unbroken one does."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.batches import IGNORED, collate
from medllm.data.examples import Example
from medllm.errors import UserError
from medllm.model.folder import load_model
from medllm.training import Schedule, TokenBatches, TrainResult, train

SCHEDULE = Schedule(
    num_epochs=2.0, batch_tokens=64, learning_rate=5e-3, warmup_ratio=0.1, weight_decay=0.01, precision="fp32", checkpoint_steps=4
)


def examples(count: int = 24, *, longest: int = 20) -> list[Example]:
    lengths = [3 + number * 5 % longest for number in range(count)]
    return [
        Example(ids=[(7 * number + 3 * place) % 500 + 2 for place in range(length)], scored=((number % 3, length),), key=number)
        for number, length in enumerate(lengths)
    ]


@pytest.mark.parametrize(("batch_tokens", "num_epochs"), [(16, 1.0), (64, 3.0), (200, 2.5), (1, 1.0)])
def test_batches_keep_the_budget_and_hold_every_example_once_an_epoch(batch_tokens: int, num_epochs: float) -> None:
    rows = examples(40)
    batches = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, seed=3).batches
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(len(example.ids) for example in batch) <= batch_tokens
    counts = Counter(example.key for batch in batches for example in batch)
    assert sum(counts.values()) == round(num_epochs * len(rows))
    assert set(counts.values()) <= {math.floor(num_epochs), math.ceil(num_epochs)}
    again = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, seed=3).batches
    assert batches == again
    other = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, seed=4).batches
    assert batches != other


def test_epochs_differ_in_order() -> None:
    batches = TokenBatches(examples(), num_epochs=2.0, batch_tokens=64, seed=0).batches
    assert batches[: len(batches) // 2] != batches[len(batches) // 2 :]


def test_collate_pads_right_and_masks_what_bears_no_loss() -> None:
    parts = [
        [Example(ids=[5, 6, 7], scored=((2, 3),), key=4), Example(ids=[8, 9], key=1)],
        [Example(ids=[3, 2, 1, 4], scored=((1, 2), (3, 4)), key=9)],
    ]
    batch = collate(parts)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0], [8, 9, 0, 0], [3, 2, 1, 4]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    # the first token has nothing before it, so it is never predicted
    x = IGNORED
    assert batch["labels"].tolist() == [[x, x, 7, x], [x, 9, x, x], [x, 2, x, 4]]
    assert batch["keys"].tolist() == [4, 1, 9]


def full(folder: Path) -> Any:
    return load_model(folder)


def lora(folder: Path) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_dropout=0.2, target_modules=["query_key_value", "dense"])
    return get_peft_model(load_model(folder), config)


def run(make: Callable[[Path], Any], folder: Path, checkpoints: Path, on_log: Any = None, **changes: Any) -> tuple[Any, TrainResult]:
    model = make(folder)
    result = train(
        model, examples(), schedule=dataclasses.replace(SCHEDULE, **changes), seed=1, checkpoints=checkpoints, on_log=on_log
    )
    return model, dataclasses.replace(result, seconds=0.0)


def stop_at(step: int) -> Callable[[Mapping[str, float], int], None]:
    def stop(values: Mapping[str, float], now: int) -> None:
        if now == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize(("make", "precision"), [(full, "fp32"), (full, "bf16"), (lora, "bf16")])
def test_a_training_that_was_cut_off_goes_on(make: Callable[[Path], Any], precision: str, make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    unbroken, expected = run(make, folder, tmp_path / "unbroken", precision=precision)
    assert expected.steps > 10
    with pytest.raises(KeyboardInterrupt):
        run(make, folder, tmp_path / "broken", stop_at(7), precision=precision)
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["checkpoint-4"]
    (tmp_path / "broken" / "checkpoint-6").mkdir()  # killed while it was written
    resumed, result = run(make, folder, tmp_path / "broken", precision=precision)
    assert result == expected
    for (name, wanted), found in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(wanted, found), name


def test_nothing_is_left_to_train_after_the_last_checkpoint(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    steps = len(TokenBatches(examples(), num_epochs=2.0, batch_tokens=64, seed=1))
    first, expected = run(full, folder, tmp_path / "checkpoints", checkpoint_steps=steps)
    seen: list[int] = []
    second, result = run(full, folder, tmp_path / "checkpoints", lambda values, step: seen.append(step), checkpoint_steps=steps)
    assert seen == []
    assert result == expected
    assert torch.equal(first.get_output_embeddings().weight, second.get_output_embeddings().weight)


def test_it_learns_in_place_and_leaves_a_plain_model(make_neox: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    model, result = run(
        full, make_neox(hidden=64, layers=1, ffn=64), tmp_path / "none", lambda values, step: seen.append(step),
        precision="bf16", checkpoint_steps=0,
    )  # fmt: skip
    assert result.loss_last < result.loss_first
    assert seen == list(range(1, result.steps + 1))
    assert result.tokens == 2 * sum(len(example.ids) for example in examples())
    assert result.loss_tokens == 2 * sum(len(example.targets) for example in examples())
    assert not model.training
    assert {(value.dtype, value.device.type) for value in model.parameters()} == {(torch.float32, "cpu")}
    assert model(input_ids=torch.tensor([[2, 3]])).logits.dtype == torch.float32


def test_a_loss_that_is_no_number_stops_the_training(make_neox: Any, tmp_path: Path) -> None:
    def broken(folder: Path) -> Any:
        model: Any = load_model(folder)
        with torch.no_grad():
            model.get_output_embeddings().weight[7, 0] = math.nan
        return model

    with pytest.raises(RuntimeError, match="loss is nan at step 1"):
        run(broken, make_neox(hidden=64, layers=1, ffn=64), tmp_path / "checkpoints")


def test_wrong_knobs_are_named(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    with pytest.raises(ValueError, match="precision"):
        run(full, folder, tmp_path, precision="fp8")
    with pytest.raises(UserError, match=r"num_epochs=0\.001"):
        run(full, folder, tmp_path, num_epochs=0.001)
