"""python -m pipeline.search: what it draws, what it refuses, and that a search which was killed ends like one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from medllm.errors import UserError
from pipeline.clone_run import as_they_end
from pipeline.long_run import alone
from pipeline.search_loop import Result, pareto, search
from pipeline.search_record import go_on, read_results, table
from pipeline.search_space import Point, Space, size

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = {"code": "a", "device": "b", "optuna": "c"}
NSGA2 = {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 4}
SPACE = {
    "objectives": {"quality": "maximize", "bytes": "minimize"}, "models": ["q8", "q4"], "batch": 4, "seed": 1, "sampler": NSGA2,
    "space": {"prune": ["ffn", "depth"], "prune.ratio": {"low": 0.1, "high": 0.4, "step": 0.05}, "x": {"low": 1, "high": 3}},
}  # fmt: skip
Write = Callable[[Any], Space]


def stand_in(point: Point) -> Result:
    """Smaller is worse, and depth fails beyond a ratio."""
    changes = dict(point.changes)
    if changes["prune"] == "depth" and changes["prune.ratio"] > 0.3:
        return {"values": {}, "error": "prune.ratio: not reached"}
    left, bits = 1 - changes["prune.ratio"], {"q4": 4, "q8": 8}[point.model]
    return {"values": {"quality": left * changes["x"] + bits / 16, "bytes": left * bits}, "error": ""}


class Ran:
    """Runs the stand-in, counts, and ends the points in the order given by `order`."""

    def __init__(self, order: int = 1) -> None:
        self.points: list[Point] = []
        self.order = order

    def __call__(self, points: list[Point]) -> Iterator[tuple[Point, Result]]:
        for point in points[:: self.order]:
            self.points.append(point)
            yield point, stand_in(point)


def run(space: Space, path: Path, *, trials: int = 24, order: int = 1, retry_failed: bool = False) -> Ran:
    ran = Ran(order)
    go_on(path, space, CONDITIONS, commit="c", trials=trials, retry_failed=retry_failed, run_all=ran)
    return ran


def test_24_trials_are_different_and_failed_ones_are_among_them(write: Write, tmp_path: Path) -> None:
    ran = run(write(SPACE), tmp_path / "results.json")
    content = read_results(tmp_path / "results.json")
    assert len(ran.points) == len(set(ran.points)) == len(content["trials"]) == 24
    assert [row["number"] for row in content["trials"]] == list(range(24))
    failed = [row for row in content["trials"] if row["error"]]
    assert {row["error"] for row in failed} == {"prune.ratio: not reached"}
    assert not {row["number"] for row in failed} & set(content["pareto"])
    ratios = {row["params"]["prune.ratio"] for row in content["trials"]}
    assert ratios <= {0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4}, "digits of the steps"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("sampler", [NSGA2, {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 5}])
def test_a_stopped_search_ends_as_an_undisturbed_one_whatever_ends_first(
    sampler: dict[str, Any], order: int, write: Write, tmp_path: Path
) -> None:
    space = write(SPACE | {"sampler": sampler})
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    run(space, whole)
    ran: list[Point] = []
    for trials in (3, 3, 10, 24):
        ran += run(space, parts, trials=trials, order=order).points
    assert len(ran) == len(set(ran)) == 24
    assert parts.read_bytes() == whole.read_bytes()
    assert run(space, parts, trials=5).points == []
    assert parts.read_bytes() == whole.read_bytes()


def test_a_killed_search_goes_on(write: Write, tmp_path: Path) -> None:
    """SIGKILL in the middle of a trial, three times over: only that trial runs again."""
    undisturbed = tmp_path / "undisturbed.json"
    run(write(SPACE), undisturbed)
    ran = tmp_path / "ran.txt"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\nimport pipeline.search_space as s\n"
        "from pipeline.long_run import alone\nfrom pipeline.search_record import go_on\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport test_search as t\nfolder = Path({str(tmp_path)!r})\ns.CONF = folder\n"
        "def run_all(points):\n    for point in points:\n        with (folder / 'ran.txt').open('a') as file:\n"
        "            print(point, file=file, flush=True)\n        time.sleep(0.05)\n        yield point, t.stand_in(point)\n"
        "with alone('given'):\n    go_on(folder / 'killed.json', s.read_space('given'), t.CONDITIONS, commit='c', trials=24,\n"
        "          retry_failed=False, run_all=run_all)\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = 0
    for more in (3, 7, 5):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
        while not ran.is_file() or len(ran.read_text(encoding="utf-8").splitlines()) < begun + more:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        begun = len(ran.read_text(encoding="utf-8").splitlines())
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    lines = ran.read_text(encoding="utf-8").splitlines()
    assert len(set(lines)) == 24
    assert len(lines) <= 24 + 3, "no trial that ended was run again"
    assert (tmp_path / "killed.json").read_bytes() == undisturbed.read_bytes()


def test_every_trial_of_a_small_space_is_run_and_then_it_ends(write: Write, tmp_path: Path) -> None:
    space = write(SPACE | {"space": {"prune": ["ffn"], "prune.ratio": {"low": 0.1, "high": 0.3, "step": 0.1}, "x": [1, 2]}})
    assert size(space) == 12
    assert len(run(space, tmp_path / "results.json", trials=100).points) == 12


def test_failed_trials_are_run_again_on_demand_and_nothing_is_lost(write: Write, tmp_path: Path) -> None:
    space, path = write(SPACE), tmp_path / "results.json"
    before = {str(point) for point in run(space, path).points}
    failed = [row for row in read_results(path)["trials"] if row["error"]]
    again: list[Point] = []

    def all_well(points: list[Point]) -> Iterator[tuple[Point, Result]]:
        for point in points:
            again.append(point)
            yield point, {"values": {"quality": 0.5, "bytes": 1.0}, "error": ""}

    content = go_on(path, space, CONDITIONS, commit="c", trials=24, retry_failed=True, run_all=all_well)
    assert {tuple(sorted(row["params"].items())) for row in failed} & {point.changes for point in again}
    assert not any(row["error"] for row in content["trials"])
    numbers = [row["number"] for row in content["trials"]]
    assert len(numbers) == len(set(numbers)) >= 24
    assert len(before) == 24


@pytest.mark.parametrize(("part", "changed"), [
    ("definition", {"seed": 2}), ("definition", {"models": ["q8"]}), ("conditions", {"code": "other"}), ("conditions", {"device": "other"}),
])  # fmt: skip
def test_results_of_another_search_are_not_gone_on_with(part: str, changed: dict[str, Any], write: Write, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    run(write(SPACE), path, trials=2)
    first = path.read_bytes()
    space = write(SPACE | changed if part == "definition" else SPACE)
    conditions = CONDITIONS | changed if part == "conditions" else CONDITIONS
    with pytest.raises(UserError, match=f"begun with other {next(iter(changed))}; "):
        go_on(path, space, conditions, commit="c", trials=4, retry_failed=False, run_all=Ran())
    assert path.read_bytes() == first


@pytest.mark.parametrize("content", ["# not JSON", "[]", "{}"])
def test_what_is_no_results_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.json: not a results file") as error:
        read_results(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_one_search_is_run_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with alone("a"), alone("b"), pytest.raises(UserError, match="a: another process is running it"), alone("a"):
        pytest.fail("two at once")
    with alone("a"):
        pass


@pytest.mark.parametrize(("values", "wanted"), [
    ([(1, 1), (2, 2), (3, 1)], [2]),
    ([(1, 1), (2, 2), None, (3, 3)], [0, 1, 3]),
    ([(1, 2), (1, 2)], [0, 1]),
    ([None], []),
])  # fmt: skip
def test_what_nothing_else_beats(values: list[tuple[int, int] | None], wanted: list[int], write: Write) -> None:
    rows = [
        {"number": number, "error": "" if pair else "no", "values": dict(zip(("quality", "bytes"), pair or (), strict=False))}
        for number, pair in enumerate(values)
    ]
    assert pareto(write(SPACE), rows) == wanted


def test_the_table_has_the_best_on_top(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    run(write(SPACE), path)
    content = read_results(path)
    lines = table(content).splitlines()
    assert lines[0].split() == ["trial", "quality", "bytes", "model", "changes"]
    assert len(lines) == 1 + len(content["pareto"])
    qualities = [float(line.split()[1]) for line in lines[1:]]
    assert qualities == sorted(qualities, reverse=True)


@pytest.mark.parametrize(("sampler", "told"), [
    ({}, "names no sampler"),
    ({"_target_": "optuna.samplers.NoSampler"}, "NoSampler"),
    ({"_target_": "optuna.samplers.NSGAIISampler", "population": 3}, "unexpected keyword argument 'population'"),
    ({"_target_": "optuna.samplers.CmaEsSampler"}, "sampler: "),
])  # fmt: skip
def test_a_wrong_sampler_is_refused(sampler: dict[str, Any], told: str, write: Write) -> None:
    with pytest.raises(UserError, match=told) as error:
        list(search(write(SPACE | {"sampler": sampler}), {}, trials=3, run_all=Ran()))
    assert "\n" not in str(error.value)


def test_trials_that_differ_by_bits_alone_wait_for_the_first_of_them() -> None:
    points = [Point(changes=(("prune.ratio", ratio),), model=model) for ratio in (0.1, 0.2) for model in ("q8", "q4")]
    ended: set[Point] = set()

    def run_one(point: Point) -> bool:
        in_order = point.model == "q8" or Point(changes=point.changes, model="q8") in ended
        time.sleep(0.02)
        ended.add(point)
        return in_order

    assert all(right for _, right in as_they_end(run_one, points, alike=lambda point: point.changes, at_once=4, stop=ended.clear))


def _search(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "pipeline.search", *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_the_command_records_a_trial_that_fails_and_goes_on_with_it(repository: Path, run: Any, tmp_path: Path) -> None:
    """A model that no stage of dvc.yaml builds: `dvc exp run` refuses it at once."""
    metrics = repository / "artifacts" / "metrics" / "evaluate" / "nobody.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("{}", encoding="utf-8")
    content = SPACE | {"objectives": {"bytes": "minimize"}, "models": ["nobody"], "space": {"models": ["[nobody]"]}}
    (repository / "conf" / "search" / "nobody.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    run(repository, "git", "commit", "-qam", "before")
    before = [run(repository, "git", *words.split()).stdout for words in ("status --porcelain", "for-each-ref", "stash list")]
    done = _search(repository, "--name", "nobody", "--trials", "1", "--threads", "1", "--work", str(tmp_path / "work"))
    assert done.returncode == 0, done.stderr
    assert "1 trials, 1 failed, 0 that no other beats" in done.stdout
    (path,) = (repository / "artifacts" / "searches").glob("*-search-nobody.json")
    text = path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert json.loads(text)["trials"][0]["error"]
    again = _search(repository, "--name", "nobody", "--trials", "1", "--threads", "1", "--work", str(tmp_path / "work"))
    assert "trial 1" not in again.stderr
    assert path.read_text(encoding="utf-8") == text
    assert _search(repository, "--name", "nobody", "--show").stdout == done.stdout
    path.unlink()
    assert before == [run(repository, "git", *words.split()).stdout for words in ("status --porcelain", "for-each-ref", "stash list")]
    refused = _search(repository, "--name", "nobody", "--show")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
