import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medllm.benchmark import run_benchmark
from medllm.compare.rows import read_metrics
from medllm.errors import UserError
from medllm.model.folder import load_model, model_bytes, weight_bytes

KNOBS = {"baseline_a": "teacher", "baseline_b": "teacher_gguf_f16", "threads": 1, "prompt_tokens": 8, "answer_tokens": 32, "seed": 0}


@pytest.fixture(scope="module")
def models(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, plain_gguf: Callable[..., object]) -> dict[str, Path]:
    target = tmp_path_factory.mktemp("benchmark") / "teacher_gguf_f16"
    plain_gguf(tiny_folder, target, "f16")
    return {"teacher": tiny_folder, "teacher_gguf_f16": target}


def test_two_rounds_of_real_models(models: dict[str, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, list[str]]] = []
    figures = run_benchmark(
        models,
        rounds=2,
        warmup_rounds=1,
        fp32_baseline=True,
        on_round=lambda number, samples: seen.append((number, list(samples))),
        **KNOBS,
    )
    assert seen == [(0, ["teacher", "teacher_gguf_f16", "teacher_fp32"]), (1, ["teacher_gguf_f16", "teacher_fp32", "teacher"])]
    assert list(figures) == ["teacher", "teacher_gguf_f16", "teacher_fp32"]
    assert {name: (row["engine"], row["dtype"]) for name, row in figures.items()} == {
        "teacher": ("transformers", "bf16"),
        "teacher_fp32": ("transformers", "fp32"),
        "teacher_gguf_f16": ("llama.cpp", "f16"),
    }
    parameters = sum(tensor.numel() for tensor in load_model(models["teacher"]).parameters())
    assert figures["teacher"]["resident_weight_bytes"] == 2 * parameters
    assert figures["teacher_fp32"]["resident_weight_bytes"] == 4 * parameters
    assert figures["teacher_gguf_f16"]["resident_weight_bytes"] == pytest.approx(2 * parameters, rel=0.03)  # norms and biases in f32
    for name, row in figures.items():
        folder = models[name.removesuffix("_fp32")]
        assert row["bytes"] == model_bytes(folder)
        assert row["weight_bytes"] == weight_bytes(folder)
        assert row["parameters"] == parameters  # the same model in every format
        assert row["peak_rss_bytes"] >= row["rss_after_load_bytes"] > row["rss_import_bytes"] > 0
        assert row["ready_s"] > row["load_s"] > 0
        assert row["load_growth_bytes"] == row["rss_after_load_bytes"] - row["rss_import_bytes"] > row["resident_weight_bytes"]
        assert 0 < row["ttft_ms_p50"] <= row["ttft_ms_p95"] <= row["answer_ms_p95"]
        assert row["decode_tokens_per_s_low"] <= row["decode_tokens_per_s"] <= row["decode_tokens_per_s_high"]
        # every name is known to compare
        (tmp_path / "row.json").write_text(json.dumps(row, allow_nan=False), encoding="utf-8")
        assert read_metrics(tmp_path / "row.json", command="") == row
    assert figures["teacher"]["decode_ratio_to_a"] == figures["teacher_gguf_f16"]["decode_ratio_to_b"] == 1
    # a llama.cpp worker that had imported torch would be as large as the transformers one
    assert figures["teacher_gguf_f16"]["peak_rss_bytes"] < 0.5 * figures["teacher"]["peak_rss_bytes"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline_b": "nobody"}, "baseline 'nobody'"),
        ({"rounds": 0}, "benchmark.rounds: 0"),
        ({"answer_tokens": 1}, "benchmark.answer_tokens: 1"),
    ],
)
def test_bad_knobs_start_no_worker(models: dict[str, Path], changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_benchmark(models, **{**KNOBS, "rounds": 1, "warmup_rounds": 0, "fp32_baseline": False, **changes})


def test_a_model_that_does_not_load_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["teacher"], tmp_path / "halved")
    (tmp_path / "halved" / "config.json").unlink()
    listed = {"halved": tmp_path / "halved", "teacher_gguf_f16": models["teacher_gguf_f16"]}
    with pytest.raises(RuntimeError, match=r"worker of 'halved' ended with exit code 1: .*config\.json"):
        run_benchmark(listed, rounds=1, warmup_rounds=0, fp32_baseline=False, **{**KNOBS, "baseline_a": "halved"})
