"""Identity of a training by what goes into it: checkpoints are keyed by it, and `track` finds the live run of a stage by it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from medllm.model.folder import sha256_of
from pipeline.layout import PREPARED, model_dir

_PARENT_FILES = ("*.safetensors", "tokenizer.json", "prompt.json")


def code_sha256(package: Path) -> str:
    """Hash over the sources of a package: state that other code left behind is not gone on from."""
    return hashlib.sha256(_listing(sorted(package.rglob("*.py")), below=package)).hexdigest()


def inputs_sha256(node: DictConfig, seed: int, parents: Sequence[str]) -> str:
    """Hash over the knobs, the prepared data and the models it starts from (in any order)."""
    files = [PREPARED / "corpus.jsonl", PREPARED / "train.jsonl"]
    files += [path for name in sorted(parents) for pattern in _PARENT_FILES for path in sorted(model_dir(name).glob(pattern))]
    knobs = json.dumps([OmegaConf.to_container(node), seed], sort_keys=True).encode()
    return hashlib.sha256(knobs + _listing(files, below=Path())).hexdigest()


def _listing(files: Sequence[Path], *, below: Path) -> bytes:
    """Name and hash of each file, a line each."""
    return "".join(f"{path.relative_to(below).as_posix()} {sha256_of(path)}\n" for path in files).encode()
