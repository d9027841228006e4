"""Checks a composed config against the schema: keys, types and ranges, each problem in one line."""

from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from medllm.errors import UserError
from pipeline.schema import BY_TARGET, OPTIONS, Config, Stage

_REPAIR = "change it in conf/ and run python -m pipeline.compose"


def _check_ranges(node: DictConfig, where: str) -> None:
    """By pydantic, inner nodes first, so that a problem is named by its full key."""
    for key in node:
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            _check_ranges(node[key], f"{where}.{key}".strip("."))
    try:
        OmegaConf.to_object(node)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])]).strip(".")
        raise UserError(f"config error: {key}={first['input']!r}: {first['msg']}; {_REPAIR}") from error


def _typed(schema: type, node: DictConfig, where: str) -> DictConfig:
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), node)
        assert isinstance(merged, DictConfig)
        _check_ranges(merged, where)
    except OmegaConfBaseException as error:
        key = f"{where}.{error.full_key}".strip(".") if error.full_key else where
        raise UserError(f"config error: {str(error.msg).splitlines()[0]}, full_key: {key}") from error
    return merged


def _option(node: Any, where: str, *, replaced: bool) -> DictConfig:
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if target not in BY_TARGET:
        raise UserError(f"config error: {where}._target_={target!r} names no option of pipeline/options; {_REPAIR}")
    schema = BY_TARGET[target]
    if replaced:
        group = where.partition(".")[0]
        others = {key for name, _, other in OPTIONS if name == group for key in other.__dataclass_fields__}
        node = OmegaConf.masked_copy(node, [key for key in node if key in schema.__dataclass_fields__ or key not in others])
    return _typed(schema, node, where)


def _distillation(node: Any, where: str, *, replaced: bool) -> DictConfig:
    """Its student is the name of a model, or an option of conf/model."""
    typed = _option(node, where, replaced=replaced)
    if isinstance(typed.student, DictConfig):
        typed.student = _option(typed.student, f"{where}.student", replaced=False)
    elif not isinstance(typed.student, str) or not typed.student:
        raise UserError(f"config error: {where}.student={typed.student!r} is neither a model nor an option of conf/model; {_REPAIR}")
    return typed


def validate(cfg: DictConfig, *, replaced_groups: Collection[str] = ()) -> DictConfig:
    """The same config with every group node typed. A group replaced by `+group=option` sheds the keys of the option it replaces."""
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    top = OmegaConf.create(raw)
    schema: type = Stage if "source" in raw else Config
    _typed(schema, top, "")
    for group in sorted({name for name, _, _ in OPTIONS}):
        if group in ("finetune", "quantize"):
            for name in top[group]:
                top[group][name] = _option(top[group][name], f"{group}.{name}", replaced=f"{group}.{name}" in replaced_groups)
        elif group == "distill":
            for name in ("distill", "rescue"):
                if name in top:
                    top[name] = _distillation(top[name], name, replaced=name in replaced_groups)
        else:
            top[group] = _option(top[group], group, replaced=group in replaced_groups)
    OmegaConf.set_struct(top, True)
    return top
