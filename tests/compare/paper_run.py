"""A finished run on paper: metric files, predictions and lineages of every model."""

import json
from pathlib import Path
from typing import Any

from medllm.compare import compare
from medllm.model.folder import Lineage
from medllm.statistics import wilson_interval

N = 400
GOALS = {
    "size_int8": 0.6,
    "size": 0.5,
    "decode_speed": 2.0,
    "peak_memory": 0.25,
    "resident_weights": 0.5,
    "sample_accuracy_answer": 0.9,
    "sample_accuracy_vs_teacher": -0.02,
    "decode_vs_b": 1.0,
    "answer_time": 3000.0,
    "cost": 0.5,
}
# name: parent, step, accuracy, bytes, decode tokens/s, dtype
MODELS: dict[str, tuple[str | None, str, float, int, float, str]] = {
    "base": (None, "fetch_base", 0.05, 1000, 300, "bf16"),
    "teacher": ("base", "finetune", 0.97, 1000, 300, "bf16"),
    "pruned": ("teacher", "prune", 0.02, 750, 330, "bf16"),
    "distilled": ("pruned", "distill", 0.50, 750, 330, "bf16"),
    "student": ("distilled", "finetune", 0.97, 750, 330, "bf16"),
    "teacher_gguf_f16": ("teacher", "quantize", 0.97, 1010, 3000, "f16"),
    "teacher_gguf_q8_0": ("teacher", "quantize", 0.97, 540, 3600, "q8_0"),
    "teacher_gguf_q4_0": ("teacher", "quantize", 0.965, 320, 3900, "q4_0"),
    "student_gguf_f16": ("student", "quantize", 0.97, 760, 3500, "f16"),
    "student_gguf_q8_0": ("student", "quantize", 0.97, 400, 4200, "q8_0"),
    "student_gguf_q4_0": ("student", "quantize", 0.965, 240, 4500, "q4_0"),
    "student_bnb_int8": ("student", "quantize", 0.97, 500, 60, "int8"),
}


class Workspace:
    """Metric files, predictions and model folders of a whole run."""

    def __init__(self, root: Path) -> None:
        self.metrics, self.predictions, self.models = root / "metrics", root / "predictions", root / "models"
        self.rows = dict(MODELS)
        self.prefix = "sample_"

    def write(self) -> None:
        for name, (parent, step, accuracy, size, rate, dtype) in self.rows.items():
            right = round(accuracy * N)
            self.write_json(self.metrics / "evaluate" / f"{name}.json", self.evaluated(right))
            self.write_json(self.metrics / "benchmark" / f"{name}.json", self.timed(size, rate, dtype))
            rows = [
                {"item_id": f"q{i}", "task": "answer", "cluster": f"f{i // 2}", "output": "", "score": int(i < right)} for i in range(N)
            ]
            rows.append({"item_id": "c0", "task": "choice", "cluster": "f0", "output": "", "score": 1})
            self.predictions.mkdir(parents=True, exist_ok=True)
            (self.predictions / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            folder = self.models / name
            folder.mkdir(parents=True, exist_ok=True)
            Lineage(name=name, parent=parent, step=step, method="test").save(folder)
            if "gguf" in name:
                (folder / "model.gguf").write_bytes(b"GGUF")
        self.write_json(self.metrics / "benchmark" / "teacher_fp32.json", self.timed(1000, 150, "fp32"))

    def evaluated(self, right: int) -> dict[str, Any]:
        low, high = wilson_interval(right, N)
        accuracy = {"": right / N, "_n": N, "_low": low, "_high": high}
        return {
            **{f"{self.prefix}accuracy_answer{key}": value for key, value in accuracy.items()},
            f"{self.prefix}accuracy_choice": 1.0,
            "bits_per_byte": 0.5,
            "protocol_version": 1,
        }

    def timed(self, size: int, rate: float, dtype: str) -> dict[str, Any]:
        quick = rate >= 1000
        figures = {"bytes": size, "peak_rss_bytes": 40_000 if quick else 400_000, "resident_weight_bytes": size}
        for letter, other in (("a", 300), ("b", 3000)):
            figures |= {f"decode_ratio_to_{letter}{key}": rate / other * factor for key, factor in (("", 1), ("_low", 0.9), ("_high", 1.1))}
        conditions = {"device": "Test CPU, 2 threads", "threads": 2, "prompt_tokens": 32, "answer_tokens": 64, "rounds": 5}
        answer = {"answer_ms_p50": 64_000 / rate, "answer_ms_p95": 66_000 / rate}
        return {
            **figures,
            **conditions,
            **answer,
            "decode_tokens_per_s": rate,
            "dtype": dtype,
            "engine": "llama.cpp" if quick else "transformers",
        }

    @staticmethod
    def write_json(path: Path, values: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def change(self, kind: str, name: str, **values: Any) -> None:
        path = self.metrics / kind / f"{name}.json"
        self.write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **values})

    def compare(self, **changes: Any) -> dict[str, Any]:
        knobs: dict[str, Any] = {"margin": 0.02, "goals": GOALS, "seed": 0, "num_resamples": 200}
        folders = {"metrics": self.metrics, "predictions": self.predictions, "models_folder": self.models}
        return compare(list(self.rows), **folders, baseline_a="teacher", baseline_b="teacher_gguf_f16", **{**knobs, **changes})
