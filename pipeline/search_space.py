"""What a search varies and weighs: conf/search/<name>.yaml, checked against the schema of conf/ before anything runs."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import DictConfig
from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from medllm.errors import UserError
from pipeline.compose import compose
from pipeline.conf_sha import CONF
from pipeline.layout import METRICS

COUNTED = ("bytes", "parameters", "decode_bytes")  # exact, from the files of the model
_STRICT = ConfigDict(extra="forbid")
_Number = Annotated[StrictInt | StrictFloat, Field(allow_inf_nan=False)]

Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Range:
    """Whole numbers when all of it is, else real ones; every one where `step` is null."""

    low: _Number
    high: _Number
    step: Annotated[_Number, Field(gt=0)] | None = None
    log: StrictBool = False


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Space:
    """A search as its file says it."""

    objectives: Annotated[dict[str, Direction], Field(min_length=1)]
    models: Annotated[list[str], Field(min_length=1)]
    space: Annotated[dict[str, Any], Field(min_length=1)]
    sampler: dict[str, Any]
    batch: Annotated[StrictInt, Field(ge=1)]
    seed: Annotated[StrictInt, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trial: the changed keys, and the model that is evaluated."""

    changes: tuple[tuple[str, Value], ...]
    model: str

    @property
    def overrides(self) -> list[str]:
        """What -S gets."""
        return [f"{key}={_word(value)}" for key, value in self.changes]

    def __str__(self) -> str:
        return " ".join([*self.overrides, self.model])


def _word(value: Value) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _checked(kind: Any, content: Any, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])])
        raise UserError(f"{key}: {first['msg']}; correct it") from error


def _dimension(given: Any, where: str) -> Range | list[Value]:
    if isinstance(given, list):
        values = _checked(Annotated[list[Value], Field(min_length=1)], given, where)
        if len(set(values)) < len(values):
            raise UserError(f"{where}: a value stands there twice; leave one out")
        return list(values)
    if not isinstance(given, dict):
        raise UserError(f"{where}={given!r}: neither a list of values nor a range like {{low: 0.1, high: 0.4, step: 0.05}}; correct it")
    found: Range = _checked(Range, given, where)
    if found.low > found.high or (found.log and (found.low <= 0 or found.step is not None)):
        raise UserError(f"{where}: low must not exceed high, and a logarithmic range is positive and without step; correct it")
    steps = (found.high - found.low) / (found.step or 1)
    if found.step is not None and abs(steps - round(steps)) > 1e-9:
        raise UserError(f"{where}: from {found.low} no whole number of steps of {found.step} leads to {found.high}; correct it")
    return found


def read_space(name: str) -> Space:
    """conf/search/<name>.yaml, every key of `space` a range or a list; UserError for what is not of this form."""
    path = CONF / "search" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml"))) or "none"
        raise UserError(f"conf/search/{name}.yaml: no such file; there is: {known}")
    where = f"conf/search/{path.name}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not YAML ({' '.join(str(error).split())}); correct it") from error
    space: Space = _checked(Space, content, where)
    for key, given in space.space.items():
        space.space[key] = _dimension(given, f"{where}: space.{key}")
    return space


def _ends(dimension: Range | list[Value]) -> list[Value]:
    """What a dimension is checked with: every value of a list, both ends of a range."""
    return dimension if isinstance(dimension, list) else [dimension.low, dimension.high]


def _tried(space: Space) -> Iterator[Point]:
    """The first of everything, then everything else once beside it."""
    first = {key: _ends(dimension)[0] for key, dimension in space.space.items()}
    yield Point(changes=tuple(first.items()), model=space.models[0])
    for key, dimension in space.space.items():
        for value in _ends(dimension)[1:]:
            yield Point(changes=tuple((first | {key: value}).items()), model=space.models[0])


def check(space: Space, where: str) -> None:
    """UserError when conf/ knows a key, value or model not, or the evaluation a metric. A range is checked at its ends."""
    configs: list[tuple[Point, DictConfig]] = []
    for point in _tried(space):
        try:
            configs.append((point, compose(point.overrides)))
        except UserError as error:
            raise UserError(f"{where}: {' '.join(point.overrides)}: {error}") from error
    for model in space.models:
        if model not in configs[0][1].models:
            raise UserError(f"{where}: models: {model!r} is not one of {', '.join(configs[0][1].models)}; correct it")
        known = [*_metrics(model), *COUNTED]
        for name in space.objectives:
            if name not in known:
                raise UserError(f"{where}: objectives: {model} has no metric {name!r}; it has {', '.join(known)}")


def _metrics(model: str) -> list[str]:
    """Names of the numbers that the last evaluation of a model wrote."""
    path = METRICS / "evaluate" / f"{model}.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file, so that its metrics are not known; run dvc repro evaluate@{model}")
    content: Mapping[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return sorted(name for name, value in content.items() if isinstance(value, (int, float)) and not name.endswith(("_low", "_high")))


def size(space: Space) -> float:
    """How many different trials there are; infinite when a real number may take any value."""
    return math.prod([len(space.models), *(_count(dimension) for dimension in space.space.values())])


def whole(found: Range) -> bool:
    """Whether a range is one of whole numbers."""
    return all(isinstance(number, int) for number in (found.low, found.high, found.step or 1))


def _count(dimension: Range | list[Value]) -> float:
    if isinstance(dimension, list):
        return len(dimension)
    if dimension.low == dimension.high:
        return 1
    step = dimension.step or (1 if whole(dimension) else 0)
    return round((dimension.high - dimension.low) / step) + 1 if step else math.inf
