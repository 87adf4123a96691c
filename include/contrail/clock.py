"""The clock of this machine, as far as upkeep may trust it.

A clock that is set forward makes every file look old, also one that a publication is about to commit. The time since the
machine started cannot be set. So each home keeps a note of how far the clock was ahead of it, and whoever removes what is
old counts by the earliest clock of late. What is removed does not belong here.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from upath import UPath

from contrail.files import is_local, write_whole

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A clock that is kept right by small corrections moves by less in between two notes.
_TOLERANCE = 60.0
_KEPT = 50
_PROBE = ".clock."  # begins the name of a file by which a store is asked for its time
_ASKED = timedelta(hours=1)  # so long nobody asks
_LONGEST = 180 * 24 * 3600.0  # seconds; longer than any grace


def note(home: Path) -> list[tuple[float, float]]:
    """Keep how far the clock is ahead of the time since the machine started. Most calls read a small file alone.

    Returns:
        The clocks since the machine started, oldest first: by how many seconds each was ahead, and until when it was seen,
        in seconds since the start. Empty where the system does not count them.
    """
    started = _seconds_since_start()
    if started is None:
        return []
    ahead, path = time.time() - started, _path(home)
    kept = _read(path)
    if not kept or abs(kept[-1][0] - ahead) > _TOLERANCE:
        # Until now nobody can say when the clock was set, so the clock before was perhaps right until now.
        kept = [*kept[:-1], *((one, started) for one, _ in kept[-1:]), (ahead, started)]
    elif started - kept[-1][1] < _TOLERANCE:
        return kept
    else:
        kept = [*kept[:-1], (kept[-1][0], started)]
    _write(path, kept[-_KEPT:])
    return kept


def ago(home: Path, span: timedelta, *folders: UPath) -> datetime:
    """Return the moment before which a file is older than ``span`` by every clock that may have stamped it.

    Args:
        home: Has the notes.
        span: How old it has to be.
        folders: Of services with clocks of their own. Each is asked, by writing an empty file there, and such files
            of killed processes are removed. A folder on a disk of this machine is not asked.
    """
    started = _seconds_since_start()
    clocks = note(home)
    moments = [datetime.now(UTC), *(clock for clock in map(_clock_of, folders) if clock)]
    if started is not None:
        late = (ahead for ahead, until in clocks if until >= started - span.total_seconds())
        moments += [datetime.fromtimestamp(ahead + started, UTC) for ahead in late]
    return min(moments) - span


def _clock_of(folder: UPath) -> datetime | None:
    """Ask a store for its time; None for a disk, and for a store that does not say when a file came."""
    if is_local(folder):
        return None
    path = folder / f"{_PROBE}{uuid4().hex}"
    path.write_bytes(b"")
    try:
        found = path.fs.modified(str(path))
    except NotImplementedError:
        return None
    finally:
        path.unlink()
    _remove_left(folder, found)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _remove_left(folder: UPath, now: datetime) -> None:
    """Remove the files of processes that were killed while they asked. Another may ask just now."""
    left: list[UPath] = []
    with suppress(FileNotFoundError, NotADirectoryError):  # a store that has no empty folders
        left = [path for path in folder.iterdir() if path.name.startswith(_PROBE)]
    for path in left:
        with suppress(FileNotFoundError):
            if path.fs.modified(str(path)) < now - _ASKED:
                path.unlink()


def _seconds_since_start() -> float | None:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None and _BOOT_ID.exists() else None


def _path(home: Path) -> Path:
    """A machine that shares the home with others has a file of its own, and a new one when it starts again."""
    return home / "locks" / f"clock-{_BOOT_ID.read_text().strip()}"


def _read(path: Path) -> list[tuple[float, float]]:
    with suppress(OSError, ValueError, TypeError):
        found: Iterable[Any] = json.loads(path.read_text())
        return [(float(ahead), float(until)) for ahead, until in found]
    return []


def _write(path: Path, kept: list[tuple[float, float]]) -> None:
    """A note that cannot be written is no reason to stop: whoever needs the disk says what is wrong with it."""
    with suppress(OSError):
        is_new = not path.exists()
        write_whole(UPath(path), json.dumps(kept).encode())
        if is_new:
            _forget_old(path)


def _forget_old(path: Path) -> None:
    """Remove the notes of starts that are long past."""
    for other in path.parent.glob("clock-*"):
        if other.stat().st_mtime < path.stat().st_mtime - _LONGEST:
            other.unlink()
