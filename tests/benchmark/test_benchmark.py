import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medllm.benchmark import run_benchmark
from medllm.benchmark.load import Load
from medllm.benchmark.process import worker_command
from medllm.compare.rows import read_metrics
from medllm.errors import UserError
from medllm.model.folder import load_model, model_bytes, weight_bytes

LOAD = Load(
    models=["teacher", "teacher_gguf_f16"], users=[1, 2], answers_per_user=2, prompt_lengths=[4, 24], answer_lengths=[4, 8], rounds=1,
    answer_budget_ms=60_000, price_per_hour_krw=100,
)  # fmt: skip
KNOBS = {
    "baseline_a": "teacher", "baseline_b": "teacher_gguf_f16", "threads": 1, "prompt_tokens": 8, "answer_tokens": 32, "seed": 0,
    "compile_baseline": False, "bandwidth_mib": 16, "load": LOAD,
}  # fmt: skip


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
    assert [(number, sorted(names)) for number, names in seen[:2]] == [(number, sorted(figures)) for number in (0, 1)]
    assert seen[0][1][0] != seen[1][1][0]  # rotated
    assert seen[2:] == [(2, LOAD.models)]
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
        assert row["inter_token_ms_p50"] <= row["inter_token_ms_p95"] <= row["inter_token_ms_p99"] <= 2 * row["answer_ms_p95"]
        # tokens between the first and the last take the answer less its first token, give or take a streamed one
        assert 0.2 < 31 * row["inter_token_ms_p50"] / (row["answer_ms_p50"] - row["ttft_ms_p50"]) < 5
        assert 0 < row["bandwidth_share"] < 1.5
        assert ("users_2_answers_per_s" in row) == (name in LOAD.models)
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
        ({"bandwidth_mib": 0}, "benchmark.bandwidth_mib: 0"),
        ({"compile_baseline": True}, "compile_baseline: needs a round"),
        ({"load": replace(LOAD, models=["teacher_gguf_f16"])}, "load.models: 'teacher' must be in it"),
        ({"load": replace(LOAD, models=["teacher", "nobody"])}, "load.models: 'nobody'"),
        ({"load": replace(LOAD, users=[0, 1])}, r"load.users: \[0, 1\]"),
        ({"load": replace(LOAD, answer_lengths=[1])}, r"load.answer_lengths: \[1\]"),
        ({"load": replace(LOAD, prompt_lengths=[])}, r"load.prompt_lengths: \[\]"),
        ({"load": replace(LOAD, rounds=0)}, "load.rounds: 0"),
        ({"load": replace(LOAD, prompt_lengths=[1020])}, "1028 tokens do not fit 1024"),
    ],
)
def test_bad_knobs_start_no_worker(models: dict[str, Path], changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_benchmark(models, **{**KNOBS, "rounds": 1, "warmup_rounds": 0, "fp32_baseline": False, **changes})


def test_compiling_needs_a_compiler(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"no C\+\+ compiler 'no-such-compiler'"):
        run_benchmark(models, **{**KNOBS, "rounds": 1, "warmup_rounds": 1, "fp32_baseline": False, "compile_baseline": True})
    assert "--compiled" in worker_command(models["teacher"], threads=1, dtype="bf16", compiled=True)


def test_a_model_that_does_not_load_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["teacher"], tmp_path / "halved")
    (tmp_path / "halved" / "config.json").unlink()
    no_load = replace(LOAD, models=[])
    listed = {"halved": tmp_path / "halved", "teacher_gguf_f16": models["teacher_gguf_f16"]}
    with pytest.raises(RuntimeError, match=r"worker of 'halved' ended with exit code 1: .*config\.json"):
        run_benchmark(listed, rounds=1, warmup_rounds=0, fp32_baseline=False, **{**KNOBS, "baseline_a": "halved", "load": no_load})
