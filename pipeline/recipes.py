"""What each step and order costs and gains: run recipes (files of conf/experiment) over several seeds and write one results file.

    python -m pipeline.recipes run --recipes default prune_random order_pdq --seeds 13 14 15 [--jobs 2 --threads 1]
    python -m pipeline.recipes summarise artifacts/results/2026-01-31-recipes.json

A run works in clones of the committed HEAD below --work and writes only the results file and DVC's cache, which all clones share: what two
recipes have in common is trained once. It goes on where it was stopped: a (recipe, seed) of the same commit that is in the file is skipped,
a failed one too unless --retry-failed.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from medllm.benchmark.device import device_name
from medllm.compare.recipe_rows import Record
from medllm.compare.recipes import add_differences, summarise
from medllm.errors import UserError
from pipeline.clone_run import Clones, as_they_end, output_of
from pipeline.compose import PARAMS
from pipeline.layout import RESULTS
from pipeline.long_run import alone, end_like_ctrl_c, positive
from pipeline.messages import one_line_errors
from pipeline.recipe_run import Job, Runner
from pipeline.record import read_json, write_json

TEACHER = "teacher"
FINALS = ("student_gguf_q8_0", "student_gguf_q4_0")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.recipes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run recipes over seeds")
    run.add_argument("--recipes", nargs="+", required=True, help='"default", names of conf/experiment, or several joined by "+"')
    run.add_argument("--seeds", nargs="+", type=int, required=True)
    run.add_argument("--reference", help="the recipe that all are held against (the first of --recipes)")
    run.add_argument("--models", nargs="+", default=(), help="models to evaluate (teacher, those of the chain, its Q8_0 and Q4_0)")
    run.add_argument("--jobs", type=positive, default=1, help="recipes at once")
    run.add_argument("--threads", type=int, help="threads of each (as configured)")
    run.add_argument("--results", type=Path, help="file to go on with (the newest of this commit and reference, else a new one)")
    run.add_argument("--work", type=Path, help="folder for clones and logs (below the system's temporary folder)")
    run.add_argument("--retry-failed", action="store_true", help="run failed ones again")
    again = commands.add_parser("summarise", help="compute the differences and the summary of a results file again")
    again.add_argument("results", type=Path)
    return parser.parse_args(words)


def todo(content: Record, jobs: Iterable[Job], *, commit: str, retry_failed: bool) -> list[Job]:
    """Jobs whose rows are not in the file, or are of another commit, or failed where failed ones are retried."""
    done: dict[tuple[str, int], bool] = {}
    for row in content["rows"]:
        key = (row["recipe"], row["seed"])
        done[key] = done.get(key, True) and row["commit"] == commit and not (retry_failed and row["error"])
    return [job for job in jobs if not done.get((job.recipe, job.seed), False)]


def put(content: Record, rows: Sequence[Record], items: Record, *, order: Sequence[Job]) -> None:
    """Replace the rows of one job. Rows stand in the order of `order`; those of recipes that are not in it stand first."""
    keys = {(row["recipe"], row["seed"]) for row in rows}
    kept = [row for row in content["rows"] if (row["recipe"], row["seed"]) not in keys]
    places = {(job.recipe, job.seed): at for at, job in enumerate(order)}
    content["rows"] = sorted([*kept, *rows], key=lambda row: places.get((row["recipe"], row["seed"]), -1))
    content["items"] |= items


def finish(content: Record) -> None:
    """Differences and summary, with the resamples and the seed of params.yaml."""
    values = OmegaConf.load(PARAMS)
    knobs = {"num_resamples": OmegaConf.select(values, "compare.num_resamples"), "seed": OmegaConf.select(values, "seed")}
    add_differences(content, teacher=TEACHER, **knobs)
    content["summary"] = summarise(content, teacher=TEACHER, **knobs)


def read(path: Path) -> Record:
    """A results file; UserError when it is something else."""
    try:
        content = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: not a results file of pipeline.recipes ({error}); name another") from error
    if not isinstance(content, dict) or not {"items", "rows", "reference"} <= content.keys():
        raise UserError(f"{path}: not a results file of pipeline.recipes (a key is missing); name another")
    return content


def results_file(folder: Path, *, reference: str, commit: str, today: str) -> Path:
    """The newest file of this commit and reference, which an interrupted run left, be it yesterday's; else one of today."""
    for path in sorted(folder.glob("*-recipes.json"), reverse=True):
        content = read(path)
        if content["reference"] == reference and {row["commit"] for row in content["rows"]} == {commit}:
            return path
    return folder / f"{today}-recipes.json"


def start(path: Path, reference: str, threads: int) -> Record:
    """The results file as it is, or an empty one."""
    content: dict[str, Any] = read(path) if path.is_file() else {"items": {}, "rows": [], "summary": [], "reference": reference}
    if content["reference"] != reference:
        raise UserError(f"{path}: its reference is {content['reference']!r}, not {reference!r}; name another file with --results")
    return content | {"device": device_name(threads=threads)}


def run(arguments: argparse.Namespace) -> Path:
    """Run what is missing, write after every job; returns the results file."""
    reference = arguments.reference or arguments.recipes[0]
    commit, cache = output_of("git", "rev-parse", "HEAD"), Path(output_of(sys.executable, "-m", "dvc", "cache", "dir"))
    path = arguments.results or results_file(RESULTS, reference=reference, commit=commit, today=date.today().isoformat())
    content = start(path, reference, arguments.threads or OmegaConf.select(OmegaConf.load(PARAMS), "threads"))
    jobs = [Job(recipe=recipe, seed=seed) for recipe in dict.fromkeys(arguments.recipes) for seed in dict.fromkeys(arguments.seeds)]
    clones = Clones(
        root=Path.cwd(), commit=commit, work=arguments.work or Path(tempfile.gettempdir()) / f"medllm-recipes-{commit[:12]}",
        cache=cache.resolve(), threads=arguments.threads,
    )  # fmt: skip
    runner = Runner(clones=clones, models=arguments.models, finals=FINALS, teacher=TEACHER)
    waiting = todo(content, jobs, commit=commit, retry_failed=arguments.retry_failed)
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} are done; logs in {clones.work}", flush=True)  # noqa: T201
    for job, (rows, items) in as_they_end(runner.run, waiting, alike=lambda job: job.seed, at_once=arguments.jobs, stop=clones.stop):
        put(content, rows, items, order=jobs)
        write_json(path, content)
        failed = [row for row in rows if row["error"]]
        print(f"{job.name}: {f'{len(failed)} failed: ' + failed[0]['error'] if failed else 'done'}", flush=True)  # noqa: T201
    finish(content)
    write_json(path, content)
    return path


def main() -> None:
    """Run or summarise from the repository root."""
    arguments = _arguments(None)
    end_like_ctrl_c()
    with one_line_errors(UserError, OSError, interrupted="run the same command again to go on"):
        if arguments.command == "run":
            with alone("recipes"):  # two of one commit would take each other's clones
                path = run(arguments)
        else:
            path = arguments.results
            content = read(path)
            finish(content)
            write_json(path, content)
    print(f"{path}: written")  # noqa: T201


if __name__ == "__main__":
    main()
