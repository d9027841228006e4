"""What DVC does with the configuration: refuses, queues, obeys, skips."""

from pathlib import Path
from typing import Any

import pytest
import yaml


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def _ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def _ratio(folder: Path) -> str:
    return f"  ratio: {yaml.safe_load((folder / 'params.yaml').read_text(encoding='utf-8'))['prune']['ratio']}"


def test_repro_refuses_a_conf_edit_that_was_not_composed(repository: Path, run: Any) -> None:
    _edit(repository / "conf" / "prune" / "ffn.yaml", "tolerance: 0.02", "tolerance: 0.01")
    refused = run(repository, "dvc", "repro", "config")
    assert refused.returncode != 0
    told = [line for line in refused.stderr.splitlines() if "params.yaml is stale" in line]
    assert len(told) == 1
    assert "run python -m pipeline.compose" in told[0]
    assert "Traceback" not in refused.stderr
    assert run(repository, "python", "-m", "pipeline.compose").returncode == 0
    assert run(repository, "dvc", "repro", "config").returncode == 0


def test_repro_refuses_an_unknown_key(repository: Path, run: Any) -> None:
    _edit(repository / "params.yaml", _ratio(repository), "  rato: 0.3")
    refused = run(repository, "dvc", "repro", "config")
    assert refused.returncode != 0
    assert "error: config error: Key 'rato' not in 'PruneWidth', full_key: prune.rato" in refused.stderr.splitlines()


@pytest.mark.parametrize(("override", "told"), [
    ("prune.rato=0.3", "Key 'rato' not in 'PruneWidth'"),
    ("prune.ratio=abc", "full_key: prune.ratio"),
    ("model=gpt9", "Could not find 'model/gpt9'"),
    ("experiment=nope", "Could not find 'experiment/nope'"),
])  # fmt: skip
def test_a_bad_experiment_is_not_queued(repository: Path, run: Any, override: str, told: str) -> None:
    refused = run(repository, "dvc", "exp", "run", "--queue", "-S", override)
    assert refused.returncode != 0
    assert told in refused.stderr
    assert "Queued" not in refused.stdout
    assert run(repository, "git", "status", "--porcelain").stdout == ""


def test_a_good_experiment_is_queued_and_the_workspace_stays(repository: Path, run: Any) -> None:
    queued = run(repository, "dvc", "exp", "run", "--queue", "-S", "prune.ratio=0.2")
    assert queued.returncode == 0, queued.stderr
    assert "Queued experiment" in queued.stdout
    assert run(repository, "git", "status", "--porcelain").stdout == ""


def test_a_hand_edit_of_params_is_obeyed_and_a_second_run_does_nothing(repository: Path, run: Any) -> None:
    _edit(repository / "params.yaml", _ratio(repository), "  ratio: 0.21")
    first = run(repository, "dvc", "repro", "config")
    assert first.returncode == 0, first.stderr
    lock = yaml.safe_load((repository / "dvc.lock").read_text(encoding="utf-8"))
    assert lock["stages"]["config"]["params"]["params.yaml"]["prune"]["ratio"] == 0.21
    second = run(repository, "dvc", "repro", "config")
    assert second.returncode == 0
    assert _ran(second.stdout) == []
    _edit(repository / "params.yaml", "  ratio: 0.21", "  ratio: 1.5")
    refused = run(repository, "dvc", "repro", "config")
    assert refused.returncode != 0
    assert "prune.ratio=1.5: Input should be less than 0.9" in refused.stderr


@pytest.mark.parametrize("wired", ["default"], indirect=True)
def test_a_knob_of_one_stage_leaves_the_stages_before_it_alone(repository: Path, run: Any, stages: dict[str, Any]) -> None:
    """dvc.lock is written over stand-in outputs, so that nothing has to be trained; a dry run shows who would start."""
    # the rest only costs time
    kept = ("config", "make_sample", "prepare_data", "build_graph", "fetch_base", "finetune", "prune", "distill")
    wiring = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))
    wiring["stages"] = {name: wiring["stages"][name] for name in kept}
    (repository / "dvc.yaml").write_text(yaml.safe_dump(wiring, sort_keys=False), encoding="utf-8")
    for name, stage in stages.items():
        if stage["name"] in kept:
            for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
                path = repository / (entry if isinstance(entry, str) else next(iter(entry)))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{name}\n", encoding="utf-8")
    committed = run(repository, "dvc", "commit", "--force", "--quiet")
    assert committed.returncode == 0, committed.stderr
    _edit(repository / "conf" / "prune" / "ffn.yaml", "tolerance: 0.02", "tolerance: 0.01")
    assert run(repository, "python", "-m", "pipeline.compose").returncode == 0
    dry = run(repository, "dvc", "repro", "--dry")
    assert dry.returncode == 0, dry.stderr
    # a dry run makes no new outputs, so it names only those whose own inputs changed
    assert _ran(dry.stdout) == ["config", "prune"]
