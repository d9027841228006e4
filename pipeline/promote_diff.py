"""What an experiment changed, as a file of conf/experiment."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from medllm.errors import UserError
from pipeline.compose import compose
from pipeline.conf_sha import CONF
from pipeline.schema import register
from pipeline.validate import validate

_STAMP = "conf_sha"
PLAIN = "experiment=[]"  # without the experiment that conf/config.yaml names
_GONE = object()

Values = dict[str, Any]


def typed(params: Any) -> Values:
    """Values of a params.yaml as today's schema reads them, without the stamp; UserError for keys that are no longer there."""
    values = OmegaConf.to_container(validate(OmegaConf.create(params)))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != _STAMP}


def composed(overrides: Sequence[str]) -> Values:
    """The same of what conf/ composes to."""
    return typed(OmegaConf.to_container(compose(overrides)))


def _leaves(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*at, str(key)))
    else:
        yield at, value


def _distance(one: Any, other: Any) -> int:
    """How many leaves differ."""
    ones, others = dict(_leaves(one)), dict(_leaves(other))
    return sum(ones.get(key, _GONE) != others.get(key, _GONE) for key in ones.keys() | others.keys())


def _at(values: Values, path: str) -> Any:
    node: Any = values
    for part in path.split("."):
        node = node.get(part, _GONE) if isinstance(node, dict) else _GONE
    return node


def _option(group: str, option: str) -> Any:
    """conf/<group>/<option>.yaml alone, as conf/config.yaml gets it."""
    register()
    with initialize_config_dir(str(CONF), version_base=None):
        return OmegaConf.to_container(hydra_compose(f"{group}/{option}")[group])


def _options(wanted: Values, now: Values) -> Iterator[tuple[str, str]]:
    """(place in the defaults list, option of its group nearest to what is wanted there) where that is not the default one."""
    for entry in yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]:
        place, default = next(iter(entry.items())) if isinstance(entry, dict) else ("experiment", None)
        group, _, path = place.partition("@")
        node, old = _at(wanted, path or group), _at(now, path or group)
        if place == "experiment" or not isinstance(node, dict) or node == old:
            continue
        near = {default: _distance(node, _option(group, default) if default else old)}
        for option in sorted(file.stem for file in (CONF / group).glob("*.yaml") if file.stem != default):
            near[option] = _distance(node, _option(group, option))
        best = min(near, key=lambda option: near[option])  # the first of equals: the default
        if best != default:
            yield place, best


def _changes(wanted: Values, now: Values) -> Values:
    """What has to be laid over `now`."""
    found: Values = {}
    for key, value in wanted.items():
        old = now.get(key, _GONE)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _changes(value, old):
                found[key] = inner
        elif value != old:
            found[key] = value
    return found


def experiment_text(wanted: Values, *, origin: str) -> str:
    """The YAML; UserError when conf/ with it would not compose to exactly what is wanted."""
    options = dict(_options(wanted, composed([PLAIN])))
    changes = _changes(wanted, composed([PLAIN, *(f"{place}={option}" for place, option in options.items())]))
    text = f"# @package _global_\n# Kept from {origin}.\n"
    if options:
        text += "defaults:\n" + "".join(f"  - override /{place}: {option}\n" for place, option in options.items())
    if changes:
        text += yaml.safe_dump(changes, sort_keys=False, allow_unicode=True, width=140, default_flow_style=None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experiment" / "promoted_here.yaml"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        got = composed(["experiment=promoted_here", f"hydra.searchpath=[file://{folder}]"])
    ones, others = dict(_leaves(wanted)), dict(_leaves(got))
    if differing := sorted(".".join(key) for key in ones.keys() | others.keys() if ones.get(key, _GONE) != others.get(key, _GONE)):
        raise UserError(f"{origin}: it is of another state of conf/, which now also says {', '.join(differing[:5])}; run it again")
    return text
