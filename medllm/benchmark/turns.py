"""Workers that are measured in turns, so that whatever disturbs the machine disturbs all of them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from medllm.benchmark.process import Worker, worker_environment


def start_workers(commands: Mapping[str, Sequence[str]], *, threads: int, stack: ExitStack) -> dict[str, Worker]:
    """Workers import side by side (seconds each), then load one after the other, so that no load time is disturbed."""
    environment = worker_environment(threads=threads)
    workers = {name: stack.enter_context(Worker(name, command, environment=environment)) for name, command in commands.items()}
    for worker in workers.values():
        worker.wait_imported()
    for worker in workers.values():
        worker.load()
    return workers


def in_turn(names: Iterable[str], number: int) -> list[str]:
    """The order of round `number`: rotated, so that no model always comes first."""
    ordered = list(names)
    shift = number % len(ordered)
    return ordered[shift:] + ordered[:shift]
