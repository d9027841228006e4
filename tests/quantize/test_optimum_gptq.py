"""optimum's GPTQ: whole where gptqmodel is installed, a one-line refusal where it is not."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from medllm.engines import open_engine
from medllm.errors import UserError
from medllm.quantize.optimum_gptq import quantize_optimum_gptq

KNOBS: dict[str, Any] = {"group_size": 32, "damping": 0.1, "max_tokens": 128}
SEQUENCES = [[(step * 11 + 5) % 570 + 2 for step in range(24)], [9, 8, 7]]


@pytest.mark.skipif(find_spec("gptqmodel") is None, reason="needs gptqmodel: an environment of its own")
@pytest.mark.parametrize(("scheme", "bound"), [("gptq_int4", 3.0), ("gptq_int8", 0.4)])
def test_saved_folder_reloads_and_keeps_no_calibration_text(
    scheme: Any, bound: float, tiny_folder: Path, small_prepared: Path, tmp_path: Path
) -> None:
    result = quantize_optimum_gptq(tiny_folder, small_prepared, tmp_path / "gptq", scheme=scheme, **KNOBS)
    assert result.tensors == {scheme: 8}
    settings = json.loads((tmp_path / "gptq" / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert (settings["dataset"], settings["format"], settings["bits"]) == (None, "gptq", int(scheme[-1]))
    engine, source = open_engine(tmp_path / "gptq", threads=1), open_engine(tiny_folder, threads=1, dtype="fp32")
    pairs = zip(engine.token_logprobs(SEQUENCES), source.token_logprobs(SEQUENCES), strict=True)
    assert max(abs(a - b) for found, wanted in pairs for a, b in zip(found, wanted, strict=True)) < bound
    assert len(engine.generate(SEQUENCES, max_new_tokens=3)) == 2


@pytest.mark.skipif(find_spec("gptqmodel") is not None, reason="gptqmodel is here")
def test_without_gptqmodel_it_says_so(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gguf_gptq_q4_0") as error:
        quantize_optimum_gptq(tiny_folder, small_prepared, tmp_path / "x", scheme="gptq_int4", **KNOBS)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_quantised_source_is_refused(quantised_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"already quantised \(bitsandbytes\), so it cannot be quantised again; take student"):
        quantize_optimum_gptq(quantised_folder, small_prepared, tmp_path / "x", scheme="gptq_int4", **KNOBS)
    assert not (tmp_path / "x").exists()


def test_an_unknown_scheme_is_refused(tiny_folder: Path, small_prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gptq_int3"):
        quantize_optimum_gptq(tiny_folder, small_prepared, tmp_path / "x", scheme="gptq_int3", **KNOBS)  # type: ignore[arg-type]
