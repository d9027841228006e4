"""What `track` writes about a stage is what that stage was run with."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from pipeline.mirror import mirror
from pipeline.tracking import connect

# as in dvc.yaml: the node of a stage is the name after @, another one that only its command names, or the whole group
COMMANDS = {
    "quantize@student_gguf_q4_0": "python -m pipeline.quantize source=student target=student_gguf_q4_0 node=gguf_q4_0",
    "finetune@teacher": "python -m pipeline.finetune node=teacher source=base target=teacher",
    "prune": "python -m pipeline.prune source=teacher target=pruned",
}
CONFIG: dict[str, Any] = {
    "experiment_name": "test", "seed": 13, "prune": {"ratio": 0.3}, "finetune": {"teacher": {"rank": 4}, "student": {"rank": 8}},
    "quantize": {"gguf_f16": {"scheme": "f16"}, "gguf_q4_0": {"scheme": "q4_0"}},
}  # fmt: skip


def test_a_stage_carries_the_knobs_of_its_own_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    compared = {"champion": "teacher", "models": {"teacher": {"metrics": {}, "ratios": {}}}}
    for name, content in {
        "dvc.lock": yaml.safe_dump({"schema": "2.0", "stages": {stage: {"cmd": command} for stage, command in COMMANDS.items()}}),
        "artifacts/metrics/compare.json": json.dumps(compared), "data/prepared/corpus.jsonl": "", "data/prepared/train.jsonl": "",
    }.items():  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    mirror(OmegaConf.create(CONFIG))
    client, experiment = connect("test")
    runs = {run.data.tags.get("dvc.stage"): run.data.params for run in client.search_runs([experiment])}
    runs.pop(None)  # the parent, which has them all
    assert runs == {"quantize@student_gguf_q4_0": {"scheme": "q4_0"}, "finetune@teacher": {"rank": "4"}, "prune": {"ratio": "0.3"}}
