"""bitsandbytes layers, as quantising (a saved model) and QLoRA (a frozen base) both see them."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medllm.errors import UserError

NF4_BLOCK = 64  # other input widths crash bitsandbytes on a CPU at the first forward pass


def hush() -> None:
    """Without this bitsandbytes logs a line for every int8 product: "inputs will be cast"."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def quantized_layers(model: Any) -> dict[str, Any]:
    """The 4 and 8 bit linear layers by name."""
    from bitsandbytes.nn import modules as bnb

    return {name: module for name, module in model.named_modules() if isinstance(module, bnb.Linear4bit | bnb.Linear8bitLt)}


def refuse_narrow(source: Path, widths: Mapping[str, int], *, instead: str) -> None:
    """UserError when NF4 cannot take one of these input widths by layer; `instead` is what to do."""
    narrow = [f"{name} ({width})" for name, width in widths.items() if width % NF4_BLOCK]
    if narrow:
        raise UserError(f"{source}: {', '.join(narrow[:3])}; NF4 needs widths that are a multiple of {NF4_BLOCK}{instead}")
