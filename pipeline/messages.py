"""One line for the user out of an exception of Hydra, OmegaConf or YAML."""

import re

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException


def one_line(error: BaseException) -> str:
    """What went wrong and where, without search paths, schema names and Hydra's advice to append a misspelt key."""
    if isinstance(error, OmegaConfBaseException):
        text = str(error.msg or error).splitlines()[0]
        return f"{text}, full_key: {error.full_key}" if error.full_key else text
    if isinstance(error.__cause__, OmegaConfBaseException):
        return f"{str(error).splitlines()[0]} ({one_line(error.__cause__)})"
    text = str(error).partition("Config search path:")[0]
    return " ".join(re.sub(r"\b\w+_schema\b", "", text).split())


def unwrapped(error: Exception) -> BaseException:
    """Hydra's `call` wraps what the called function raised; users want the function's own words."""
    inner: BaseException = error
    while isinstance(inner, InstantiationException) and inner.__cause__ is not None:
        inner = inner.__cause__
    return inner
