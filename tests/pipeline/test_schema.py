"""pipeline/options against the functions that its `_target_`s name: same knobs, same types, no torch."""

import ast
import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hydra.utils import get_method

from pipeline.options.knobs import Function, Load, Schedule, Template
from pipeline.options.model import Shape
from pipeline.schema import BY_TARGET, OPTIONS

TRAINING = {"seed", "checkpoints", "on_log"}
# What the stage passes itself, by config group; everything else that a function takes by keyword is a knob of conf/.
RUNTIME = {
    "sample": {"seed"},
    "data": {"seed"},
    "graph": {"statement"},
    "model": TRAINING,
    "finetune": TRAINING,
    "prune": set[str](),
    "distill": TRAINING,
    "quantize": set[str](),
    "evaluate": {"metric_prefix", "threads"},
    "benchmark": {"baseline_a", "baseline_b", "threads", "seed", "on_round"},
    "compare": {"metrics", "predictions", "screens", "models_folder", "rules", "messages", "seed"},
    "ab": {"seed"},
    "report": {
        "compare", "prepared", "knowledge", "sample", "graph", "step_metrics", "predictions", "results", "stage_seconds", "versions",
    },
    "package": {"models_folder", "training_folder", "graph", "knowledge", "prepared", "metrics", "gates", "threads", "seed"},
}
# Knobs that the stage reads instead of the function: the folder of the archives, the prefix of evaluate's metrics, a base to distil into.
READ_BY_STAGE = {"data": {"name", "metric_prefix"}, "distill": {"student"}}
SCRIPTS = {"sample": "make_sample", "data": "prepare_data", "graph": "build_graph", "model": "fetch_base"}
NESTED = (Load, Schedule, Shape, Template)

options = pytest.mark.parametrize(("group", "schema"), [pytest.param(group, schema, id=name) for group, name, schema in OPTIONS])


def _knobs(schema: Any) -> dict[str, Any]:
    fields: dict[str, dataclasses.Field[Any]] = schema.__dataclass_fields__
    return {name: field.type for name, field in fields.items() if name != "_target_"}


def _parameters(target: str, kind: Any) -> dict[str, inspect.Parameter]:
    return {name: parameter for name, parameter in inspect.signature(get_method(target)).parameters.items() if parameter.kind is kind}


def _choices(annotation: Any) -> set[str] | None:
    """The alternatives of a pattern like ^(full|lora)$."""
    for constraint in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        for detail in constraint.metadata:
            if pattern := getattr(detail, "pattern", None):
                return set(pattern.removeprefix("^").removesuffix("$").strip("()").split("|"))
    return None


def _plain(annotation: Any) -> Any:
    """The type to compare: without ranges, abstract containers as the concrete ones that YAML gives."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return str
    if get_origin(annotation) in (Union, UnionType):
        return {_plain(option) for option in get_args(annotation)}
    if get_origin(annotation) in (Sequence, list):
        return list[tuple(_plain(inner) for inner in get_args(annotation))]
    if get_origin(annotation) in (Mapping, dict):
        return dict[tuple(_plain(inner) for inner in get_args(annotation))]
    if annotation is Function or get_origin(annotation) is Callable:
        return Callable
    if annotation in NESTED:
        return annotation._target_
    return f"{annotation.__module__}.{annotation.__qualname__}" if dataclasses.is_dataclass(annotation) else annotation


@options
def test_knobs_equal_the_keyword_parameters(group: str, schema: Any) -> None:
    taken = set(_parameters(schema._target_, inspect.Parameter.KEYWORD_ONLY))
    assert RUNTIME[group] <= taken
    assert set(_knobs(schema)) - READ_BY_STAGE.get(group, set()) == taken - RUNTIME[group]


@options
def test_types_equal(group: str, schema: Any) -> None:
    taken = _parameters(schema._target_, inspect.Parameter.KEYWORD_ONLY)
    for name, annotation in _knobs(schema).items():
        if name in READ_BY_STAGE.get(group, set()):
            continue
        wanted = taken[name].annotation
        assert _plain(annotation) == _plain(wanted), name
        if get_origin(wanted) is Literal:
            allowed = _choices(annotation)
            assert allowed is not None, f"{name}: any text passes the schema, the function takes {get_args(wanted)}"
            assert allowed <= set(get_args(wanted)), name


@options
def test_values_live_in_conf_alone(group: str, schema: Any) -> None:
    taken = _parameters(schema._target_, inspect.Parameter.KEYWORD_ONLY)
    for name, annotation in _knobs(schema).items():
        if name not in READ_BY_STAGE.get(group, set()) and annotation is not Function:  # a function may stand for itself in a notebook
            assert taken[name].default is inspect.Parameter.empty, f"{schema.__name__}.{name} has a second default in the function"


@options
def test_the_stage_passes_exactly_the_runtime_arguments(group: str, schema: type, root: Path) -> None:
    tree = ast.parse((root / "pipeline" / f"{SCRIPTS.get(group, group)}.py").read_text(encoding="utf-8"))
    # a stage with large arguments makes `write` of its knobs first: hydra would turn every table into a config
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    partial = [node for node in named if node.func.id == "write"]  # type: ignore[attr-defined]
    calls = partial or [node for node in named if node.func.id == "call"]  # type: ignore[attr-defined]
    assert len(calls) == 1
    assert {keyword.arg for keyword in calls[0].keywords} - {"_convert_"} == RUNTIME[group]
    positional = _parameters(schema._target_, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert len(calls[0].args) - (not partial) == len(positional)


@pytest.mark.parametrize("schema", NESTED)
def test_nested_dataclasses_equal_those_of_the_library(schema: Any) -> None:
    module, _, name = schema._target_.rpartition(".")
    library = getattr(__import__(module, fromlist=[name]), name)
    assert {field: _plain(annotation) for field, annotation in _knobs(schema).items()} == {
        field.name: _plain(field.type) for field in dataclasses.fields(library)
    }


def test_one_option_a_target() -> None:
    assert len(BY_TARGET) == len(OPTIONS)
    assert len({(group, name) for group, name, _ in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize("module", ["pipeline.schema", "pipeline.validate", "pipeline.entry", "pipeline.compose"])
def test_the_schema_starts_fast(module: str, root: Path) -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'mlflow', 'pandas', 'matplotlib', 'tokenizers'}"
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
