"""Size of the KV cache, from the shape that a model folder states; no weight is loaded."""

import json
from pathlib import Path
from typing import Any

from medllm.benchmark.weights import Weights
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

_ITEM = 2  # bytes: bf16 in transformers, f16 in llama.cpp
_BOTH = 2  # keys and values


def kv_bytes_per_token(folder: Path) -> int:
    """Bytes of keys and values of one token over all layers, in 16 bits."""
    file = folder / GGUF_FILE
    layers, kv_heads, head_size = _gguf(file) if file.is_file() else _config(folder / "config.json")
    return _BOTH * _ITEM * layers * kv_heads * head_size


def bytes_read_per_token(folder: Path, weights: Weights, *, prompt_tokens: int, answer_tokens: int) -> float:
    """Weights and KV cache that decoding reads for a token; on average half of the answer is in the cache already."""
    return weights.bytes_per_token + kv_bytes_per_token(folder) * (prompt_tokens + answer_tokens / 2)


def _config(path: Path) -> tuple[int, int, int]:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return int(config["num_hidden_layers"]), int(config.get("num_key_value_heads") or heads), head_size


def _gguf(path: Path) -> tuple[int, int, int]:
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    prefix = fields["general.architecture"].contents()

    def value(key: str, default: int | None = None) -> int:
        field = fields.get(f"{prefix}.{key}")
        if field is None and default is None:
            raise UserError(f"{path}: no {prefix}.{key} in its header; write it again with quantize")
        return int(field.contents()) if field is not None else int(default or 0)

    heads = value("attention.head_count")
    head_size = value("attention.key_length", value("embedding_length") // heads)
    return value("block_count"), value("attention.head_count_kv", heads), head_size
