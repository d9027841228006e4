"""One recipe at one seed, and the rows that it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medllm.compare.recipe_rows import Record, read_row
from medllm.errors import UserError
from pipeline.clone_run import Clones


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`recipe` is "default", the name of a file of conf/experiment, or several joined by "+", applied in that order."""

    recipe: str
    seed: int

    @property
    def overrides(self) -> list[str]:
        """What -S gets."""
        names = self.recipe.split("+")
        experiment = [] if self.recipe == "default" else [f"experiment={names[0] if len(names) == 1 else '[' + ','.join(names) + ']'}"]
        return [*experiment, f"seed={self.seed}"]

    @property
    def name(self) -> str:
        """For folders and logs."""
        return f"{self.recipe}-{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs jobs in clones: `models` if there are any, else the teacher, those of the chain and the finals."""

    clones: Clones
    models: Sequence[str]
    finals: Sequence[str]
    teacher: str

    def run(self, job: Job) -> tuple[list[Record], Record]:
        """(rows, items by hash) of a job; a model that was not built or evaluated is a row with an error."""
        models = list(self.models or self.finals)  # until the chain is known

        def wanted(chain: Mapping[str, Any]) -> list[str]:
            models[:] = self.models or [self.teacher, *on_chain(chain), *self.finals]
            return models

        with self.clones.run(job.name, job.overrides, wanted) as (artifacts, error):
            return _rows(job, artifacts, models, commit=self.clones.commit, error=error)


def on_chain(chain: Mapping[str, Any]) -> list[str]:
    """The trained models between the teacher and what is quantised, in the order of the recipe."""
    made_from = {"pruned": chain["prune"], "distilled": chain["distill"], "student": chain["student"], **chain["rescue"]}
    trained: list[str] = []
    name = chain["quantize"]
    while name in made_from and name not in trained:
        trained.insert(0, name)
        name = made_from[name]
    return trained


def _rows(job: Job, artifacts: Path, models: Sequence[str], *, commit: str, error: str) -> tuple[list[Record], Record]:
    rows: list[Record] = []
    items: Record = {}
    for model in models:
        row: dict[str, Any] = {"recipe": job.recipe, "seed": job.seed, "model": model, "commit": commit, "error": ""}
        try:
            read, new = read_row(artifacts, model)
        except UserError as missing:
            rows.append(row | {"error": error or str(missing)})
        else:
            rows.append(row | read)
            items |= new
    return rows, items
