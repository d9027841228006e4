"""Checks a composed config against the schema: keys, types and ranges, each problem in one line."""

from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from medllm.errors import UserError
from pipeline.schema import BY_TARGET, Config, Stage


def _typed(schema: type, node: DictConfig, where: str, *, drop_unknown: bool = False) -> DictConfig:
    known = OmegaConf.structured(schema)
    if drop_unknown:
        node = OmegaConf.masked_copy(node, [key for key in node if key in schema.__dataclass_fields__])
    try:
        merged = OmegaConf.merge(known, node)
        OmegaConf.to_object(merged)  # pydantic checks the ranges
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([where, *(str(part) for part in first["loc"])]).strip(".")
        raise UserError(f"config error: {key}={first['input']!r}: {first['msg']}; change it in conf/ and run python -m pipeline.compose") from error
    except OmegaConfBaseException as error:
        key = f"{where}.{error.full_key}".strip(".") if error.full_key else where
        raise UserError(f"config error: {str(error.msg).splitlines()[0]}, full_key: {key}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _option(node: Any, where: str, *, replaced: bool) -> DictConfig:
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if target not in BY_TARGET:
        raise UserError(f"config error: {where}._target_={target!r} names no option of pipeline/schema.py; restore conf/ and run python -m pipeline.compose")
    return _typed(BY_TARGET[target], node, where, drop_unknown=replaced)


def validate(cfg: DictConfig, *, replaced_groups: Collection[str] = ()) -> DictConfig:
    """The same config with every group node typed. A group replaced by `+group=option` sheds the keys of the option it replaces."""
    raw = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(raw, dict)
    top = OmegaConf.create(raw)
    schema: type = Stage if "source" in raw else Config
    _typed(schema, top, "")
    for group in Config.__dataclass_fields__:
        node = top.get(group)
        if group in ("finetune", "quantize"):
            for name in node:
                top[group][name] = _option(node[name], f"{group}.{name}", replaced=f"{group}.{name}" in replaced_groups)
        elif isinstance(node, DictConfig):
            top[group] = _option(node, group, replaced=group in replaced_groups)
    OmegaConf.set_struct(top, True)
    return top
