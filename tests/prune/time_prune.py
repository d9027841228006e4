"""Seconds that pruning takes beside one forward pass over the calibration set: python tests/prune/time_prune.py [--threads 1].

Random weights in the shape of a 350M GPT-NeoX unless told otherwise; prints one JSON object.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import call
from tokenizers import Tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from medllm.calibration import Batch, calibration_batches, forward, on_device
from medllm.model.folder import Lineage, load_model, save_model
from pipeline.schema import register

ROOT = Path(__file__).parents[2]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--prepared", type=Path, default=ROOT / "data" / "prepared", help="folder with calibration.jsonl")
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "artifacts" / "models" / "base", help="model folder with the tokenizer")
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--ffn", type=int, default=4096)
    parser.add_argument("--vocab", type=int, default=30080)
    parser.add_argument("--items", type=int, default=0, help="calibration items to take; 0: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("overrides", nargs="*", default=[], help="prune=depth, prune.ratio=0.2, ...")
    return parser.parse_args()


def build(folder: Path, chosen: argparse.Namespace) -> None:
    """A random model folder; ids over the tokenizer's vocabulary are never used."""
    config = GPTNeoXConfig(
        hidden_size=chosen.hidden, num_hidden_layers=chosen.layers, num_attention_heads=chosen.heads, intermediate_size=chosen.ffn,
        vocab_size=max(chosen.vocab, Tokenizer.from_file(str(chosen.tokenizer / "tokenizer.json")).get_vocab_size()),
    )  # fmt: skip
    lineage = Lineage(name="random", parent=None, step="test", method="random")
    save_model(GPTNeoXForCausalLM(config), folder, tokenizer_from=chosen.tokenizer, lineage=lineage)


@torch.inference_mode()
def one_pass(model: Any, batches: list[Batch]) -> float:
    """Seconds of a forward pass over these batches, as they come."""
    with on_device(model) as device:
        started = time.perf_counter()
        for batch in batches:
            forward(model, {key: value.to(device) for key, value in batch.items()})
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def main() -> None:
    """Build, pass, prune, print."""
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        knobs = compose("config", overrides=chosen.overrides).prune
    with tempfile.TemporaryDirectory() as place:
        source, prepared = Path(place) / "source", Path(place) / "prepared"
        build(source, chosen)
        prepared.mkdir()
        shutil.copyfile(chosen.prepared / "calibration.jsonl", prepared / "calibration.jsonl")
        if chosen.items:
            lines = (prepared / "calibration.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
            (prepared / "calibration.jsonl").write_text("".join(lines[:: max(1, len(lines) // chosen.items)]), encoding="utf-8")
        batches = calibration_batches(prepared, source, batch_rows=knobs.batch_rows, max_tokens=knobs.max_tokens)
        forward_seconds = one_pass(load_model(source), batches)
        started = time.perf_counter()
        result = call(knobs, source, prepared, Path(place) / "target")
        prune_seconds = time.perf_counter() - started
    print(json.dumps({  # noqa: T201
        "forward_seconds": round(forward_seconds, 2), "prune_seconds": round(prune_seconds, 2),
        "beyond_one_pass_seconds": round(prune_seconds - forward_seconds, 2), "ratio": round(result.ratio, 4),
        "parameters_before": result.parameters_before, "calibration_tokens": result.calibration_tokens, "threads": chosen.threads,
        "prune": knobs._target_,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
