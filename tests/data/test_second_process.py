import os

import pytest

from medllm.data.parallel import SecondProcess
from medllm.errors import UserError

SLOW = "__import__('time').sleep(0.01)"
PID = "__import__('os').getpid()"


def test_the_second_process_keeps_the_order_and_passes_errors_on() -> None:
    with SecondProcess() as second:
        # until it has started all is done here
        results = list(second.map(eval, [f"({SLOW}, {PID}, {number})" for number in range(300)]))
        assert [number for _, _, number in results] == list(range(300))
        assert len({process for _, process, _ in results}) == min(2, os.cpu_count() or 1)
        with pytest.raises(ZeroDivisionError):
            list(second.map(eval, [f"1 / ({PID} == {os.getpid()})"] * 20 + ["1 / 0"]))


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core: all work is done in the first process")
def test_a_killed_second_process_is_named() -> None:
    lethal = f"({SLOW}, {PID} == {os.getpid()} or __import__('os')._exit(9))"
    with SecondProcess() as second, pytest.raises(UserError, match="second process of prepare_data was killed"):
        list(second.map(eval, [lethal] * 200))
