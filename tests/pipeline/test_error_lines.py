"""One line on stderr and exit code 1, for what a command expects to go wrong and for nothing else."""

import pytest
from hydra.errors import InstantiationException
from hydra.utils import call

from medllm.errors import UserError
from pipeline.messages import one_line_errors

KINDS = (UserError, OSError, InstantiationException)


@pytest.mark.parametrize(("error", "told"), [
    (UserError("a.csv: two\n  lines"), "a.csv: two lines"),
    (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv: No such file or directory"),
    (OSError("the pipe broke"), "input/output: the pipe broke"),
    (KeyboardInterrupt(), "interrupted; what is finished is kept"),
])  # fmt: skip
def test_expected_errors_are_one_line(error: BaseException, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, one_line_errors(*KINDS, interrupted="what is finished is kept"):
        raise error
    assert left.value.code == 1
    assert capsys.readouterr() == ("", f"error: {told}\n")


def test_a_called_function_speaks_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors(*KINDS):
        call({"_target_": "builtins.int"}, "twelve")
    assert capsys.readouterr().err == "error: invalid literal for int() with base 10: 'twelve'\n"


@pytest.mark.parametrize("error", [TypeError("a mistake of ours"), KeyboardInterrupt()])
def test_the_rest_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as passed, one_line_errors(*KINDS):
        raise error
    assert passed.value is error
