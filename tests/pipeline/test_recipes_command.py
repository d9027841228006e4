"""python -m pipeline.recipes: what it runs, what it skips, and that the user's repository stays as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from medllm.errors import UserError
from pipeline.clone_run import as_they_end, error_line
from pipeline.recipe_run import Job, on_chain
from pipeline.recipes import put, results_file, start, todo

ALL = ["default-13", "default-14", "prune_random-13", "prune_random-14"]
JOBS = [Job(recipe=recipe, seed=seed) for recipe in ("default", "prune_random") for seed in (13, 14)]


def rows(recipe: str, seed: int, *, commit: str = "now", error: str = "") -> list[dict[str, Any]]:
    return [{"recipe": recipe, "seed": seed, "model": model, "commit": commit, "error": error} for model in ("teacher", "student")]


@pytest.mark.parametrize(("recipe", "wanted"), [
    ("default", ["seed=13"]),
    ("prune_random", ["experiment=prune_random", "seed=13"]),
    ("miniature+prune_random", ["experiment=[miniature,prune_random]", "seed=13"]),
])  # fmt: skip
def test_overrides_of_a_recipe(recipe: str, wanted: list[str]) -> None:
    assert Job(recipe=recipe, seed=13).overrides == wanted


@pytest.mark.parametrize(("changed", "wanted"), [
    ({}, ["pruned", "distilled", "student"]),
    ({"quantize": "teacher"}, []),
    ({"quantize": "pruned"}, ["pruned"]),
    ({"distill": "teacher", "prune": "distilled", "student": "pruned"}, ["distilled", "pruned", "student"]),
    ({"student": "pruned"}, ["pruned", "student"]),
    ({"rescue": {"rescued": "student"}, "quantize": "rescued"}, ["pruned", "distilled", "student", "rescued"]),
])  # fmt: skip
def test_models_of_a_chain(changed: dict[str, str], wanted: list[str]) -> None:
    chain = {"prune": "teacher", "distill": "pruned", "student": "distilled", "rescue": {}, "quantize": "student"}
    assert on_chain(chain | changed) == wanted


@pytest.mark.parametrize(("done", "retry", "left"), [
    (rows("default", 13), False, ALL[1:]),
    (rows("default", 13, commit="before"), False, ALL),
    (rows("default", 13, error="no"), False, ALL[1:]),
    ([*rows("default", 13)[:1], *rows("default", 13, error="no")[1:]], True, ALL),
    ([row for job in JOBS for row in rows(job.recipe, job.seed)], True, []),
])  # fmt: skip
def test_what_is_left_to_run(done: list[dict[str, Any]], retry: bool, left: list[str]) -> None:
    assert [job.name for job in todo({"rows": done}, JOBS, commit="now", retry_failed=retry)] == left


@pytest.mark.parametrize(("files", "wanted"), [
    ({}, "2026-03-02"),
    ({"2026-03-01": ("default", ["now"])}, "2026-03-01"),
    ({"2026-02-28": ("default", ["now"]), "2026-03-01": ("default", ["before"])}, "2026-02-28"),
    ({"2026-03-01": ("default", ["now", "before"])}, "2026-03-02"),
    ({"2026-03-01": ("other", ["now"])}, "2026-03-02"),
])  # fmt: skip
def test_an_interrupted_run_goes_on_after_midnight(files: dict[str, tuple[str, list[str]]], wanted: str, tmp_path: Path) -> None:
    for day, (reference, commits) in files.items():
        content = {"items": {}, "reference": reference, "rows": [{"commit": commit} for commit in commits]}
        (tmp_path / f"{day}-recipes.json").write_text(json.dumps(content), encoding="utf-8")
    assert results_file(tmp_path, reference="default", commit="now", today="2026-03-02").name == f"{wanted}-recipes.json"


@pytest.mark.parametrize("content", ["# not JSON", "[]", "{}"])
def test_what_is_no_results_file_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"notes\.json: not a results file") as error:
        start(path, "default", 1)
    assert "\n" not in str(error.value)


def test_rows_of_a_job_are_replaced_and_stand_in_the_order_asked_for() -> None:
    content: dict[str, Any] = {"rows": [*rows("earlier", 13), *rows("prune_random", 13, commit="before")], "items": {"a": [0]}}
    put(content, rows("default", 13), {"b": [1]}, order=JOBS)
    put(content, rows("prune_random", 13), {}, order=JOBS)
    assert [(row["recipe"], row["commit"]) for row in content["rows"][::2]] == [
        ("earlier", "now"), ("default", "now"), ("prune_random", "now"),
    ]  # fmt: skip
    assert len(content["rows"]) == 6
    assert content["items"] == {"a": [0], "b": [1]}


def test_a_seed_goes_on_when_its_first_job_has_ended() -> None:
    second_began = Event()
    ended: set[str] = set()

    def run_one(job: Job) -> bool:
        in_order = job.recipe == "default" or f"default-{job.seed}" in ended
        if job.recipe == "default":
            second_began.wait(0.2)  # time for a second job that does not wait for this one
        else:
            second_began.set()
        ended.add(job.name)
        return in_order

    results = {job.name: in_order for job, in_order in as_they_end(run_one, JOBS, alike=lambda job: job.seed, at_once=4, stop=ended.clear)}
    assert results == dict.fromkeys(ALL, True)


def test_a_slow_first_job_holds_no_other_seed_back() -> None:
    other_seed_began = Event()

    def run_one(job: Job) -> bool:
        if job.name == "prune_random-13":
            other_seed_began.set()
        return job.name != "default-14" or other_seed_began.wait(5)

    assert all(in_time for _, in_time in as_they_end(run_one, JOBS, alike=lambda job: job.seed, at_once=2, stop=other_seed_began.set))


def test_an_interrupted_job_stops_the_others() -> None:
    stopped = Event()
    ran: list[str] = []

    def run_one(job: Job) -> None:
        ran.append(job.name)
        if job.name == "default-13":
            raise KeyboardInterrupt
        assert stopped.wait(5)

    with pytest.raises(KeyboardInterrupt):
        list(as_they_end(run_one, JOBS, alike=lambda job: job.seed, at_once=2, stop=stopped.set))
    assert stopped.is_set()
    assert not {"prune_random-13", "prune_random-14"} & set(ran)


def test_a_file_is_not_gone_on_with_against_another_reference(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-02-recipes.json"
    path.write_text(json.dumps({"reference": "default", "rows": [], "items": {}, "summary": []}), encoding="utf-8")
    assert start(path, "default", 1)["device"].endswith(", 1 thread")
    with pytest.raises(UserError, match="its reference is 'default', not 'other'"):
        start(path, "other", 1)


@pytest.mark.parametrize(("log", "wanted"), [
    ("error: prune.ratio=9: too much\nERROR: failed to reproduce 'prune'", "prune.ratio=9: too much"),
    ("Traceback\nTypeError: f() got\nERROR: failed to reproduce 'distill': failed to run", "TypeError: f() got"),
    ("torch.OutOfMemoryError: no\nERROR: failed", "torch.OutOfMemoryError: no"),
    ("ERROR: failed to reproduce 'x'\nlast", "ERROR: failed to reproduce 'x'"),
    ("fatal: not a git repository", "fatal: not a git repository"),
    ("killed", "killed"),
    ("", "no output"),
    ("error: {clone}/artifacts/x: no such file", "artifacts/x: no such file"),
])  # fmt: skip
def test_one_line_says_what_went_wrong(log: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log.replace("{clone}", str(tmp_path / "clone")), encoding="utf-8")
    assert error_line(tmp_path / "log", tmp_path / "clone") == wanted


def _recipes(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "pipeline.recipes", *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_recipe_that_does_not_compose_is_a_failed_row_and_touches_nothing(repository: Path, run: Any, tmp_path: Path) -> None:
    def state() -> list[str]:
        return [run(repository, "git", *words.split()).stdout for words in ("status --porcelain", "for-each-ref", "stash list")]

    before = state()
    results, work = tmp_path / "2026-01-02-recipes.json", tmp_path / "work"
    words = ("run", "--recipes", "nope", "--seeds", "1", "--results", str(results), "--work", str(work), "--threads", "1")
    done = _recipes(repository, *words)
    assert done.returncode == 0, done.stderr
    content = json.loads(results.read_text(encoding="utf-8"))
    assert [(row["model"], row["seed"]) for row in content["rows"]] == [("student_gguf_q8_0", 1), ("student_gguf_q4_0", 1)]
    assert "Could not find 'experiment/nope'" in content["rows"][0]["error"]
    assert str(tmp_path) not in results.read_text(encoding="utf-8")
    assert [(one["seeds"], len(one["failed"])) for one in content["summary"]] == [([], 1), ([], 1)]
    assert [path.name for path in work.iterdir()] == ["nope-1.log"]
    assert state() == before
    first = results.read_bytes()
    again = _recipes(repository, *words)
    assert "1 of 1 are done" in again.stdout
    assert results.read_bytes() == first
