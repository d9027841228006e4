import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from medllm.benchmark.bandwidth import bandwidth_command
from medllm.benchmark.kv_cache import kv_bytes_per_token
from medllm.benchmark.process import Worker, worker_environment
from medllm.benchmark.scale import run_scale
from medllm.benchmark.scale_models import Step, build, check_room, parameters_of, small_calibration
from medllm.benchmark.scale_verdicts import verdicts
from medllm.errors import UserError
from medllm.model.random_weights import Shape

KNOBS: dict[str, Any] = {
    "baseline_a": "teacher", "baseline_b": "f16", "threads": 1, "prompt_lengths": [8, 24], "answer_tokens": 8, "warmup_rounds": 1,
    "bandwidth_mib": 16, "seed": 0,
}  # fmt: skip
SHAPE = Shape(
    architecture="gpt_neox", hidden_size=2048, num_layers=24, num_heads=16, num_kv_heads=16, head_size=128, ffn_size=8192,
    vocab_size=30080, context_length=2048, rotary_share=0.5, tied=False,
)  # fmt: skip
GIB = 1 << 30


@pytest.mark.parametrize(("size", "rate", "met"), [(0.25, 6.0, True), (0.251, 6.0, False), (0.25, 5.99, False)])
def test_verdicts_are_computed(size: float, rate: float, met: bool) -> None:
    row = {
        "model": "s", "baseline": "", "dtype": "q4_k_m", "bytes_to_a": size, "decode_to_a": rate, "decode_to_a_low": 5.0,
        "decode_to_a_high": 7.0, "decode_to_b": 2.0, "peak_rss_to_a": 0.25, "peak_rss_to_b": 0.4, "resident_weight_to_a": 0.3,
        "ttft_128_to_a": 1.0, "ttft_128_to_a_low": 0.9,
    }  # fmt: skip
    found = verdicts([row, {**row, "baseline": "a"}])
    assert len(found) == 3 + 6 + 1
    assert all(entry["met"] for entry in found) is met
    assert [(entry["low"], entry["high"]) for entry in found if entry["key"] == "decode_to_a"] == [(5.0, 7.0)] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline_b": "nobody"}, "baseline 'nobody'"),
        ({"rounds": 0}, "rounds=0"),
        ({"answer_tokens": 1}, "answer_tokens=1"),
        ({"prompt_lengths": [8, 1020]}, r"\[8, 1020\] and 8 new tokens do not fit 1024"),
        ({"prompt_lengths": []}, "do not fit"),
        ({"threads": 0}, "threads=0"),
        ({"bandwidth_mib": 0}, "bandwidth_mib=0"),
    ],
)
def test_bad_knobs_start_no_worker(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_scale({"teacher": Path("a"), "f16": Path("b")}, on_round=print, **{**KNOBS, "rounds": 1, **changes})


def test_the_probe_measures_memory_and_not_cached_zeros() -> None:
    with Worker("probe", bandwidth_command(threads=1, mib=64), environment=worker_environment(threads=1)) as worker:
        worker.wait_imported()
        worker.load()
        assert worker.loaded == {"bytes_read": 64 << 20}
        assert psutil.Process(worker._process.pid).memory_info().rss > 64 << 20
        assert 1e8 < worker.ask(prompt=[1], answer_tokens=1)["bandwidth_bytes_per_s"] < 1e12


def test_kv_size_is_the_same_from_both_formats(tiny_folder: Path, tiny_gguf: dict[str, Path]) -> None:
    assert kv_bytes_per_token(tiny_folder) == kv_bytes_per_token(tiny_gguf["q4_0"]) == 2 * 2 * 2 * 128


def step(name: str, made: list[str], *, recipe: int = 1, fails: bool = False) -> Step:
    def make(folder: Path) -> None:
        made.append(name)
        (folder / "model.gguf").write_text(f"{recipe}", encoding="utf-8")
        if fails:
            raise KeyboardInterrupt

    return Step(name=name, make=make, recipe={"knob": recipe}, bits=16)


def test_an_interrupted_build_continues_where_it_was(tmp_path: Path) -> None:
    made: list[str] = []
    told: list[tuple[str, bool]] = []
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, [step("a", made), step("b", made, fails=True), step("c", made)], on_step=lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]  # nothing half-written under a model's name
    steps = [step("a", made), step("b", made), step("c", made)]
    assert build(tmp_path, steps, on_step=lambda *words: told.append(words)) == {name: tmp_path / name for name in "abc"}
    assert (made, told) == (["a", "b", "b", "c"], [("a", True), ("b", False), ("c", False)])
    build(tmp_path, [step("a", made), step("b", made, recipe=2)], on_step=lambda *_: None)  # another recipe is another model
    assert made[4:] == ["b"]
    assert (tmp_path / "b" / "model.gguf").read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize(
    ("disk", "memory", "message"),
    [(5.1, 64, r"5\.2 GiB are needed for 2 models and 5\.1 are free"), (6, 9, r"10\.2 GiB of memory are needed and 9\.0 are available")],
)
def test_too_little_room_is_said_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: float, memory: float, message: str
) -> None:
    space = SimpleNamespace(free=int(disk * GIB), available=int(memory * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: space)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: space)
    steps = [step("a", []), step("b", [])]
    with pytest.raises(UserError, match=message):
        check_room(tmp_path, steps, shape=SHAPE, run=["a"], probe_bytes=GIB)
    build(tmp_path, steps, on_step=lambda *_: None)
    check_room(tmp_path, steps, shape=SHAPE, run=["a"], probe_bytes=GIB)  # all is built: it fits


def test_parameters_of_a_published_shape() -> None:
    assert parameters_of(SHAPE) == pytest.approx(1_331_810_304, rel=1e-3)
    assert parameters_of(replace(SHAPE, tied=True)) == parameters_of(SHAPE) - 30080 * 2048


def test_calibration_is_cut(small_prepared: Path, tmp_path: Path) -> None:
    small_calibration(small_prepared, tmp_path, records=3)
    lines = (small_prepared / "calibration.jsonl").read_text(encoding="utf-8").splitlines()
    assert (tmp_path / "calibration.jsonl").read_text(encoding="utf-8").splitlines() == lines[:3]
    with pytest.raises(UserError, match=r"calibration\.jsonl: missing; run dvc repro prepare_data"):
        small_calibration(tmp_path / "none", tmp_path, records=3)
