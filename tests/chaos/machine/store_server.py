"""Cloud Storage of tests/loopback with faults: ``python -m tests.chaos.machine.store_server ROOT PLAN``.

The plan is a file: JSON of a ``Plan``, which counts from when the file was written. Without the file nothing is wrong.
"""

import json
import re
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.loopback.storage import Door, StorageServer


@dataclass(frozen=True)
class Plan:
    """Which requests go wrong, and how.

    Attributes:
        how: ``status``, ``cut answer`` and ``cut upload`` (the connection is reset in the middle), ``slow``, ``stale``
            (a listing lacks what is new).
        methods: A pattern of methods.
        paths: A pattern of paths.
        skip: So many fitting requests are served first.
        times: So many go wrong; 0: all.
        code: The status.
        seconds: How long an answer takes, or how new is new.
    """

    how: str
    methods: str = ".*"
    paths: str = ""
    skip: int = 0
    times: int = 0
    code: int = 503
    seconds: float = 0

    def save(self, path: Path) -> None:
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.rename(path)


class State:
    """What the requests have in common."""

    def __init__(self, plan: Path) -> None:
        self._path, self._lock = plan, threading.Lock()
        self._written, self._seen = 0, 0
        self._plan: Plan | None = None

    def fault(self, method: str, path: str) -> Plan | None:
        """The fault of a request; None: it is served as usual."""
        with self._lock:
            try:
                written = self._path.stat().st_mtime_ns
            except FileNotFoundError:
                self._plan, self._written = None, 0
                return None
            if written != self._written:
                self._plan, self._written, self._seen = Plan(**json.loads(self._path.read_text())), written, 0
            assert self._plan
            if not (re.fullmatch(self._plan.methods, method) and re.search(self._plan.paths, path)):
                return None
            self._seen += 1
            number = self._seen - self._plan.skip
            return self._plan if number > 0 and (not self._plan.times or number <= self._plan.times) else None


class FaultyDoor(Door):
    """The door of the storage server, where a plan says which requests go wrong."""

    state: State
    _cut_at: int | None = None
    _newest: float | None = None

    def _forward(self) -> None:
        plan = self.state.fault(self.command, self.path)
        self._cut_at = self._newest = None
        if plan and plan.how == "status":
            self._body()
            self._answer(plan.code, {"error": {"code": plan.code, "message": f"planned: {plan.code}"}})
            return
        if plan and plan.how == "cut upload":
            self.rfile.read(min(64, int(self.headers.get("Content-Length") or 0)))
            self._reset()
            return
        if plan and plan.how == "slow":
            time.sleep(plan.seconds)
        elif plan and plan.how == "cut answer":
            self._cut_at = 64
        elif plan and plan.how == "stale":
            self._newest = time.time() - plan.seconds
        super()._forward()

    def _content(self, content: bytes) -> bytes:
        if self._newest is None or not content.startswith(b"{"):
            return content
        listed: dict[str, Any] = json.loads(content)
        if "items" not in listed:
            return content
        newest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._newest))
        listed["items"] = [one for one in listed["items"] if one.get("updated", "") < newest]
        return json.dumps(listed).encode()

    def _send(self, content: bytes) -> None:
        if self._cut_at is not None and len(content) > self._cut_at:
            self.wfile.write(content[: self._cut_at])
            self._reset()
            return
        super()._send(content)

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _forward  # noqa: N815


def faulty_store(root: Path, plan: Path) -> StorageServer:
    """Serve a store with the bucket ``lake``, which fails as the file ``plan`` says; without that file it does not."""
    (root / "lake").mkdir(parents=True, exist_ok=True)
    return StorageServer(root, door=type("Door", (FaultyDoor,), {"state": State(plan)}))


def main() -> None:
    """Serve until standard input ends."""
    server = faulty_store(*map(Path, sys.argv[1:]))
    print(server.address, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
