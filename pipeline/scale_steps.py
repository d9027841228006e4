"""Which models the benchmark at true scale builds, and from which nodes of conf/."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import call
from omegaconf import DictConfig, OmegaConf

from medllm.benchmark.scale_models import Step
from medllm.errors import UserError
from medllm.model.folder import sha256_of
from pipeline.conf_sha import CONF

BASELINE_A = "teacher"
# (source, conf/quantize option, upper bound of its bits a weight). Unpruned Q8_0 is the brief's INT8.
_QUANTIZED = (
    ("teacher", "gguf_f16", 16.1), ("teacher", "gguf_q8_0", 8.6), ("pruned", "gguf_q8_0", 8.6), ("pruned", "gguf_q4_0", 4.6),
    ("pruned", "gguf_q4_k", 6.6),
)  # fmt: skip
BASELINE_B = "teacher_gguf_f16"
MODELS = (BASELINE_A, *(f"{source}_{option}" for source, option, _ in _QUANTIZED))
_OPTIONS = tuple(dict.fromkeys(option for _, option, _ in _QUANTIZED))
# 256: K-quants pack that many weights of a row together, other widths fall back to larger types. The rest keeps the work small: the
# weights are random, so nothing can be refitted.
_PRUNE = ("prune=ffn", "prune.round_to=256", "prune.ridge=null", "prune.sample_tokens=512")


def overrides(shape: str) -> list[str]:
    """What the composed configuration is asked for. UserError when conf/model/<shape>.yaml gives no shape."""
    files = sorted((CONF / "model").glob("*.yaml"))
    with_shape = [path.stem for path in files if re.search(r"^shape:", path.read_text(encoding="utf-8"), re.MULTILINE)]
    if shape not in with_shape:
        raise UserError(f"--shape {shape}: not one of {', '.join(with_shape)} (conf/model/*.yaml with a shape)")
    nodes = [f"+quantize@quantize.scale_{option}={option}" for option in _OPTIONS]
    return [f"model={shape}", "model.weights=random", *_PRUNE, *nodes]


def steps_of(cfg: DictConfig, *, work: Path, prepared: Path) -> list[Step]:
    """Teacher, pruned teacher, and every quantised model, parents first. The teacher's tokenizer is trained on `prepared`, the others
    see the calibration set in `work`/prepared."""  # fmt: skip
    calibration = work / "prepared"
    texts = {name: sha256_of(prepared / f"{name}.jsonl") for name in ("corpus", "train")}
    seen = sha256_of(calibration / "calibration.jsonl")
    left = 1 - float(cfg.prune.ratio) + float(cfg.prune.tolerance)

    def teacher(folder: Path) -> object:
        return call(cfg.model, prepared, folder, seed=cfg.seed, checkpoints=work, _convert_="all")

    random = {"node": _plain(cfg.model), "seed": cfg.seed, "texts": texts}
    pruned = {"node": _plain(cfg.prune), "calibration": seen, "of": random}
    parents = {"teacher": (random, 1.0), "pruned": (pruned, left)}
    steps = [
        Step(name="teacher", make=teacher, recipe=random, bits=16),
        Step(name="pruned", make=_called(cfg.prune, work / "teacher", calibration), recipe=pruned, bits=16 * left),
    ]
    for source, option, bits in _QUANTIZED:
        node, (parent, share) = cfg.quantize[f"scale_{option}"], parents[source]
        recipe = {"node": _plain(node), "calibration": seen, "of": parent}
        steps.append(Step(name=f"{source}_{option}", make=_called(node, work / source, calibration), recipe=recipe, bits=bits * share))
    return steps


def _called(node: DictConfig, source: Path, prepared: Path) -> Callable[[Path], object]:
    return lambda folder: call(node, source, prepared, folder)


def _plain(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)
