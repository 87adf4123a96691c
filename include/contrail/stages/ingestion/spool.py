"""Rows of landed files that wait until their whole delivery has been judged.

A few wait in memory. The others wait in files of a folder, so that no number of rows fills the memory.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from uuid import uuid4

import pyarrow as pa


@dataclass
class Room:
    """Memory, in bytes, that all spools of a table share, and the folder for what does not fit."""

    folder: Path
    free: int
    _lock: Lock = field(default_factory=Lock)

    def take(self, size: int) -> bool:
        """Take memory, if there is enough."""
        with self._lock:
            fits = size <= self.free
            self.free -= size if fits else 0
            return fits

    def give_back(self, size: int) -> None:
        """Give memory back."""
        with self._lock:
            self.free += size


class Spool:
    """The rows of one landed file. ``left_out`` counts those that were not added."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._kept: list[pa.RecordBatch] = []
        self._size = 0
        self._path = room.folder / f"{uuid4().hex}.arrow"
        self._writer: pa.RecordBatchFileWriter | None = None
        self.rows = self.left_out = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows. Once they have gone to the file, those that follow go there, too."""
        self.rows += batch.num_rows
        if self._writer is None and self._room.take(batch.nbytes):
            self._kept.append(batch)
            self._size += batch.nbytes
            return
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_file(str(self._path), batch.schema, options=options)
        self._writer.write_batch(batch)

    def end(self) -> None:
        """Say that all rows have been added."""
        if self._writer is not None:
            self._writer.close()

    def take(self) -> Iterator[pa.RecordBatch]:
        """Give the rows out, once. They go from the memory and from the folder meanwhile."""
        with ExitStack() as at_last:
            at_last.callback(self.drop)
            self._kept.reverse()
            while self._kept:
                yield self._kept.pop()
            if self._writer is not None:
                reader = at_last.enter_context(pa.ipc.open_file(str(self._path)))
                for number in range(reader.num_record_batches):
                    yield reader.get_batch(number)

    def drop(self) -> None:
        """Forget the rows."""
        self.end()
        self._kept.clear()
        self._room.give_back(self._size)
        self._size = 0
        self._path.unlink(missing_ok=True)
