"""Which trials a search runs: Optuna draws, results that are known are taken, the rest is run.

Nothing of Optuna is kept between two runs of the command: a search draws the same trials again from its seed, and finds the results of
those that ended in its file. So one that was killed goes on with what it ran at the time, and ends like one that was left alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from medllm.errors import UserError
from pipeline.messages import one_line, unwrapped
from pipeline.search_space import Point, Range, Space, Value, size, whole

MODEL = "(model)"  # the name of that dimension; no key of conf/ is spelt like this
_MOST_REPEATS = 200  # drawn one after another without anything new

Result = dict[str, Any]  # {"values": by objective, "error": ""}
RunAll = Callable[[list[Point]], Iterable[tuple[Point, Result]]]


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def of(dimension: Range | list[Value]) -> Any:
        if isinstance(dimension, list):
            return CategoricalDistribution(dimension)
        low, high, step = dimension.low, dimension.high, dimension.step
        if whole(dimension):
            return IntDistribution(int(low), int(high), step=int(step or 1), log=dimension.log)
        return FloatDistribution(low, high, step=step, log=dimension.log)

    return {key: of(dimension) for key, dimension in space.space.items()} | {MODEL: CategoricalDistribution(space.models)}


def _study(space: Space) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        sampler = instantiate(space.sampler, seed=space.seed)
    except InstantiationException as error:
        raise UserError(f"sampler: {one_line(unwrapped(error))}; correct it in conf/search") from error
    if not isinstance(sampler, optuna.samplers.BaseSampler):
        raise UserError(f"sampler: {space.sampler.get('_target_')!r} names no sampler of Optuna; correct it in conf/search")
    return optuna.create_study(directions=list(space.objectives.values()), sampler=sampler)


def _draw(study: Any, distributions: Mapping[str, Any]) -> Any:
    try:
        return study.ask(dict(distributions))
    except (ValueError, ImportError) as error:  # a sampler that knows one objective alone, or lacks its own package
        raise UserError(f"sampler: {one_line(error)}; name another in conf/search") from error


def _point(params: Mapping[str, Any]) -> Point:
    """Without the digits that adding steps left behind."""
    values = {key: float(f"{value:.12g}") if isinstance(value, float) else value for key, value in params.items()}
    return Point(model=str(values.pop(MODEL)), changes=tuple(sorted(values.items())))


def search(space: Space, known: Mapping[Point, Result], *, trials: int, run_all: RunAll) -> Iterator[tuple[int, Point, Result]]:
    """(number, point, result) of the first `trials` different points; numbers go by drawing, and come as trials of a batch end.

    A point drawn again tells Optuna what it gave before and does not count. A batch is drawn before its results are known, so that what
    is drawn does not depend on which trial ended first. Failed trials leave their place in the batch to the next.
    """
    from optuna.trial import TrialState

    study, distributions = _study(space), _distributions(space)
    most = min(trials, size(space))
    numbers: dict[Point, int] = {}
    results: dict[Point, Result] = {}
    filled = repeats = 0
    while len(numbers) < most and repeats < _MOST_REPEATS:
        drawn = [_draw(study, distributions) for _ in range(space.batch - filled)]
        points = [_point(trial.params) for trial in drawn]
        new = [point for point in dict.fromkeys(points) if point not in numbers][: int(most - len(numbers))]
        repeats = 0 if new else repeats + len(points)
        numbers |= {point: len(numbers) + place for place, point in enumerate(new)}
        for point, result in chain(
            ((point, known[point]) for point in new if point in known), run_all([point for point in new if point not in known])
        ):
            results[point] = result
            yield numbers[point], point, result
        for trial, point in zip(drawn, points, strict=True):
            result = results.get(point, {"error": "beyond the number of trials"})
            if result["error"]:
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, [result["values"][name] for name in space.objectives])
                filled += 1
        filled %= space.batch


def pareto(space: Space, rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Numbers of the trials that no other beats in everything."""
    import optuna

    study = optuna.create_study(directions=list(space.objectives.values()))
    ended = [row for row in rows if not row["error"]]
    for row in ended:
        study.add_trial(optuna.create_trial(values=[row["values"][name] for name in space.objectives]))
    return sorted(ended[trial.number]["number"] for trial in study.best_trials) if ended else []
