"""conf/search: a wrong file is refused in one line before anything runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medllm.errors import UserError
from pipeline.conf_sha import CONF
from pipeline.search_loop import search
from pipeline.search_space import Space, check, read_space

SPACE = {
    "objectives": {"bytes": "minimize"}, "models": ["student_gguf_q4_0"], "space": {"seed": [1]}, "batch": 4, "seed": 1,
    "sampler": {"_target_": "optuna.samplers.NSGAIISampler"},
}  # fmt: skip
Write = Callable[[Any], Space]


def changed(**parts: Any) -> dict[str, Any]:
    return SPACE | parts


@pytest.mark.parametrize(("content", "told"), [
    (changed(objektives={}), "objektives: Unexpected keyword argument"),
    (changed(objectives={}), "objectives: Dictionary should have at least 1 item"),
    (changed(objectives={"bytes": "small"}), "objectives.bytes: Input should be 'maximize' or 'minimize'"),
    (changed(models=[]), "models: List should have at least 1 item"),
    (changed(batch=0), "batch: Input should be greater than or equal to 1"),
    (changed(seed="x"), "seed: Input should be a valid integer"),
    (changed(space={}), "space: Dictionary should have at least 1 item"),
    (changed(space={"prune": []}), "space.prune: List should have at least 1 item"),
    (changed(space={"prune": ["ffn", "ffn"]}), "space.prune: a value stands there twice"),
    (changed(space={"prune": "ffn"}), "space.prune='ffn': neither a list of values nor a range"),
    (changed(space={"prune.ratio": {"low": 0.1}}), "space.prune.ratio.high: Field required"),
    (changed(space={"prune.ratio": {"low": 0.1, "high": 0.4, "stap": 1}}), "space.prune.ratio.stap: Unexpected keyword argument"),
    (changed(space={"prune.ratio": {"low": 0.4, "high": 0.1}}), "low must not exceed high"),
    (changed(space={"prune.ratio": {"low": 0, "high": 1, "log": True}}), "a logarithmic range is positive"),
    (changed(space={"prune.ratio": {"low": 0.1, "high": 0.42, "step": 0.05}}), "no whole number of steps of 0.05"),
    (changed(space={"prune.ratio": {"low": float("nan"), "high": 1}}), "Input should be a finite number"),
    ("[1", "not YAML"),
    ("5", "conf/search/given.yaml"),
])  # fmt: skip
def test_a_wrong_form_is_refused_in_one_line(content: Any, told: str, write: Write) -> None:
    with pytest.raises(UserError) as error:
        write(content)
    message = str(error.value)
    assert message.startswith("conf/search/given.yaml")
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(("part", "value", "told"), [
    ("space", {"prune.rato": [0.2]}, "Key 'rato' not in"),
    ("space", {"prune.ratio": ["abc"]}, "full_key: prune.ratio"),
    ("space", {"prune.ratio": {"low": 0.1, "high": 1.4, "step": 0.1}}, "prune.ratio=1.4: Input should be less than"),
    ("space", {"prune": ["ffn", "gpt"]}, "Could not find 'prune/gpt'"),
    ("models", ["student_gguf_q3"], "'student_gguf_q3' is not one of"),
    ("objectives", {"accuracy": "maximize"}, "has no metric 'accuracy'; it has bits_per_byte"),
])  # fmt: skip
def test_what_conf_does_not_know_is_refused_before_anything_runs(
    part: str, value: Any, told: str, write: Write, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    space = write(SPACE | {part: value})
    with pytest.raises(UserError) as error:
        check(space, "here")
    message = str(error.value)
    assert message.startswith("here: ")
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "search").glob("*.yaml")))
def test_the_searches_of_the_repository_are_valid(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    space = read_space(name)
    check(space, name)
    assert next(iter(search(space, {}, trials=1, run_all=lambda points: ((point, {"values": {}, "error": "no"}) for point in points))))
