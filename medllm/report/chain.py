"""Views of compare.json: the models in chain order, their metrics, and the steps of the waterfall."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from medllm.errors import UserError
from medllm.report.format import need

WHERE = "compare.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row of compare.json. `depth` counts training steps from the root; quantised rows share the depth of their source."""

    name: str
    parent: str | None
    step: str
    method: str
    metrics: Mapping[str, Any]
    ratios: Mapping[str, Any]
    deployable: bool
    disqualified: bool
    compression_gain: bool | None
    compression: Mapping[str, Any] | None
    quantized: bool
    depth: int

    def accuracy(self, task: str, suffix: str = "") -> float | None:
        """`accuracy_<task><suffix>`, under its sample_ name where the data are the sample."""
        name = f"accuracy_{task}{suffix}"
        value: float | None = self.metrics.get(f"sample_{name}", self.metrics.get(name))
        return value

    def ratio(self, measure: str, baseline: str) -> float | None:
        """Ratio of `measure` (bytes, decode, peak_rss, resident_weight) to baseline "a" or "b"."""
        value: float | None = self.ratios.get(f"{measure}_to_{baseline}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One bar of the waterfall: `kind` is "baseline", "engine" or "compression"."""

    label: str
    kind: str
    model: Model


def is_sample(compare: Mapping[str, Any]) -> bool:
    """True when the accuracies are of the sample data."""
    models = need(compare, "models", WHERE)
    return any(key.startswith("sample_") for row in models.values() for key in need(row, "metrics", WHERE))


def _depth(models: Mapping[str, Any], name: str) -> int:
    depth, seen = 0, {name}
    parent = models[name]["lineage"]["parent"]
    while parent in models:
        if parent in seen:
            raise UserError(f"{WHERE}: lineage of {name!r} runs in a circle; rebuild the models (dvc repro)")
        seen.add(parent)
        depth, parent = depth + 1, models[parent]["lineage"]["parent"]
    return depth


def _model(models: Mapping[str, Any], name: str) -> Model:
    row, where = models[name], f"{WHERE}: models.{name}"
    lineage = need(row, "lineage", where)
    quantized = "quantize" in need(lineage, "step", where)
    return Model(
        name=name,
        parent=need(lineage, "parent", where),
        step=lineage["step"],
        method=need(lineage, "method", where),
        metrics=need(row, "metrics", where),
        ratios=need(row, "ratios", where),
        deployable=need(row, "deployable", where),
        disqualified=need(row, "disqualified", where),
        compression_gain=need(row, "compression_gain", where),
        compression=row.get("compression"),
        quantized=quantized,
        depth=_depth(models, name) - quantized,
    )


def models_in_order(compare: Mapping[str, Any]) -> list[Model]:
    """Trained models from base to student, then quantised rows by source, deployable engine first, larger first."""
    raw = need(compare, "models", WHERE)
    return sorted(
        (_model(raw, name) for name in raw),
        key=lambda m: (m.quantized, m.depth, not m.deployable if m.quantized else False, -m.metrics.get("bytes", 0), m.name),
    )


def with_extra_rows(compare: Mapping[str, Any]) -> list[Model]:
    """The models in order, and after A the rows that were only timed (A in fp32): no lineage, no quality."""
    models = models_in_order(compare)
    a, _ = baselines(compare, models)
    extra = [
        replace(a, name=name, metrics=need(row, "metrics", WHERE), ratios=need(row, "ratios", WHERE), deployable=False, compression=None)
        for name, row in sorted(compare.get("extra_rows", {}).items())
    ]
    at = models.index(a) + 1
    return [*models[:at], *extra, *models[at:]]


def model_named(models: list[Model], name: str, role: str) -> Model:
    """The model of that name; `role` goes into the error."""
    for model in models:
        if model.name == name:
            return model
    raise UserError(f"{WHERE}: {role} is {name!r}, which has no row in models; run compare again")


def baselines(compare: Mapping[str, Any], models: list[Model]) -> tuple[Model, Model]:
    """Baseline A (transformers) and B (same model, candidate's engine)."""
    names = need(compare, "baselines", WHERE)
    a, b = (model_named(models, need(names, key, f"{WHERE}: baselines"), f"baseline {key}") for key in "ab")
    return a, b


def same_engine(left: Model, right: Model) -> bool:
    """Both were measured through the same engine."""
    return left.metrics.get("engine") is not None and left.metrics.get("engine") == right.metrics.get("engine")


def _step_names(models: list[Model], start: str, stop: str) -> str:
    """The steps that lead from model `start` to its descendant `stop`."""
    by_name = {model.name: model for model in models}
    steps: list[str] = []
    at: str | None = stop
    while at in by_name and at != start:
        steps.insert(0, by_name[at].step.partition("@")[0].partition(".")[0])
        at = by_name[at].parent
    return "\n".join(steps)


def waterfall(compare: Mapping[str, Any], models: list[Model]) -> list[Step]:
    """A -> B is the engine; B -> the champion's source in B's engine and type -> the champion is compression."""
    a, b = baselines(compare, models)
    champion = model_named(models, need(compare, "champion", WHERE), "champion")
    steps = [Step(label="baseline A", kind="baseline", model=a), Step(label="engine", kind="engine", model=b)]
    if champion.name == b.name:
        return steps
    dtype = b.metrics.get("dtype")
    siblings = [m for m in models if m.quantized and m.parent == champion.parent and m.name not in {b.name, champion.name}]
    source = [m for m in siblings if m.metrics.get("dtype") == dtype and same_engine(m, b)]
    if champion.parent != b.parent and source:
        trained = _step_names(models, a.name, source[0].parent or "")
        steps.append(Step(label=trained, kind="compression", model=source[0]))
    last = "quantize" if source or champion.parent == b.parent else "compression"
    return [*steps, Step(label=last, kind="compression", model=champion)]
