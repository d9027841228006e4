"""bitsandbytes folders: every linear layer is quantised, the saved folder reloads and stays near its source."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize.bnb import quantize_bnb

SEQUENCES = [[(step * 11 + 5) % 570 + 2 for step in range(24)], [9, 8, 7]]


@pytest.mark.parametrize(("scheme", "bound"), [("int8", 0.4), ("nf4", 3.0)])
def test_quantised_folder_reloads(scheme: str, bound: float, tiny_folder: Path, tmp_path: Path) -> None:
    result = quantize_bnb(tiny_folder, tmp_path / scheme, scheme=scheme, compute_dtype="bf16")  # type: ignore[arg-type]
    assert result.tensors == {"bfloat16": 20, scheme: 8}
    assert result.bytes < (tiny_folder / "model.safetensors").stat().st_size * 0.75
    assert result.bits_per_weight < 12
    engine, source = open_engine(tmp_path / scheme, threads=1), open_engine(tiny_folder, threads=1, dtype="fp32")
    assert engine.dtype == scheme
    pairs = zip(engine.token_logprobs(SEQUENCES), source.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < bound
    assert len(engine.generate(SEQUENCES, max_new_tokens=3)) == 2
    with pytest.raises(UserError, match="dtype"):
        open_engine(tmp_path / scheme, threads=1, dtype="fp32")


def test_wrong_knobs_and_widths_are_refused(make_neox: Callable[..., Path], tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="64"):
        quantize_bnb(make_neox(layers=1, ffn=160), tmp_path / "x", scheme="nf4", compute_dtype="bf16")
    with pytest.raises(UserError, match="int4"):
        quantize_bnb(tiny_folder, tmp_path / "x", scheme="int4", compute_dtype="bf16")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fp8"):
        quantize_bnb(tiny_folder, tmp_path / "x", scheme="int8", compute_dtype="fp8")  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()
