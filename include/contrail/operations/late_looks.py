"""Which landed files of long past days were found to be what the lake holds, so that a day's run need not read them again.

A file is known by what its file system says of it (name, size, times, or an object's tag), and by the lake's rows of its
day. Any difference makes it unknown again. Nothing is said to be newer or older: clocks jump back.
"""

import json
from collections.abc import Sequence
from datetime import date
from hashlib import sha256

from upath import UPath

from contrail.files import write_whole
from contrail.lake.readers import PartitionState
from contrail.operations.backfill import Backfills


class LookedAt:
    """The files of one table that need no second look."""

    def __init__(self, backfills: Backfills, table: str) -> None:
        self._path = backfills.settings.reports / backfills.pipeline.name / "late" / "looked" / f"{table}.json"
        self._before = _read(self._path)
        self._now: dict[str, str] = {}

    def knows(self, day: date, paths: Sequence[UPath], state: PartitionState | None) -> bool:
        """Whether the files of a day and the lake's rows are as they were at the last look."""
        try:
            known = self._before.get(str(day)) == _key(paths, state)
        except OSError:
            return False  # a broken link, for example; ingest says what is wrong with it
        if known:
            self.remember(day, paths, state)
        return known

    def remember(self, day: date, paths: Sequence[UPath], state: PartitionState | None) -> None:
        """Note that the lake holds the content of these files."""
        self._now[str(day)] = _key(paths, state)

    def keep(self) -> None:
        """Write down the files that are known now. Without this file all are read again."""
        if self._now != self._before:
            write_whole(self._path, json.dumps(self._now, indent=0, sort_keys=True).encode())


def _key(paths: Sequence[UPath], state: PartitionState | None) -> str:
    keys = [str(path.fs.ukey(str(path))) for path in paths]
    own = keys[0] if len(keys) == 1 else sha256("".join(keys).encode()).hexdigest()
    return f"{own[:16]}-{state.snapshot_id if state else None}"


def _read(path: UPath) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
