"""Contrail finds and ends every process that it started, even outside its group, and touches no other."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contrail_airflow.local.processes import (
    TOKEN,
    Process,
    end,
    end_marked,
    exclusive,
    interruptible,
    marked,
    start_time,
    wait_until,
)

SLEEP = "import time; time.sleep(300)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEP}"


@contextmanager
def started(script: str, token: str) -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, TOKEN: token},
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    if "ready" in script:
        assert process.stdout is not None
        process.stdout.readline()
    try:
        yield Process("test", process.pid, start_time(process.pid) or 0)
    finally:
        process.kill()
        process.wait()


def test_a_process_is_known_by_its_start_time_too() -> None:
    with started(SLEEP, "a") as process:
        assert process.alive()
        assert not Process("another", process.pid, process.started + 1).alive()
        end([process], 10)
        assert not process.alive()


def test_a_process_id_that_was_given_to_somebody_else_is_left_alone() -> None:
    with started(SLEEP, "a") as process:
        end([Process("gone", process.pid, process.started + 1)], 0.1)
        time.sleep(0.2)
        assert process.alive()


def test_one_that_does_not_listen_is_killed() -> None:
    with started(DEAF, "a") as process:
        end([process], 0.3)
        assert wait_until(lambda: not process.alive(), 5)


def test_what_left_its_group_is_found_by_the_token() -> None:
    token, other = f"mine-{os.getpid()}", f"other-{os.getpid()}"
    script = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}], start_new_session=True).wait()"
    )
    with started(SLEEP, other) as bystander, started(script, token) as process:
        assert wait_until(lambda: len(marked(token)) == 2, 10)
        end([process], 5)
        assert len(marked(token)) == 1, "the child has a session of its own"
        end_marked(token, 0.3)
        assert wait_until(lambda: not marked(token), 5)
        assert bystander.alive()


def test_without_a_token_nothing_is_ended() -> None:
    with started(SLEEP, "") as process:
        end_marked("", 0.1)
        assert process.alive()


def test_a_token_is_not_found_by_its_beginning() -> None:
    with started(SLEEP, f"whole-{os.getpid()}-more"):
        assert marked(f"whole-{os.getpid()}") == []


def test_two_wait_for_each_other(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(tmp_path / "lock"):
            order.append("second")

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_polite_stop_runs_what_must_be_run_last() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), 15)
        time.sleep(5)
