import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from medllm.benchmark.process import Worker, worker_environment

FAKE = Path(__file__).with_name("fake_worker.py")
PROMPT = [2, 3, 4]


def start(behaviour: str) -> Worker:
    return Worker("student", [sys.executable, str(FAKE), behaviour], environment=worker_environment(threads=1))


@contextmanager
def loaded(behaviour: str) -> Iterator[Worker]:
    with start(behaviour) as worker:
        worker.wait_imported()
        worker.load()
        yield worker


def test_loads_measures_and_finishes() -> None:
    with loaded("good") as worker:
        assert worker.loaded["engine"] == "fake"
        assert worker.loaded["dtype"] == "f16"
        assert worker.loaded["load_s"] > 0
        grown = worker.loaded["rss_after_load_bytes"] - worker.loaded["rss_import_bytes"]
        assert 29e6 < grown < 40e6
        sample = worker.ask(prompt=PROMPT, answer_tokens=400)
        assert 0.011 <= sample["ttft_s"] < 0.4
        assert 0.41 <= sample["answer_s"] < 3
        assert sample["decode_tokens_per_s"] == pytest.approx(399 / (sample["answer_s"] - sample["ttft_s"]))
        assert len(sample["inter_token_s"]) == 399
        assert sum(sample["inter_token_s"]) == pytest.approx(sample["answer_s"] * 399 / 400)  # the answer was handed out token by token
        assert worker.ask(finish=True)["peak_rss_bytes"] >= worker.loaded["rss_after_load_bytes"]


def test_the_answer_is_timed_apart_where_handing_out_tokens_costs_time() -> None:
    with loaded("streams slowly") as worker:
        sample = worker.ask(prompt=PROMPT, answer_tokens=200)
        assert sum(sample["inter_token_s"]) > 1.2 * sample["answer_s"]


def test_users_at_once() -> None:
    with loaded("good") as worker:
        found = worker.ask(prompts=[PROMPT] * 6, answer_tokens=40, users=3)
        assert [len(arrivals) for arrivals in found["arrivals_s"]] == [40] * 6
        assert found["seconds"] >= 2 * found["arrivals_s"][0][-1]  # two prompts of each user, one after the other
        assert worker.ask(memory=True)["rss_bytes"] > 0


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("dies", "'student' ended with exit code 1: ValueError: the weights are gone"),
        ("disturbed", "4 tokens took .* the first alone 0.2.* too busy"),
    ],
)
def test_a_dead_worker_tells_its_last_line(behaviour: str, message: str) -> None:
    with loaded(behaviour) as worker, pytest.raises(RuntimeError, match=message):
        worker.ask(prompt=PROMPT, answer_tokens=4)


def test_a_worker_that_dies_at_the_start_or_between_commands() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        pytest.raises(RuntimeError, match="no such model"),
        Worker("student", command, environment=worker_environment(threads=1)) as worker,
    ):
        worker.wait_imported()
    with loaded("good") as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(RuntimeError, match="exit code -9"):
            worker.ask(finish=True)


def test_no_worker_outlives_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medllm.benchmark.process._STOP_SECONDS", 0.1)
    worker = start("hangs")

    def interrupted() -> None:
        with worker:
            worker.wait_imported()
            worker.load()
            assert worker._process.stdin is not None
            worker._process.stdin.write('{"prompt": [2, 3], "answer_tokens": 4}\n')
            worker._process.stdin.flush()
            time.sleep(0.2)  # busy now, and deaf to the end of its input
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.pid_exists(worker._process.pid)


def test_a_worker_that_is_never_told_to_load_leaves() -> None:
    with start("good") as worker:
        worker.wait_imported()
    assert worker._process.returncode == 0


def test_peak_memory_is_the_workers_own() -> None:
    """A child must not inherit the peak of a fat parent (ru_maxrss does, across fork and exec)."""
    code = "x = b'x' * 300_000_000; import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    child = "from medllm.benchmark.memory import peak_rss_bytes, rss_bytes; print(rss_bytes(), peak_rss_bytes())"
    done = subprocess.run(
        [sys.executable, "-c", code, child], env=worker_environment(threads=1), capture_output=True, encoding="utf-8", check=True
    )
    now, peak = map(int, done.stdout.split())
    assert now <= peak < 100e6
