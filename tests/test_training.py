"""Batches keep their budget, and a training that was cut off ends where an unbroken one does."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from medllm.batches import IGNORED, collate, collate_packed
from medllm.data.examples import Example
from medllm.errors import UserError
from medllm.model.folder import load_model
from medllm.training import Schedule, TokenBatches, TrainResult, train

SCHEDULE = Schedule(
    num_epochs=2.0, batch_tokens=64, learning_rate=5e-3, warmup_ratio=0.1, weight_decay=0.01, precision="fp32", optimizer="adamw",
    gradient_checkpointing=False, packing=False, checkpoint_steps=4,
)  # fmt: skip


def examples(count: int = 24, *, longest: int = 20) -> list[Example]:
    lengths = [3 + number * 5 % longest for number in range(count)]
    return [
        Example(ids=[(7 * number + 3 * place) % 500 + 2 for place in range(length)], scored=((number % 3, length),), key=number)
        for number, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(("batch_tokens", "num_epochs"), [(16, 1.0), (64, 3.0), (200, 2.5), (1, 1.0)])
def test_batches_keep_the_budget_and_hold_every_example_once_an_epoch(batch_tokens: int, num_epochs: float, packing: bool) -> None:
    rows = examples(40)
    batches = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, packing=packing, seed=3).batches
    for batch in batches:
        lengths = [len(example.ids) for example in batch]
        assert len(batch) == 1 or (sum(lengths) if packing else len(batch) * max(lengths)) <= batch_tokens
    counts = Counter(example.key for batch in batches for example in batch)
    assert sum(counts.values()) == round(num_epochs * len(rows))
    assert set(counts.values()) <= {math.floor(num_epochs), math.ceil(num_epochs)}
    again = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, packing=packing, seed=3).batches
    assert batches == again
    other = TokenBatches(rows, num_epochs=num_epochs, batch_tokens=batch_tokens, packing=packing, seed=4).batches
    assert batches != other


def test_epochs_differ_in_order() -> None:
    batches = TokenBatches(examples(), num_epochs=2.0, batch_tokens=64, packing=False, seed=0).batches
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


def test_collate_packed_makes_one_row_and_no_loss_crosses_a_border() -> None:
    parts = [
        [Example(ids=[5, 6, 7], key=4), Example(ids=[8], key=1)],
        [Example(ids=[3, 2, 1, 4], scored=((1, 2), (3, 4)), key=9)],
    ]
    batch = collate_packed(parts)
    x = IGNORED
    assert set(batch) == {"input_ids", "position_ids", "labels", "keys"}
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 3, 2, 1, 4]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[x, 6, 7, x, x, 2, x, 4]]
    assert batch["keys"].tolist() == [4, 1, 9]


def random_model(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    grouped = {} if kind == "gpt_neox" else {"num_key_value_heads": 1}
    config = AutoConfig.for_model(
        kind, vocab_size=600, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=64, initializer_range=0.15, **grouped,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "qwen3"])
def test_packed_examples_do_not_see_each_other(kind: str, attention: str, tmp_path: Path) -> None:
    """The Trainer's model on one packed row gives every example the logits, and the row the loss, that they have without company."""
    rows = examples(12)
    model = random_model(kind)
    model.set_attn_implementation(attention)
    alone = torch.cat([model(input_ids=torch.tensor([row.ids])).logits[0] for row in rows])
    seen: list[torch.Tensor] = []
    hook = model.register_forward_hook(lambda module, inputs, output: seen.append(output.logits.detach()))
    _, padded = train_once(model, rows, tmp_path, packing=False)
    packed_model = random_model(kind)
    packed_model.set_attn_implementation(attention)
    hook.remove()
    packed_model.register_forward_hook(lambda module, inputs, output: seen.append(output.logits.detach()))
    order, packed = train_once(packed_model, rows, tmp_path, packing=True)
    starts = {row.key: sum(len(before.ids) for before in rows[:place]) for place, row in enumerate(rows)}
    expected = torch.cat([alone[starts[row.key] : starts[row.key] + len(row.ids)] for row in order])
    assert seen[-1].shape[0] == 1
    assert (seen[-1][0] - expected).abs().max() < 1e-4
    assert packed.loss_first == pytest.approx(padded.loss_first, abs=1e-5)
    assert packed.steps == padded.steps == 1
    for (name, wanted), found in zip(model.state_dict().items(), packed_model.state_dict().values(), strict=True):
        assert (wanted - found).abs().max() < 2e-4, name  # one step of 1e-3, where the sign of a tiny gradient may turn


def train_once(model: Any, rows: list[Example], folder: Path, *, packing: bool) -> tuple[list[Example], TrainResult]:
    """One step on all rows; also the order in which they are packed."""
    knobs = {"num_epochs": 1.0, "batch_tokens": 10_000, "packing": packing}
    schedule = dataclasses.replace(SCHEDULE, learning_rate=1e-4, warmup_ratio=0.0, weight_decay=0.0, checkpoint_steps=0, **knobs)  # type: ignore[arg-type]
    return TokenBatches(rows, seed=1, **knobs).batches[0], train(model, rows, schedule=schedule, seed=1, checkpoints=folder)  # type: ignore[arg-type]


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


@pytest.mark.parametrize(("make", "changes"), [
    (full, {}),
    (full, {"precision": "bf16"}),
    (full, {"optimizer": "adamw_8bit", "packing": True, "gradient_checkpointing": True}),
    (lora, {"precision": "bf16"}),
])  # fmt: skip
def test_a_training_that_was_cut_off_goes_on(
    make: Callable[[Path], Any], changes: dict[str, Any], make_neox: Any, tmp_path: Path
) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    unbroken, expected = run(make, folder, tmp_path / "unbroken", **changes, checkpoint_steps=0)  # and saving changes nothing
    assert list((tmp_path / "unbroken").glob("*")) == []
    assert expected.steps > 8
    with pytest.raises(KeyboardInterrupt):
        run(make, folder, tmp_path / "broken", stop_at(7), **changes)
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["checkpoint-4"]
    (tmp_path / "broken" / "checkpoint-6").mkdir()  # killed while it was written
    (tmp_path / "broken" / "checkpoint-7").mkdir()
    (tmp_path / "broken" / "checkpoint-7" / "trainer_state.json").write_text('{"epoch": 0.', encoding="utf-8")
    resumed, result = run(make, folder, tmp_path / "broken", **changes)
    assert result == expected
    for (name, wanted), found in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(wanted, found), name


def test_the_loss_curve_goes_on_where_it_was_cut_off(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    curves: list[dict[int, float]] = [{}, {}]

    def note(curve: dict[int, float], last: int) -> Callable[[Mapping[str, float], int], None]:
        def on_log(values: Mapping[str, float], step: int) -> None:
            curve[step] = values["loss"]
            stop_at(last)(values, step)

        return on_log

    knobs = {"batch_tokens": 1, "num_epochs": 6.0, "checkpoint_steps": 5}  # 144 steps, every second logged: saved at 6, 12, ...
    run(full, folder, tmp_path / "unbroken", note(curves[0], 0), **knobs)
    with pytest.raises(KeyboardInterrupt):
        run(full, folder, tmp_path / "broken", note(curves[1], 22), **knobs)
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["checkpoint-18"]
    curves[1] = {step: loss for step, loss in curves[1].items() if step <= 18}
    run(full, folder, tmp_path / "broken", note(curves[1], 0), **knobs)
    assert list(curves[0]) == list(range(2, 145, 2))
    assert curves[1] == curves[0]


def test_recomputed_activations_change_no_weight(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=2, ffn=64)
    for make in (full, lora):
        stored, expected = run(make, folder, tmp_path / "none", checkpoint_steps=0)
        recomputed, result = run(make, folder, tmp_path / "none", checkpoint_steps=0, gradient_checkpointing=True)
        assert result == expected
        assert not recomputed.is_activation_checkpointing
        for (name, wanted), found in zip(stored.state_dict().items(), recomputed.state_dict().values(), strict=True):
            assert torch.equal(wanted, found), name


def test_the_8_bit_optimizer_runs_without_a_gpu_and_learns_as_well(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    _, plain = run(full, folder, tmp_path / "plain", checkpoint_steps=0)
    _, short = run(full, folder, tmp_path / "short", optimizer="adamw_8bit")
    assert short.loss_last == pytest.approx(plain.loss_last, rel=0.05)
    assert short.loss_last != plain.loss_last
    (checkpoint,) = (tmp_path / "short").iterdir()
    states = torch.load(checkpoint / "optimizer.pt", weights_only=True)["state"].values()
    moments = [state["__bnb_optimizer_quant_state__"]["state1"] for state in states]
    assert {torch.uint8, torch.float32} == {moment.dtype for moment in moments}  # small tensors and the embedding stay in 32 bit


def test_nothing_is_left_to_train_after_the_last_checkpoint(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    steps = len(TokenBatches(examples(), num_epochs=2.0, batch_tokens=64, packing=False, seed=1))
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
    assert model.config.use_cache
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


def test_weights_that_the_last_step_broke_are_seen(make_neox: Any, tmp_path: Path) -> None:
    """The one logged loss is that of the weights before the step."""
    seen: list[float] = []
    knobs = {"num_epochs": 1.0, "batch_tokens": 10_000, "learning_rate": 1e39, "warmup_ratio": 0.0, "checkpoint_steps": 0}
    with pytest.raises(RuntimeError, match="a weight is not a number after training; lower learning_rate") as error:
        run(full, make_neox(hidden=64, layers=1, ffn=64), tmp_path, lambda values, step: seen.append(values["loss"]), **knobs)
    assert "\n" not in str(error.value)
    assert len(seen) == 1
    assert math.isfinite(seen[0])


def test_one_process_only(make_neox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    monkeypatch.setenv("WORLD_SIZE", "1")  # as a scheduler may set it
    run(full, folder, tmp_path / "one", num_epochs=0.2, checkpoint_steps=0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"WORLD_SIZE: .* start it without torchrun") as error:
        run(full, folder, tmp_path / "two")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "two").exists()


def test_wrong_knobs_are_named(make_neox: Any, tmp_path: Path) -> None:
    folder = make_neox(hidden=64, layers=1, ffn=64)
    with pytest.raises(ValueError, match="precision"):
        run(full, folder, tmp_path, precision="fp8")
    with pytest.raises(ValueError, match="optimizer"):
        run(full, folder, tmp_path, optimizer="sgd")
    with pytest.raises(UserError, match=r"num_epochs=0\.001"):
        run(full, folder, tmp_path, num_epochs=0.001)
