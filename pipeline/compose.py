"""Compose conf/ into params.yaml, byte for byte what `dvc exp run` writes: `python -m pipeline.compose [key=value ...]`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from medllm.errors import UserError
from pipeline.conf_sha import CONF
from pipeline.messages import one_line, one_line_errors
from pipeline.schema import register
from pipeline.validate import validate

PARAMS = Path("params.yaml")


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The resolved and validated configuration of conf/."""
    register()
    try:
        with initialize_config_dir(str(CONF), version_base=None):
            cfg = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(cfg)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise UserError(f"config error: {one_line(error)}") from error
    validate(cfg)
    return cfg


def main() -> None:
    """Write params.yaml, whole or not at all."""
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        print(__doc__)  # noqa: T201
        return
    with one_line_errors(UserError):
        text = OmegaConf.to_yaml(compose(sys.argv[1:]))
    partial = PARAMS.with_suffix(".yaml.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, PARAMS)  # noqa: PTH105
    print(f"{PARAMS}: composed from conf/")  # noqa: T201


if __name__ == "__main__":
    main()
