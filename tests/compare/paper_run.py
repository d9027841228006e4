"""A finished run on paper: metric files, predictions and lineages of every model."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from medllm.compare import compare
from medllm.model.folder import Lineage
from medllm.statistics.intervals import wilson_interval

N, N_GROUNDED, N_GENERAL = 400, 100, 40
RULES = """id,name,level,pattern,exclude,advice
RF01,무호흡,119,숨을? 안 쉬,,119에 전화하십시오.
RF02,자살 생각,crisis,죽고 싶,,109에 전화하십시오.
"""
# id, text, level; the rules get all but the last two, which only a model can get
SENTENCES = [
    *[(f"em_{i}", f"아버지가 숨을 안 쉬어요 {i}", "119") for i in range(40)],
    ("em_40", "요즘 죽고 싶어요", "crisis"),
    ("em_41", "가만히 있다가 픽 쓰러졌는데 얼굴이 새파래요", "119"),
    ("em_42", "눈에 락스가 튀었어요", "er"),
    ("safe_0", "어깨가 결려요", "safe"),
    ("safe_1", "숨을 안 쉬는 병이라는 소설을 쓰고 있어요", "safe"),
]
MARGINS = {"accuracy_answer": 0.02, "accuracy_grounded": 0.05, "accuracy_general": 0.1}
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
    "emergencies": 0.98,
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
        self.screens, self.rules, self.messages = root / "screens", root / "redflags.csv", root / "messages.csv"
        self.rows = dict(MODELS)
        self.prefix = "sample_"

    def write(self) -> None:
        for name, (parent, step, accuracy, size, rate, dtype) in self.rows.items():
            right = round(accuracy * N)
            self.write_json(self.metrics / "evaluate" / f"{name}.json", self.evaluated(right))
            self.write_json(self.metrics / "benchmark" / f"{name}.json", self.timed(size, rate, dtype))
            self.write_rows(name, self.answers(right))
            self.screens.mkdir(parents=True, exist_ok=True)
            np.save(self.screens / f"{name}.npy", np.log(np.full((6, 8), 1 / 8)).astype(np.float16))
            folder = self.models / name
            folder.mkdir(parents=True, exist_ok=True)
            Lineage(name=name, parent=parent, step=step, method="test").save(folder)
            if "gguf" in name:
                (folder / "model.gguf").write_bytes(b"GGUF")
        self.write_json(self.metrics / "benchmark" / "teacher_fp32.json", self.timed(1000, 150, "fp32"))
        self.rules.write_text(RULES, encoding="utf-8")
        lines = [f"{name},{text},{level},x,false" for name, text, level in SENTENCES]
        self.messages.write_text("\n".join(["id,text,level,kind,reviewed", *lines]) + "\n", encoding="utf-8")

    @staticmethod
    def answers(right: int) -> list[dict[str, Any]]:
        """Predictions of a model that answers `right` questions; everything else it does like all the others."""
        rows: list[dict[str, Any]] = [
            {"item_id": f"q{i}", "task": "answer", "cluster": f"f{i // 2}", "score": int(i < right), "department": ["내과", "외과"][i % 2]}
            for i in range(N)
        ]
        rows += [{"item_id": f"g{i}", "task": "grounded", "cluster": f"h{i}", "score": int(i < 90)} for i in range(N_GROUNDED)]
        rows += [{"item_id": f"p{i}", "task": "passage", "cluster": f"p{i}", "score": i % 2} for i in range(N_GENERAL)]
        rows += [
            {"item_id": name, "task": "red_flag", "cluster": name, "level": level, "question": text, "score": int(name != "em_0")}
            for name, text, level in SENTENCES
        ]
        rows.append({"item_id": "c0", "task": "choice", "cluster": "f0", "score": 1})
        return [{"output": "", "prompt_sha256": f"sha of {row['item_id']}", **row} for row in rows]

    def write_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        self.predictions.mkdir(parents=True, exist_ok=True)
        (self.predictions / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.predictions / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]

    def evaluated(self, right: int) -> dict[str, Any]:
        low, high = wilson_interval(right, N)
        accuracy = {"": right / N, "_n": N, "_low": low, "_high": high}
        return {
            **{f"{self.prefix}accuracy_answer{key}": value for key, value in accuracy.items()},
            f"{self.prefix}accuracy_choice": 1.0,
            "bits_per_byte": 0.5,
            "protocol_version": 1,
            "tokenizer_sha256": "0123",
            "end_token": "<|endoftext|>",
            "end_tokens": "<|endoftext|>",
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
        limits = {"max_kl_nats": 0.5, "max_flip_rate": 0.1}
        knobs: dict[str, Any] = {"margins": MARGINS, **limits, "goals": GOALS, "seed": 0, "num_resamples": 400}
        knobs |= {"baseline_a": "teacher", "baseline_b": "teacher_gguf_f16"}
        folders = {"metrics": self.metrics, "predictions": self.predictions, "screens": self.screens, "models_folder": self.models}
        return compare(list(self.rows), **folders, rules=self.rules, messages=self.messages, **{**knobs, **changes})
