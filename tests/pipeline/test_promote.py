"""python -m pipeline.promote: what an experiment changed is kept in conf/, exactly or not at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from medllm.errors import UserError
from pipeline.promote_diff import composed, experiment_text, typed

STAND_IN = "import yaml; open('artifacts/metrics/x.json', 'w').write(str(yaml.safe_load(open('params.yaml'))['prune']['ratio']))"
Run = Any


@pytest.mark.parametrize(("overrides", "wanted"), [
    (["prune.ratio=0.2", "seed=14"], {"seed": 14, "prune": {"ratio": 0.2}}),
    (["prune=heads", "prune.ridge=0.5"], {"defaults": [{"override /prune": "heads"}], "prune": {"ridge": 0.5}}),
    (["finetune@finetune.student=dora", "finetune.student.rank=8", "distill=lora", "model@distill.student=tiny"], {
        "defaults": [
            {"override /finetune@finetune.student": "dora"}, {"override /distill": "lora"}, {"override /model@distill.student": "tiny"},
        ],
        "finetune": {"student": {"rank": 8}},
    }),
])  # fmt: skip
def test_the_file_says_exactly_what_changed(overrides: list[str], wanted: dict[str, Any]) -> None:
    text = experiment_text(composed(overrides), origin="x")  # raises where it does not compose to the same
    assert text.startswith("# @package _global_\n")
    assert yaml.safe_load(text) == wanted


def test_an_experiment_of_another_code_state_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"Key 'rato' not in 'PruneWidth'"):
        typed(params | {"prune": params["prune"] | {"rato": 1}})
    wanted = composed([])
    del wanted["compare"]["goals"]["size"]
    with pytest.raises(UserError, match=r"\Ax: it is of another state of conf/, which now also says compare\.goals\.size; run it again\Z"):
        experiment_text(wanted, origin="x")


def _promote(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "pipeline.promote", *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False, timeout=300)


def _state(repository: Path, run: Run) -> list[str]:
    return [run(repository, "git", *words.split()).stdout for words in ("status --porcelain", "diff", "for-each-ref")]


@pytest.mark.slow
def test_a_winner_is_kept(repository: Path, run: Run) -> None:
    """exp run, other work, promote, and repro does nothing; what must not be kept is refused and changes nothing."""
    wiring = yaml.safe_load((repository / "dvc.yaml").read_text(encoding="utf-8"))
    stand_in = {
        "cmd": f"python -c \"{STAND_IN}\"", "params": ["prune"], "deps": ["artifacts/config"],
        "metrics": [{"artifacts/metrics/x.json": {"cache": False}}],
    }  # fmt: skip
    wiring["stages"] = {"config": wiring["stages"]["config"], "prune": stand_in}
    (repository / "dvc.yaml").write_text(yaml.safe_dump(wiring), encoding="utf-8")
    (repository / "artifacts" / "metrics").mkdir(parents=True, exist_ok=True)
    for command in ("dvc repro", "git add -A", "git commit -qm two", "dvc exp run -n winner -S prune=heads -S prune.ratio=0.2"):
        done = run(repository, *command.split())
        assert done.returncode == 0, done.stderr
    won = typed(yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8")))
    assert run(repository, "git", "reset", "-q", "--hard").returncode == 0
    for words, told in [
        (("nobody",), "nobody: neither a DVC experiment nor a git revision"),
        (("winner", "--as", "rescue"), "conf/experiment/rescue.yaml: exists"),
        (("winner", "--as", "a b"), "a b: not a name"),
        (("HEAD", "--as", "same"), "conf/ says the same already"),
        (("--search", "nobody", "--trial", "1"), "no results in artifacts/searches"),
    ]:
        before = _state(repository, run)
        refused = _promote(repository, *words)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1), refused.stderr
        assert told in refused.stderr
        assert _state(repository, run) == before
    kept = _promote(repository, "winner")
    assert kept.returncode == 0, kept.stderr
    assert "dvc repro has nothing to do" in kept.stdout
    assert typed(yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8"))) == won
    assert (repository / "artifacts" / "metrics" / "x.json").read_text(encoding="utf-8") == "0.2"
    again = run(repository, "dvc", "repro")
    assert "Running stage" not in again.stdout
    assert "- experiment: winner  # " in (repository / "conf" / "config.yaml").read_text(encoding="utf-8")
    before = _state(repository, run)
    dirty = _promote(repository, "winner", "--as", "second")
    assert "conf/ has changes that are not committed" in dirty.stderr
    assert _state(repository, run) == before
