"""Faults of Contrail that the trials must find, by name. Each is put into the libraries before a command is forked."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

import contrail.files
from contrail.config.settings import settings
from contrail.errors import EngineError
from contrail.lake import publisher
from contrail.operations import replay
from contrail.stages import performance


def done_too_early() -> None:
    """The publisher commits half of the rows, then all of them. And a day that has a row passes for done."""
    real = publisher.publish

    def publish(tables: Any, dataset: Any, rows: Any, *rest: Any, **named: Any) -> int:
        if isinstance(rows, pa.Table) and rows.num_rows > 1:
            real(tables, dataset, rows.slice(0, rows.num_rows // 2), *rest, **named)
        return real(tables, dataset, rows, *rest, **named)

    def stale(run: Any, mature: Any) -> list[date]:
        done = run.lake.partitions("performance") if run.lake.exists("performance") else ()
        return [day for day in mature if day not in done]

    publisher.publish = publish
    performance._stale = stale


def locks_that_stay() -> None:
    """A lock is a file that its holder removes, which a dead one does not."""

    @contextmanager
    def locked(path: Path, what: str, wait_seconds: float = 0) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise EngineError(f"another process {what}") from None
        yield
        path.unlink()

    replay.locked = locked


def files_that_stay() -> None:
    """A command keeps its notes beside the lake, each run its own, and removes them at its end."""
    real = replay.locked

    @contextmanager
    def locked(*of: Any) -> Iterator[None]:
        notes = settings().home_path / f"notes-{os.getpid()}"
        notes.write_text("begun")
        with real(*of):
            yield
        notes.unlink()

    replay.locked = locked


def flushes_that_do_nothing() -> None:
    """Nothing waits for the disk."""
    contrail.files._flush = lambda path: None


PLANTED: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (done_too_early, locks_that_stay, files_that_stay, flushes_that_do_nothing)
}
