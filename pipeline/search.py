"""Search conf/ for models that nothing else beats in everything: python -m pipeline.search --name pareto --trials 24 [--jobs 2 --threads 1]

What is varied and weighed stands in conf/search/<name>.yaml. Every trial is a `dvc exp run` of the committed HEAD in a clone that shares
DVC's cache, so it trains only what no earlier run has; the user's workspace stays as it is. A search that was stopped, be it by SIGKILL,
goes on with the same command, and with a larger --trials it grows. Speed by the clock is no objective: other trials run meanwhile.
Results: artifacts/searches/<date>-search-<name>.json. Uncommitted changes are not searched, save those of conf/search/<name>.yaml.
"""

import argparse
import hashlib
import math
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

from medllm.benchmark.device import device_name
from medllm.benchmark.weights import read_weights
from medllm.compare.recipe_rows import Record, read_row
from medllm.errors import UserError
from pipeline.clone_run import Clones, as_they_end, output_of
from pipeline.compose import PARAMS
from pipeline.layout import SEARCHES
from pipeline.long_run import alone, end_like_ctrl_c, positive
from pipeline.messages import one_line_errors
from pipeline.search_loop import Result
from pipeline.search_record import go_on, read_results, results_file, say, table
from pipeline.search_space import Point, check, read_space

_CODE = ("conf", "data", "dvc.yaml", "medllm", "pipeline")  # what a result depends on
_NOT_CODE = r"\tconf/search/"  # it is in the results


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="pareto", help="conf/search/<name>.yaml")
    parser.add_argument("--trials", type=positive, default=24, help="different ones in all, those of earlier calls included")
    parser.add_argument("--jobs", type=positive, default=1, help="trials at once")
    parser.add_argument("--threads", type=positive, help="threads of each (as configured)")
    parser.add_argument("--work", type=Path, help="folder for clones and logs (below the system's temporary folder)")
    parser.add_argument("--retry-failed", action="store_true", help="run failed trials again")
    parser.add_argument("--show", action="store_true", help="print what was found, run nothing")
    given = parser.parse_args(words)
    if not re.fullmatch(r"\w+", given.name, re.ASCII):
        raise UserError(f"--name {given.name}: letters, digits and _ only")
    return given


def run_one(clones: Clones, objectives: Iterable[str], point: Point) -> Result:
    """Values of the objectives of one trial, or its one-line error."""
    name = hashlib.sha256(str(point).encode()).hexdigest()[:12]
    with clones.run(name, point.overrides, lambda _: [point.model]) as (artifacts, error):
        try:
            row, _ = read_row(artifacts, point.model)
        except UserError as missing:
            return {"values": {}, "error": error or str(missing)}
        decode_bytes = read_weights(artifacts / "models" / point.model, dtype=None).bytes_per_token
        measured = {**row["metrics"], "bytes": row["bytes"], "parameters": row["parameters"], "decode_bytes": decode_bytes}
        values = {name: measured.get(name) for name in objectives}
        useless = [f"{name} is {value}" for name, value in values.items() if value is None or not math.isfinite(value)]
        return {"values": {} if useless else values, "error": ", ".join(useless)}


def run(given: argparse.Namespace) -> Record:
    """Everything up to the last trial."""
    space = read_space(given.name)
    check(space, f"conf/search/{given.name}.yaml")
    commit, cache = output_of("git", "rev-parse", "HEAD"), Path(output_of(sys.executable, "-m", "dvc", "cache", "dir"))
    if changed := output_of("git", "status", "--porcelain", "--", *_CODE, ":(exclude)conf/search"):
        say(f"not committed and so not searched: {', '.join(line.split()[-1] for line in changed.splitlines())}")
    tree = [line for line in output_of("git", "ls-tree", "-r", "HEAD", "--", *_CODE).splitlines() if not re.search(_NOT_CODE, line)]
    root = Path.cwd()
    threads = given.threads or OmegaConf.select(OmegaConf.load(PARAMS), "threads")
    place = hashlib.sha256(str(root).encode()).hexdigest()[:8]
    work = given.work or Path(tempfile.gettempdir()) / f"medllm-search-{given.name}-{place}"
    clones = Clones(root=root, commit=commit, work=work, cache=cache.resolve(), threads=given.threads)
    do = partial(run_one, clones, space.objectives)

    def run_all(points: list[Point]) -> Iterator[tuple[Point, Result]]:
        # the first one alone: it trains what all the others find in the cache
        for part in (points[:1], points[1:]):
            yield from as_they_end(do, part, alike=lambda point: point.changes, at_once=given.jobs, stop=clones.stop)

    with alone(f"search-{given.name}"):
        path = results_file(given.name) or SEARCHES / f"{date.today().isoformat()}-search-{given.name}.json"
        say(f"up to {given.trials} trials, results in {path}, logs in {work}")
        conditions = {
            "code": hashlib.sha256("\n".join(tree).encode()).hexdigest()[:12], "device": device_name(threads=threads),
            "optuna": version("optuna"),
        }  # fmt: skip
        return go_on(path, space, conditions, commit=commit, trials=given.trials, retry_failed=given.retry_failed, run_all=run_all)


def main() -> None:
    """Search, or show what was found, from the repository root."""
    end_like_ctrl_c()
    with one_line_errors(UserError, OSError, interrupted="run the same command again to go on"):
        given = _arguments(None)
        if given.show:
            path = results_file(given.name)
            if path is None:
                raise UserError(f"{SEARCHES}: no results of search {given.name}; run python -m pipeline.search --name {given.name}")
            content = read_results(path)
        else:
            content = run(given)
    failed = sum(bool(row["error"]) for row in content["trials"])
    print(f"{len(content['trials'])} trials, {failed} failed, {len(content['pareto'])} that no other beats in everything:")  # noqa: T201
    print(table(content))  # noqa: T201


if __name__ == "__main__":
    main()
