"""Every architecture through the whole chain: fine-tune, every pruning, distil, every quantisation, generate. Random weights, no quality.

The variants are the YAML files of conf/: a new one is covered without a line here.
"""

import inspect
import shutil
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig

from medllm.data.prompts import Prompts
from medllm.data.records import read_records, write_records
from medllm.engines import OPENVINO_FILE, open_engine
from medllm.model.folder import GGUF_FILE, load_model, read_lineage
from medllm.model.pretrained import fetch_pretrained
from medllm.model.random_weights import Shape, write_random
from pipeline.compose import compose

ROOT = Path(__file__).resolve().parent.parent
SHAPES: dict[str, dict[str, Any]] = {  # 256 wide, so that K-quants fit; one tied, one with grouped queries, more rows than tokens in all
    "gpt_neox": {"num_kv_heads": 4, "head_size": 64, "rotary_share": 0.25, "tied": False},
    "llama": {"num_kv_heads": 2, "head_size": 64, "rotary_share": 1.0, "tied": False},
    "qwen3": {"num_kv_heads": 2, "head_size": 32, "rotary_share": 1.0, "tied": True},
}
ARCHITECTURES = tuple(SHAPES)
SEQUENCES = [[(7 * start + step * (start + 3)) % 400 + 2 for step in range(20 + start)] for start in range(4)]
# largest difference of a log-probability between the quantised model and its source in fp32; schemes by what their name holds
BOUNDS = {"16": 0.02, "8": 0.4, "": 4.0}
SMALL = [
    "finetune.teacher.rank=4", "finetune.teacher.schedule.num_epochs=0.3", "distill.schedule.num_epochs=0.3", "distill.batch_rows=8",
    "prune.tolerance=0.3",
]  # fmt: skip


def variants(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


@cache
def composed(*overrides: str) -> DictConfig:
    return compose([*SMALL, *overrides])


@cache
def quantisations() -> DictConfig:
    """Every file of conf/quantize as a node of its own."""
    return compose([*SMALL, *(f"+quantize@quantize.every_{name}={name}" for name in variants("quantize"))]).quantize


def step(node: DictConfig, *paths: Path, **runtime: Any) -> Any:
    """Call what the node names, as its stage does; knobs that only the stage reads are left out."""
    function = get_method(node._target_)
    knobs = instantiate({key: node[key] for key in node if key in inspect.signature(function).parameters}, _convert_="all")
    return function(*paths, **knobs, **runtime)


@pytest.fixture(scope="module")
def prepared(small_prepared: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Little to train on and to calibrate with."""
    folder = tmp_path_factory.mktemp("architectures") / "prepared"
    shutil.copytree(small_prepared, folder)
    shutil.copyfile(few / "train.jsonl", folder / "train.jsonl")
    write_records(folder / "calibration.jsonl", list(read_records(folder / "calibration.jsonl"))[:3])
    return folder


def write_base(architecture: str, target: Path, tokenizer: Path) -> None:
    """A random base whose logits differ clearly between tokens, with norms and biases that a mix-up would show."""
    own: dict[str, Any] = {"architecture": architecture, **SHAPES[architecture]}
    shape = Shape(hidden_size=256, num_layers=2, num_heads=4, ffn_size=512, vocab_size=640, context_length=512, **own)
    write_random(target, shape=shape, tokenizer_from=tokenizer, seed=7)
    model: Any = load_model(target)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.to(torch.bfloat16).save_pretrained(target)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def chain(
    request: pytest.FixtureRequest, prepared: Path, tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """base -> teacher -> pruned -> distilled."""
    root = tmp_path_factory.mktemp(request.param)
    write_base(request.param, root / "written", tiny_tokenizer)
    fetch_pretrained(
        prepared, root / "base", source=str(root / "written"), revision=None, licence="none", weights="pretrained", context_length=512,
        shape=None, prompt=Prompts.load(tiny_tokenizer).template, seed=0, checkpoints=root,
    )  # fmt: skip
    cfg, training = composed(), {"seed": 1, "on_log": None}
    step(cfg.finetune.teacher, root / "base", prepared, root / "teacher", checkpoints=root / "finetune", **training)
    step(cfg.prune, root / "teacher", prepared, root / "pruned")
    step(cfg.distill, root / "teacher", root / "pruned", prepared, root / "distilled", checkpoints=root / "distill", **training)
    return {name: root / name for name in ("base", "teacher", "pruned", "distilled")}


def logprobs(folder: Path) -> Iterator[float]:
    engine = open_engine(folder, threads=1)
    try:
        for values in engine.token_logprobs(SEQUENCES):
            yield from values
        answers = engine.generate([SEQUENCES[0][:6]], max_new_tokens=4)
        assert len(answers) == 1
    finally:
        engine.close()


@cache
def reference(folder: Path) -> list[float]:
    engine = open_engine(folder, threads=1, dtype="fp32")
    return [value for values in engine.token_logprobs(SEQUENCES) for value in values]


def worst(folder: Path, source: Path) -> float:
    return max(abs(found - wanted) for found, wanted in zip(logprobs(folder), reference(source), strict=True))


def reloaded(folder: Path) -> Any:
    """The folder by stock transformers, every weight found."""
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    return model


def test_every_step_leaves_a_stock_folder_that_has_changed(chain: dict[str, Path]) -> None:
    sizes = {}
    for name, folder in chain.items():
        sizes[name] = reloaded(folder).num_parameters()
        assert read_lineage(folder).name == name
    assert sizes["base"] == sizes["teacher"] > sizes["pruned"] == sizes["distilled"]
    assert reference(chain["base"]) != reference(chain["teacher"])
    assert reference(chain["pruned"]) != reference(chain["distilled"])


@pytest.mark.parametrize("name", variants("prune"))
def test_every_pruning(name: str, chain: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    node = composed(f"prune={name}").prune
    step(node, chain["teacher"], prepared, tmp_path / "pruned")
    before, after = reloaded(chain["teacher"]), reloaded(tmp_path / "pruned")
    assert after.num_parameters() < before.num_parameters()
    step(quantisations().every_gguf_f16, tmp_path / "pruned", prepared, tmp_path / "gguf")
    assert worst(tmp_path / "gguf", tmp_path / "pruned") < BOUNDS["16"]


@pytest.mark.parametrize("name", variants("quantize"))
@pytest.mark.parametrize("source", [pytest.param("base", marks=pytest.mark.slow), "distilled"])  # the shape as published, and a pruned one
def test_every_quantisation(name: str, source: str, chain: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    node = quantisations()[f"every_{name}"]
    if name.startswith("optimum_gptq") and find_spec("gptqmodel") is None:
        pytest.skip("gptqmodel needs an environment of its own")
    result = step(node, chain[source], prepared, tmp_path / "quantised")
    if not any((tmp_path / "quantised" / name).is_file() for name in (GGUF_FILE, OPENVINO_FILE)):
        reloaded(tmp_path / "quantised")
    bound = next(limit for part, limit in BOUNDS.items() if part in result.scheme)
    assert worst(tmp_path / "quantised", chain[source]) < bound
