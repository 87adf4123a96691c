"""Data files of a table: list them, and write rows as Parquet under its location. A later commit adds them to the table.

A data file has the SHA-256 of its bytes in its name. So whoever reads the name in a manifest can tell whether the file is
as it was written (``integrity``).
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType

import pyarrow as pa
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import ManifestGroupPlanner, Table

from contrail.lake import manifests
from contrail.lake.selection import Selection

_WRITERS = 4
_SUFFIX = ".parquet"
_FILE_PATH = 1  # the position of this field in PyIceberg's record, which has no setter for it


def listed(table: Table, selection: Selection, snapshot_id: int | None = None) -> list[DataFile]:
    """List the data files that hold exactly these rows, as a snapshot has them (the current one, if none is named).

    Raises:
        DamagedError: when a manifest is missing or damaged.
    """
    snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    if snapshot is None:
        return []
    # A scan's plan would also work out, file by file, what the filter still asks of its rows: most of its time. A file
    # has rows of one partition, and a selection is of partitions, so nothing is left to ask.
    planner = ManifestGroupPlanner(table.metadata, table.io, selection.expression())
    entries = (entry for found in planner.plan_manifest_entries(manifests.whole(table, snapshot)) for entry in found)
    return [entry.data_file for entry in entries if entry.data_file.content == DataFileContent.DATA]


def write(table: Table, rows: pa.Table, partition_by: tuple[str, ...]) -> list[DataFile]:
    """Write the files of each partition, a few partitions at a time. No reader sees them before the commit.

    If a file cannot be written, the others are removed again.
    """
    named = _NamedByDigest(table.io)
    parts = _by_partition(rows, partition_by)
    try:
        with ThreadPoolExecutor(_WRITERS) as pool:
            written = pool.map(lambda part: list(_dataframe_to_data_files(table.metadata, part, named)), parts)
            found = [file for files in written for file in files]
    except BaseException:
        _remove(table, named.locations.values())
        raise
    for file in found:
        file[_FILE_PATH] = named.locations[file.file_path]
    return found


def remove(table: Table, files: Sequence[DataFile]) -> None:
    """Remove data files to which no snapshot refers."""
    _remove(table, [file.file_path for file in files])


def _remove(table: Table, locations: Iterable[str]) -> None:
    for location in locations:
        with suppress(Exception):  # what stays is an orphan; the error that led here matters more
            table.io.delete(location)


def _by_partition(rows: pa.Table, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Yield the rows of each partition. PyIceberg would filter all rows once for each partition (a year: 46 s)."""
    if not columns or rows.num_rows == 0:
        yield from [rows] if rows.num_rows else []
        return
    ordered = rows.sort_by([(name, "ascending") for name in columns]).combine_chunks()
    start = 0
    for count in ordered.group_by(list(columns), use_threads=False).aggregate([([], "count_all")])["count_all"]:
        yield ordered.slice(start, count.as_py())
        start += count.as_py()


# ---- the digest in the name ----


class _NamedByDigest(FileIO):
    """Writes each file under a name with its digest. ``locations`` maps the names that were requested to these."""

    def __init__(self, below: FileIO) -> None:
        super().__init__(below.properties)
        self.below = below
        self.locations: dict[str, str] = {}

    def new_input(self, location: str) -> InputFile:
        return self.below.new_input(location)

    def new_output(self, location: str) -> OutputFile:
        return _Output(location, self)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        self.below.delete(location)


class _Output(OutputFile):
    """A file whose name is known when its content is. Until then the content is in memory, compressed."""

    def __init__(self, location: str, files: _NamedByDigest) -> None:
        super().__init__(location)
        self._files = files
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def exists(self) -> bool:
        return False  # the name holds a UUID

    def to_input_file(self) -> InputFile:
        return self._files.new_input(self._files.locations[self.location])

    def create(self, overwrite: bool = False) -> "_Stream":
        return _Stream(self)

    def store(self, content: memoryview) -> None:
        """Write the content under its name."""
        final = f"{self.location.removesuffix(_SUFFIX)}-{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
        self._files.locations[self.location] = final
        self._size = len(content)
        with self._files.below.new_output(final).create() as stream:
            stream.write(content)


class _Stream(io.BytesIO):
    def __init__(self, output: _Output) -> None:
        super().__init__()
        self._output = output

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._output.store(self.getbuffer())
