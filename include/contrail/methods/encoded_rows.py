"""Encoded rows in blocks: the first in memory, as far as they may take it, the others in files.

Rows are encoded once and read many times. XGBoost goes through them four times for its bins, and a training bins them
five times. What is made of the rows does not belong here.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.methods.encoding import encode

Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
# Of 60 features a block takes 63 MB.
BLOCK_ROWS = 1 << 18


class Rows(Protocol):
    """Which rows are chosen. A slice of it is a mask of those rows. An array of booleans is one."""

    def __getitem__(self, rows: slice, /) -> Mask:
        """Return which of the rows ``rows.start`` to ``rows.stop`` are chosen."""


class EveryRow:
    """All rows."""

    def __getitem__(self, rows: slice, /) -> Mask:
        """Choose all."""
        return np.ones(rows.stop - rows.start, bool)


@dataclass(frozen=True)
class DayRows:
    """The rows of chosen days. Rows are sorted by day: ``ends`` has the number of rows up to each day's last."""

    ends: npt.NDArray[np.int64]
    chosen: Mask

    def __getitem__(self, rows: slice, /) -> Mask:
        """Choose the rows whose day is chosen."""
        return self.chosen[np.searchsorted(self.ends, np.arange(rows.start, rows.stop), "right")]


class Room(NamedTuple):
    """How many bytes of memory encoded rows and their bins may take, and the folder for what goes beyond."""

    encoded: int
    bins: int
    folder: Path

    @classmethod
    def of(cls, memory_bytes: int, folder: Path) -> "Room":
        """The room of a training that may take so many bytes: a quarter for rows, half for bins."""
        return cls(memory_bytes // 4, memory_bytes // 2, folder)


def spaced(batch: pa.RecordBatch, first: int, every: int) -> pa.Table:
    """Of a batch whose first row is number ``first`` of all, the rows whose numbers ``every`` divides."""
    return pa.Table.from_batches([batch.take(pa.array(np.arange(-first % every, len(batch), every)))])


@dataclass(frozen=True)
class Block:
    """Rows ``start`` to ``stop`` of all: in memory, or in a file."""

    start: int
    stop: int
    matrix: Matrix | None
    path: Path | None = None

    def read(self, columns: int) -> Matrix:
        """Return the rows, shape (rows, columns)."""
        if self.matrix is not None:
            return self.matrix
        assert self.path is not None
        # Not mapped: the pages of a map would count as this process's memory.
        return np.fromfile(self.path, np.float32).reshape((self.stop - self.start, columns), order="F")


class EncodedRows:
    """Rows as float32 with NaN for missing values, in the order in which they were appended.

    Args:
        names: The columns, in the model's order.
        categories: The values of each category, in the order of their codes.
        room: Limits the memory. Without it every block stays in memory.
    """

    def __init__(self, names: tuple[str, ...], categories: Mapping[str, list[str]], room: Room | None = None) -> None:
        self.names = names
        self.categories = categories
        self.room = room
        self.blocks: list[Block] = []
        self._held = 0
        self._folder: Path | None = None
        self._moved: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.blocks[-1].stop if self.blocks else 0

    @property
    def nbytes(self) -> int:
        """The bytes of all rows, wherever they are."""
        return len(self) * len(self.names) * 4

    def append(self, rows: pa.Table) -> None:
        """Encode rows after the last ones.

        Raises:
            DataError, MissingInputError: as ``encode``.
        """
        for start in range(0, rows.num_rows, BLOCK_ROWS):
            matrix = encode(rows.slice(start, BLOCK_ROWS), self.names, self.categories)
            self.blocks.append(self._kept(len(self), matrix))

    def read(self, number: int) -> Matrix:
        """Return the rows of a block."""
        return self.blocks[number].read(len(self.names))

    def moved(self, number: int, move: Callable[[Matrix], Any]) -> Any:
        """Return the rows of a block where ``move`` brings them. They stay there, so each block moves once."""
        if number not in self._moved:
            self._moved[number] = move(self.read(number))
        return self._moved[number]

    def chosen(self, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield each block that has chosen rows, and their positions in it."""
        for number, block in enumerate(self.blocks):
            own = np.flatnonzero(rows[block.start : block.stop])
            if len(own):
                yield number, own

    def _kept(self, start: int, matrix: Matrix) -> Block:
        stop = start + len(matrix)
        if self.room is None or self._held + matrix.nbytes <= self.room.encoded:
            self._held += matrix.nbytes
            return Block(start, stop, matrix)
        path = self._place(self.room) / f"{len(self.blocks):06d}.f32"
        matrix.ravel(order="F").tofile(path)
        return Block(start, stop, None, path)

    def _place(self, room: Room) -> Path:
        if self._folder is None:
            room.folder.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="rows-", dir=room.folder))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder


class BlankedColumns(EncodedRows):
    """Encoded rows in which some columns have no value. Nothing is copied until it is read.

    Args:
        rows: The rows. They grow no more.
        names: The columns without a value.
    """

    def __init__(self, rows: EncodedRows, names: Collection[str]) -> None:
        super().__init__(rows.names, rows.categories, rows.room)
        self.blocks = rows.blocks
        self._rows, self._blank = rows, [rows.names.index(name) for name in names]

    def read(self, number: int) -> Matrix:
        """Return the rows of a block, with NaN in these columns."""
        found = np.array(self._rows.read(number), order="F")
        found[:, self._blank] = np.nan
        return found
