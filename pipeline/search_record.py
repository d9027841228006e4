"""What a search leaves behind: one results file, rewritten whole after every trial, that it also goes on from."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from medllm.compare.recipe_rows import Record
from medllm.errors import UserError
from pipeline.layout import SEARCHES
from pipeline.record import read_json, write_json
from pipeline.search_loop import Result, RunAll, pareto, search
from pipeline.search_space import Point, Space, size


def results_file(name: str) -> Path | None:
    """The newest results of a search."""
    return max(SEARCHES.glob(f"????-??-??-search-{name}.json"), default=None)


def read_results(path: Path) -> Record:
    """A results file; UserError when it is something else."""
    try:
        content = read_json(path)
        if {"definition", "conditions", "trials", "pareto"} <= content.keys():
            return content
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a results file of pipeline.search ({error}); move it away") from error
    raise UserError(f"{path}: not a results file of pipeline.search (a key is missing); move it away")


def point_of(row: Record) -> Point:
    """The trial of a row."""
    return Point(changes=tuple(sorted(row["params"].items())), model=row["model"])


def _definition(space: Space) -> Record:
    """What decides which trials are drawn, as it is written; pairs where the order counts."""
    dimensions = [[key, value if isinstance(value, list) else asdict(value)] for key, value in space.space.items()]
    return asdict(space) | {"objectives": [list(pair) for pair in space.objectives.items()], "space": dimensions}


def _begin(path: Path, space: Space, conditions: Record, commit: str) -> Record:
    """The results as they are, or empty ones; UserError when those are of another search."""
    now = {"definition": _definition(space), "conditions": conditions}
    if not path.is_file():
        return now | {"commit": commit, "trials": [], "pareto": []}
    content = read_results(path)
    for part, values in now.items():
        if changed := sorted(key for key in values.keys() | content[part].keys() if values.get(key) != content[part].get(key)):
            raise UserError(f"{path}: begun with other {', '.join(changed)}; copy conf/search to another --name, or move the file away")
    return content


def go_on(path: Path, space: Space, conditions: Record, *, commit: str, trials: int, retry_failed: bool, run_all: RunAll) -> Record:
    """Run what is missing and write the results after every trial; returns them."""
    content = _begin(path, space, conditions, commit)
    known = {point_of(row): row for row in content["trials"] if not (retry_failed and row["error"])}
    drawn: dict[Point, Record] = {}
    most = int(min(trials, size(space)))
    for number, point, result in search(space, known, trials=trials, run_all=run_all):
        drawn[point] = {
            "number": number, "params": dict(point.changes), "model": point.model, "values": result["values"], "error": result["error"],
        }  # fmt: skip
        if point not in known:
            failed = {point_of(row): row for row in content["trials"] if row["error"]}  # those that are still to be tried again
            content["trials"] = _rows(drawn, failed | known)
            content["pareto"] = pareto(space, content["trials"])
            write_json(path, content)
            say(f"trial {number + 1} of {most}: {point}: {result['error'] or _values(result)}")
    if len(drawn) < most:
        say(f"{len(drawn)} of {most} trials: the sampler draws nothing new any more")
    return content


def _rows(drawn: Mapping[Point, Record], known: Mapping[Point, Record]) -> list[Record]:
    """By number. A known one that is not drawn any more, which a retry of failed ones can bring about, is kept under a free number."""
    rows = {row["number"]: row for row in drawn.values()}
    for row in (row for point, row in known.items() if point not in drawn):
        number = row["number"] if row["number"] not in rows else max(rows) + 1
        rows[number] = row | {"number": number}
    return [rows[number] for number in sorted(rows)]


def _values(result: Result) -> str:
    return ", ".join(f"{name} {value:.10g}" for name, value in result["values"].items())


def say(text: str) -> None:
    """One line of progress."""
    print(f"search: {text}", file=sys.stderr, flush=True)  # noqa: T201


def table(content: Record) -> str:
    """The trials that nothing beats in everything, the best in the first objective on top."""
    objectives = [name for name, _ in content["definition"]["objectives"]]
    first, direction = content["definition"]["objectives"][0]
    best = sorted(
        (row for row in content["trials"] if row["number"] in content["pareto"]),
        key=lambda row: (row["values"][first] if direction == "minimize" else -row["values"][first], row["number"]),
    )
    rows = [["trial", *objectives, "model", "changes"]]
    rows += [
        [str(row["number"]), *(f"{row['values'][name]:.10g}" for name in objectives), row["model"], " ".join(point_of(row).overrides)]
        for row in best
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows)
