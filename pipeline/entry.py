"""Every entrypoint is a @hydra.main app over conf/stage.yaml; this wraps it so that users see one line instead of a traceback."""

import functools
import os
import sys
from collections.abc import Callable

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from medllm.errors import UserError
from pipeline.messages import fail, one_line, one_line_errors, unwrapped
from pipeline.schema import register
from pipeline.validate import validate

Step = Callable[[DictConfig], None]


def _run(step: Step, cfg: DictConfig) -> None:
    replaced = [item.lstrip("+").split("=", 1)[0] for item in HydraConfig.get().overrides.task if item.startswith("+")]
    try:
        step(validate(cfg, replaced_groups=replaced))
    except InstantiationException as error:
        inner = unwrapped(error)
        raise inner from inner.__cause__


def _checked(step: Step, cfg: DictConfig) -> None:
    kinds = (UserError, HydraException, OmegaConfBaseException, OSError)
    try:
        with one_line_errors(*kinds, interrupted="nothing was kept half-written, run the same command again"):
            _run(step, cfg)
    except RuntimeError as error:
        # A step that broke its own promise says so in one line; MEDLLM_TRACEBACK=1 shows where.
        if os.environ.get("MEDLLM_TRACEBACK"):
            raise
        fail(f"{error} (set MEDLLM_TRACEBACK=1 for the traceback)")


def wired(cfg: DictConfig, *names: str) -> None:
    """UserError when the command line leaves out what dvc.yaml always gives: which models to read and write."""
    for name in names:
        if not cfg[name]:
            raise UserError(f"{name}= is missing on the command line; dvc.yaml shows how the stage is called, dvc repro calls it")


def entrypoint(step: Step) -> Callable[[], None]:
    """Turn `step(cfg)` into a command: `python -m pipeline.<stage> [key=value ...]`."""
    register()

    composed = False

    @functools.wraps(step)
    def checked(cfg: DictConfig) -> None:
        nonlocal composed
        composed = True
        _checked(step, cfg)

    app = hydra.main(version_base="1.3", config_path="../conf", config_name="stage")(checked)

    @functools.wraps(step)
    def command() -> None:
        if {"-h", "--help"} & set(sys.argv[1:]):  # Hydra's own help lists config groups
            print(sys.modules[step.__module__].__doc__)  # noqa: T201
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own multi-line summary
        if not os.path.exists("params.yaml"):  # noqa: PTH110
            fail("params.yaml: not in this folder; run from the repository root, or compose it with python -m pipeline.compose")
        try:
            app()
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            if composed:
                raise
            fail(f"config error: {one_line(error)}")

    return command
