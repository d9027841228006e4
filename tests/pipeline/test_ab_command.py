"""`python -m pipeline.ab`: where it finds an arm, what it writes, and one line for what it cannot do."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medllm.errors import UserError
from pipeline.arm import arm_file, arm_label
from pipeline.layout import PREDICTIONS

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("ab.tasks=[answer]", "ab.num_resamples=50", "ab.num_experiments=20")


def _write(path: Path, *, right: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"item_id": f"i{i}", "task": "answer", "cluster": f"c{i // 2}", "score": int(i < right), "prompt_sha256": f"p{i}"}
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        ("teacher_gguf_f16", "teacher_gguf_f16"),
        ("my-exp:student", "my-exp_student"),
        ("HEAD~1:student", "HEAD_1_student"),
        ("/far/away/run1/student.jsonl", "run1_student"),
        ("student.jsonl", "student"),
    ],
)
def test_labels_are_file_names_without_folders_of_this_machine(arm: str, label: str) -> None:
    assert arm_label(arm) == label


def test_command(copy: Path, run: Run, tmp_path: Path) -> None:
    _write(copy / PREDICTIONS / "teacher.jsonl", right=39)
    other = _write(tmp_path / "other" / "student.jsonl", right=5)
    done = run(copy, sys.executable, "-m", "pipeline.ab", "a=teacher", f"b={other}", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:4] == ["answer", "40", "20", "0.975"]
    path = copy / "artifacts" / "adhoc" / "ab" / "teacher_vs_other_student.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert (result["a"], result["b"], result["tasks"]["answer"]["verdict"]) == ("teacher", "other_student", "worse")
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    path.unlink()
    for words, said in (
        (("a=teacher",), "b= is missing"),
        (("a=teacher", "b=gone"), "no predictions of a model 'gone'; there are teacher"),
    ):
        done = run(copy, sys.executable, "-m", "pipeline.ab", *QUICK, *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("error: ")
        assert said in done.stderr
        assert not path.exists()


def test_predictions_of_an_experiment_come_out_of_the_cache(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def call(words: str) -> str:
        done = run(repository, *words.split())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    for words in ("git init -q", "git config user.name test", "git config user.email test@example.invalid", "dvc init -q"):
        call(words)
    commits = []
    for right in (10, 30):
        _write(repository / PREDICTIONS / "student.jsonl", right=right)
        for words in (f"dvc add -q {PREDICTIONS}/student.jsonl", "git add -A", "git commit -qm run"):
            call(words)
        commits.append(call("git rev-parse HEAD"))
    # As `dvc exp run` keeps an experiment: a commit that no branch leads to.
    call(f"git update-ref refs/exps/{commits[0][:2]}/{commits[0][2:]}/my-exp {commits[0]}")
    (repository / PREDICTIONS / "student.jsonl").unlink()

    monkeypatch.chdir(repository)
    for revision, right in (("my-exp", 10), ("HEAD", 30)):
        scratch = tmp_path / revision
        scratch.mkdir()
        lines = arm_file(f"{revision}:student", scratch).read_text(encoding="utf-8").splitlines()
        assert sum(json.loads(line)["score"] for line in lines) == right
    for arm, said in (("nope:student", "unknown Git revision 'nope'"), (":student", "give both")):
        with pytest.raises(UserError, match=said) as raised:
            arm_file(arm, tmp_path)
        assert "\n" not in str(raised.value)
    assert not (repository / PREDICTIONS / "student.jsonl").exists()
