"""The start of the embedded Airflow, without Airflow."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from contrail.config.settings import settings
from contrail_airflow.local import embedded
from contrail_airflow.local.embedded import Embedded, State


@pytest.fixture
def slow_components(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """In place of Airflow: an API server that listens on its port a while after it was started."""
    with ExitStack() as sockets:

        def spawn(_: Embedded, state: State, name: str, command: list[str], environment: Any) -> None:
            if name == "api-server":
                time.sleep(0.3)
                server = sockets.enter_context(socket.socket())
                server.bind(("127.0.0.1", int(command[command.index("--port") + 1])))
                server.listen()

        monkeypatch.setattr(embedded, "_PORTS", tmp_path / "ports.lock")
        monkeypatch.setattr(Embedded, "_spawn", spawn)
        monkeypatch.setattr(embedded, "apply_settings", lambda *_: None)
        for name in ("_migrate", "_wait"):
            monkeypatch.setattr(Embedded, name, lambda *_: None)
        yield


def test_two_that_start_at_once_take_a_port_each(slow_components: None, tmp_path: Path) -> None:
    homes = [Embedded(settings().model_copy(update={"home_path": tmp_path / name})) for name in ("one", "two")]
    states = [State(), State()]
    threads = [threading.Thread(target=h._start, args=(s,)) for h, s in zip(homes, states, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(state.ready for state in states)
    assert len({state.airflow_url for state in states}) == 2
