"""Inference engines behind one protocol; `open_engine` picks by what the folder holds."""

from pathlib import Path

from medllm.engines.protocol import Engine
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

__all__ = ["Engine", "open_engine"]


def open_engine(folder: Path, *, threads: int, dtype: str | None = None) -> Engine:
    """Load a model folder: model.gguf by llama.cpp (imports no torch), anything else by transformers.

    `dtype` ("bf16", "fp32") is for plain Hugging Face folders; a GGUF or a bitsandbytes folder runs in what it was saved in.
    Raises UserError when there is no model or the dtype does not apply.
    """
    if threads < 1:
        raise UserError(f"threads={threads} for {folder}; use 1 or more")
    if (folder / GGUF_FILE).is_file():
        if dtype is not None:
            raise UserError(f"{folder / GGUF_FILE}: dtype {dtype!r} cannot be chosen, a GGUF runs in its own type; leave dtype out")
        from medllm.engines.llamacpp_engine import LlamaCppEngine

        return LlamaCppEngine(folder, threads=threads)
    from medllm.engines.transformers_engine import TransformersEngine

    return TransformersEngine(folder, threads=threads, dtype=dtype)
