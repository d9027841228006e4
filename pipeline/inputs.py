"""Identity of a training by what goes into it: checkpoints are keyed by it, and `track` finds the live run of a stage by it."""

import hashlib
import json
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from medllm.model.folder import sha256_of
from pipeline.layout import PREPARED, model_dir

_PARENT_FILES = ("*.safetensors", "tokenizer.json", "prompt.json")


def inputs_sha256(node: DictConfig, seed: int, parents: Sequence[str]) -> str:
    """Hash over the knobs, the prepared data and the models it starts from (in any order)."""
    digest = hashlib.sha256(json.dumps([OmegaConf.to_container(node), seed], sort_keys=True).encode())
    files = [PREPARED / "corpus.jsonl", PREPARED / "train.jsonl"]
    files += [path for name in sorted(parents) for pattern in _PARENT_FILES for path in sorted(model_dir(name).glob(pattern))]
    for path in files:
        digest.update(f"{path.as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
