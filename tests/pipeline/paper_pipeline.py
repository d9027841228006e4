"""A finished pipeline on paper: dvc.lock, compare.json and a package, in the current folder."""

import json
from pathlib import Path
from typing import Any

import yaml

# as in dvc.yaml: the node of a stage is the name after @, another one that only its command names, or the whole group
COMMANDS = {
    "prepare_data": "python -m pipeline.prepare_data",
    "finetune@teacher": "python -m pipeline.finetune node=teacher source=base target=teacher",
    "prune": "python -m pipeline.prune source=teacher target=pruned",
    "quantize@student_gguf_q4_0": "python -m pipeline.quantize source=pruned target=student_gguf_q4_0 node=gguf_q4_0",
    "evaluate@student_gguf_q4_0": "python -m pipeline.evaluate source=student_gguf_q4_0",
    "package": "python -m pipeline.package",
}
GONE = {"rescue@rescued": "python -m pipeline.rescue teacher=teacher source=student target=rescued"}
CONFIG: dict[str, Any] = {
    "seed": 13, "prune": {"ratio": 0.3}, "finetune": {"teacher": {"rank": 4}, "student": {"rank": 8}},
    "quantize": {"gguf_f16": {"scheme": "f16"}, "gguf_q4_0": {"scheme": "q4_0"}}, "evaluate": {"items": 5}, "data": {"name": "sample"},
}  # fmt: skip
DEFAULT = {**CONFIG, "prune": {"ratio": 0.25}}
CHAMPION = "student_gguf_q4_0"


def write(path: str, content: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content) if not isinstance(content, str) else content, encoding="utf-8")


def judged(verdict: str = "pass", champion: str = CHAMPION) -> None:
    """compare.json as the stage writes it, in short."""
    rows = {name: {"metrics": {"bytes": 7, "dtype": "q4_0"}, "ratios": {"bytes_to_a": 0.5}, "disqualified": verdict == "fail"}
            for name in ("teacher_gguf_f16", CHAMPION)}  # fmt: skip
    gates = [{"model": CHAMPION, "metric": "accuracy", "verdict": "pass"}, {"model": CHAMPION, "metric": "safety", "verdict": verdict},
             {"model": "student", "metric": "accuracy", "verdict": "fail"}]  # fmt: skip
    write("artifacts/metrics/compare.json", {
        "champion": champion, "last_resort": False, "models": rows,
        "gates": gates, "targets": {"size": {"verdict": "pass"}, "cost": {"verdict": "fail"}},
    })  # fmt: skip


def packaged(weights: str, name: str = CHAMPION) -> None:
    chain = [{"name": name}, {"name": "pruned"}, {"name": "base"}]
    write("artifacts/package/manifest.json", {"name": name, "mode": "demo", "chain": chain, "files": {"model/model.gguf": weights}})


def locked(prepared: str = "aa.dir") -> None:
    entries: dict[str, Any] = {name: {"cmd": command} for name, command in (COMMANDS | GONE).items()}
    entries["prepare_data"]["outs"] = [{"path": "data/prepared", "hash": "md5", "md5": prepared, "size": 9, "nfiles": 2}]
    for name in ("finetune@teacher", "evaluate@student_gguf_q4_0"):
        entries[name]["deps"] = [{"path": "data/prepared", "hash": "md5", "md5": prepared, "size": 9, "nfiles": 2}]
    entries["quantize@student_gguf_q4_0"]["outs"] = [{"path": f"artifacts/models/{CHAMPION}", "hash": "md5", "md5": "bb.dir", "size": 70}]
    write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": entries}))
