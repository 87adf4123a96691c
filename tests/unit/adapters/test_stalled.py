"""An embedded engine that has stopped working is given up, and one that works is not, however long it takes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from contrail.adapters import stalled
from contrail.errors import EngineError

SAIL: Any = SimpleNamespace(engine=SimpleNamespace(kind="sail"))
SPARK: Any = SimpleNamespace(engine=SimpleNamespace(kind="spark"))
Cpu = Callable[[Iterator[float]], list[object]]


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cpu]:
    """What the process has used, at each look. What is registered for the end of the process is listed."""
    ends: list[object] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have ignored for us
    monkeypatch.setattr(stalled.atexit, "register", ends.append)

    def used(looks: Iterator[float]) -> list[object]:
        monkeypatch.setattr(stalled, "time", SimpleNamespace(process_time=lambda: next(looks)))
        return ends

    yield used
    signal.signal(signal.SIGINT, before)


def wait() -> None:
    """As a client of the engine waits: for ever, a moment at a time."""
    while True:
        time.sleep(0.01)


def test_one_that_does_nothing_is_given_up(cpu: Cpu) -> None:
    ends = cpu(repeat(1.0))
    with pytest.raises(EngineError, match=r"has done nothing for 0\.01 minutes.*Run the same command again"):  # noqa: SIM117
        with stalled.awaited(SAIL, patience=0.6):
            wait()
    assert ends == [stalled._leave], "what stops the engine might wait for ever too"


def test_one_that_works_is_waited_for(cpu: Cpu) -> None:
    looks, seen = count(0.0, 1.0), threading.Event()
    ends = cpu(seen.set() or look if look > 3 * stalled._LOOKS else look for look in looks)
    with stalled.awaited(SAIL, patience=0.2):
        assert seen.wait(60)
    assert ends == []


def test_ctrl_c_stays_ctrl_c(cpu: Cpu) -> None:
    cpu(repeat(1.0))
    with pytest.raises(KeyboardInterrupt), stalled.awaited(SAIL):
        raise KeyboardInterrupt


def test_a_distributed_engine_has_limits_of_its_own(cpu: Cpu) -> None:
    before = threading.active_count()
    with stalled.awaited(SPARK, patience=0.01):
        assert threading.active_count() == before


def test_a_process_ends_though_nobody_listens_any_more() -> None:
    code = "import sys; from contrail.adapters import stalled; sys.stdout.write('rows'); stalled._leave('given up')"
    read, written = os.pipe()
    os.close(read)
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen([sys.executable, "-c", code], stdout=written, env=buffered) as process:
        os.close(written)
        assert process.wait(60) == EngineError.exit_code
