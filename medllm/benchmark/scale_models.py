"""The models of a benchmark at true scale, built one after the other into a work folder that a later run continues."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from medllm.data.atomic import replaced_folder
from medllm.errors import UserError
from medllm.model.random_weights import Shape

RECIPE_FILE = "recipe.json"
_BUILD_BYTES_PER_PARAMETER = 8.2  # peak of pruning, the largest step: whole and pruned model in fp32; 7.8 measured at 1.3B
_ROW_BYTES = 600 << 20  # what a worker takes beside its weights: libraries, KV cache, buffers
_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`make(folder)` writes the model `name`; `recipe` is everything that it depends on, as JSON values. `bits` a parameter, for the room
    it takes."""  # fmt: skip

    name: str
    make: Callable[[Path], object]
    recipe: Mapping[str, Any]
    bits: float


def build(work: Path, steps: Sequence[Step], *, on_step: Callable[[str, bool], None]) -> dict[str, Path]:
    """Folders by name. A folder that an earlier call finished with the same recipe is kept; `on_step(name, kept)` comes before each."""
    for step in steps:
        on_step(step.name, _finished(work, step))
        if not _finished(work, step):
            with replaced_folder(work / step.name) as folder:
                step.make(folder)
                (folder / RECIPE_FILE).write_text(_recipe(step), encoding="utf-8")
    return {step.name: work / step.name for step in steps}


def _recipe(step: Step) -> str:
    return json.dumps(step.recipe, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _finished(work: Path, step: Step) -> bool:
    path = work / step.name / RECIPE_FILE
    return path.is_file() and path.read_text(encoding="utf-8") == _recipe(step)


def parameters_of(shape: Shape) -> int:
    """Parameters of a shape: its matrices, which are all but a thousandth."""
    query, keys = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    feed_forward = (2 if shape.architecture == "gpt_neox" else 3) * shape.ffn_size
    per_layer = shape.hidden_size * (2 * query + 2 * keys + feed_forward)
    return shape.num_layers * per_layer + shape.vocab_size * shape.hidden_size * (1 if shape.tied else 2)


def check_room(work: Path, steps: Sequence[Step], *, shape: Shape, run: Sequence[str], probe_bytes: int) -> None:
    """UserError when the disk does not hold the models that are missing, or the memory not the build or all models of `run` at once."""
    parameters = parameters_of(shape)
    missing = [step for step in steps if not _finished(work, step)]
    work.mkdir(parents=True, exist_ok=True)
    disk = int(sum(parameters * step.bits / 8 for step in missing) * 1.05)
    free = shutil.disk_usage(work).free
    if disk > free:
        raise UserError(f"{work}: {disk / _GIB:.1f} GiB are needed for {len(missing)} models and {free / _GIB:.1f} are free; give --work")
    together = sum(parameters * step.bits / 8 + _ROW_BYTES for step in steps if step.name in run) + probe_bytes
    memory = max(together, parameters * _BUILD_BYTES_PER_PARAMETER if missing else 0)
    available = psutil.virtual_memory().available
    if memory > available:
        needs = f"{memory / _GIB:.1f} GiB of memory are needed and {available / _GIB:.1f} are available"
        raise UserError(f"{needs}; stop other work, or take a smaller --shape")


def small_calibration(prepared: Path, target: Path, *, records: int) -> None:
    """A prepared folder that holds the first `records` of calibration.jsonl and nothing else: a billion parameters are slow on a CPU."""
    source = prepared / "calibration.jsonl"
    if not source.is_file():
        raise UserError(f"{source}: missing; run dvc repro prepare_data, or give --prepared")
    target.mkdir(parents=True, exist_ok=True)
    partial = target / "calibration.jsonl.partial"
    with source.open(encoding="utf-8") as lines:
        partial.write_text("".join(islice(lines, records)), encoding="utf-8")
    os.replace(partial, target / "calibration.jsonl")  # noqa: PTH105
