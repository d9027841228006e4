"""Read the weights of a Hugging Face folder with numpy alone: numpy has no bfloat16, and a GGUF needs no torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medllm.errors import UserError

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_HEADER_LENGTH = 8  # little-endian u64 before the JSON header of a safetensors file


class SafetensorsFolder:
    """All tensors of the *.safetensors files of a folder, mapped into memory, read one at a time."""

    def __init__(self, folder: Path) -> None:
        self._tensors: dict[str, tuple[Path, int, str, tuple[int, ...]]] = {}
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise UserError(f"{folder}: no *.safetensors; expected a Hugging Face model folder with safetensors weights")
        for path in files:
            self._index(path)

    @property
    def names(self) -> list[str]:
        """Names of all tensors, sorted."""
        return sorted(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return self._tensors[name][3]

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor in float32: exact, as each stored type is narrower or equal."""
        path, offset, stored, shape = self._tensors[name]
        raw: NDArray[Any] = np.memmap(path, dtype=_DTYPES[stored], mode="r", offset=offset, shape=shape)
        if stored == "BF16":  # bfloat16 is the upper half of a float32
            raw = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return np.asarray(raw, dtype=np.float32)

    def _index(self, path: Path) -> None:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER_LENGTH), "little")
            header: dict[str, Any] = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] not in _DTYPES:
                raise UserError(f"{path}: tensor {name} is stored as {entry['dtype']}; quantize from a bf16, f16 or f32 folder")
            begin = _HEADER_LENGTH + length + int(entry["data_offsets"][0])
            self._tensors[name] = (path, begin, entry["dtype"], tuple(entry["shape"]))
