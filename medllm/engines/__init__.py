"""Inference engines behind one protocol; `open_engine` picks by what the folder holds."""

from pathlib import Path

from medllm.engines.protocol import Engine
from medllm.errors import UserError
from medllm.model.folder import GGUF_FILE

__all__ = ["OPENVINO_FILE", "Engine", "open_engine"]

OPENVINO_FILE = "openvino_model.xml"


def open_engine(folder: Path, *, threads: int, dtype: str | None = None, compiled: bool = False) -> Engine:
    """Load a model folder: model.gguf by llama.cpp, openvino_model.xml by OpenVINO (neither imports torch), anything else by transformers.

    `dtype` ("bf16", "fp32") is for plain Hugging Face folders; the others and a bitsandbytes folder run in what they were saved in.
    `compiled` (torch.compile) is for folders that transformers runs. Raises UserError when there is no model or one of them does not apply.
    """
    if threads < 1:
        raise UserError(f"threads={threads} for {folder}; use 1 or more")
    if (folder / GGUF_FILE).is_file():
        if compiled:
            raise UserError(f"{folder / GGUF_FILE}: llama.cpp has nothing to compile; leave compiled out")
        if dtype is not None:
            raise UserError(f"{folder / GGUF_FILE}: dtype {dtype!r} cannot be chosen, a GGUF runs in its own type; leave dtype out")
        from medllm.engines.llamacpp_engine import LlamaCppEngine

        return LlamaCppEngine(folder, threads=threads)
    if (folder / OPENVINO_FILE).is_file():
        if compiled or dtype is not None:
            raise UserError(f"{folder / OPENVINO_FILE}: runs as it was saved; leave dtype and compiled out")
        from medllm.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(folder, threads=threads)
    from medllm.engines.transformers_engine import TransformersEngine

    return TransformersEngine(folder, threads=threads, dtype=dtype, compiled=compiled)
