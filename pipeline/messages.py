"""One line for the user out of an exception."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from hydra.errors import HydraException, InstantiationException
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


def unwrapped(error: BaseException) -> BaseException:
    """Hydra's `call` wraps what the called function raised; users want the function's own words."""
    inner: BaseException = error
    while isinstance(inner, InstantiationException) and inner.__cause__ is not None:
        inner = inner.__cause__
    return inner


def fail(message: str) -> NoReturn:
    """Leave with exit code 1 and one line on stderr."""
    print(" ".join(f"error: {message}".split()), file=sys.stderr)  # noqa: T201
    raise SystemExit(1)


@contextmanager
def one_line_errors(*kinds: type[Exception], interrupted: str = "") -> Iterator[None]:
    """`fail` for an exception of these kinds, and for Ctrl-C where the command has a sentence for it; every other passes."""
    try:
        yield
    except kinds as error:
        fail(_told(unwrapped(error)))
    except KeyboardInterrupt:
        if not interrupted:
            raise
        fail(f"interrupted; {interrupted}")


def _told(error: BaseException) -> str:
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return f"config error: {one_line(error)}"
    if isinstance(error, OSError):
        return f"{error.filename or 'input/output'}: {error.strerror or error}"
    return str(error)
