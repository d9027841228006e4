"""Weights as *.safetensors files of limited size, one in memory at a time, in the layout that transformers writes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor

INDEX_FILE = "model.safetensors.index.json"
SHARD_BYTES = 2 * 1024**3  # what is held in memory while a model of any size is written


def write_shards(tensors: Mapping[str, Tensor], target: Path, *, read: Callable[[str], Tensor]) -> None:
    """Write model.safetensors, or numbered shards and their index. `tensors` may be on the meta device; `read` gives the values of one."""
    target.mkdir(parents=True, exist_ok=True)
    plan = split_torch_state_dict_into_shards(dict(tensors), max_shard_size=SHARD_BYTES)
    for file, names in plan.filename_to_tensors.items():
        # the header sorts by name; a clone, because tied tensors share their memory and safetensors refuses that
        save_file({name: read(name).contiguous().clone() for name in names}, target / file, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (target / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
