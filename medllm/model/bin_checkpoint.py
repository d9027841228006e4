"""Old checkpoints, pytorch_model*.bin: read as tensors and nothing else, and written once as safetensors."""

import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from medllm.errors import UserError
from medllm.model.folder import sha256_of
from medllm.model.shards import write_shards
from medllm.model.skeleton import BUFFERS

INDEX_FILE = "pytorch_model.bin.index.json"
_OUTPUTS = ("lm_head.weight", "embed_out.weight")


def bin_files(folder: Path) -> list[Path]:
    """The checkpoint's files in order, by its index when there is one. UserError: a file of the index is not there."""
    index = folder / INDEX_FILE
    if not index.is_file():
        return sorted(folder.glob("pytorch_model*.bin"))
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(f"{folder}: {INDEX_FILE} names {name}, which is not there; get the checkpoint again")
    return [folder / name for name in names]


def convert_bin(source: Path, target: Path, *, tied: bool) -> dict[str, str]:
    """Write the tensors of pytorch_model*.bin to model*.safetensors, in their own dtype; sha256 of each source file by name.

    Buffers of old transformers are dropped, and the output matrix where it is `tied` to the embedding. The files are mapped into
    memory, so that a shard of the output (2 GiB) is all that is held. UserError: a file that holds more than tensors.
    """
    tensors: dict[str, Tensor] = {}
    files = bin_files(source)
    for path in files:
        tensors |= {name: tensor for name, tensor in _tensors(path).items() if not name.endswith(BUFFERS)}
    if tied:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in _OUTPUTS}
    write_shards(tensors, target, read=lambda name: tensors[name])
    return {path.name: sha256_of(path) for path in files}


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        # files from before PyTorch 1.6 are no zip archives and cannot be mapped
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{path}: holds more than tensors, or is cut off; a pickle that can run code is not loaded, convert it to safetensors"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise UserError(f"{path}: holds no plain name -> tensor table; convert it to safetensors with the program that wrote it")
    return content
