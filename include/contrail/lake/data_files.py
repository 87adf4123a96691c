"""Data files of a table: list those that are there, describe new ones, name and remove them.

A data file has the SHA-256 of its bytes in its name. So whoever reads the name in a manifest can tell whether the file is
as it was written (``integrity``). Writing rows is ``writing``'s.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import ManifestGroupPlanner, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from contrail.files import is_local, local_path
from contrail.lake import manifests, snapshots
from contrail.lake.selection import Selection

_EPOCH = date(1970, 1, 1)
_DIGEST = re.compile(r"-([0-9a-f]{64})\.parquet$")


def listed(table: Table, selection: Selection, snapshot_id: int | None = None) -> list[DataFile]:
    """List the data files that hold exactly these rows, as a snapshot has them (the current one, if none is named).

    Raises:
        DamagedError: when a manifest is missing or damaged.
    """
    snapshot = table.current_snapshot() if snapshot_id is None else snapshots.find(table, snapshot_id)
    return [entry.data_file for entry in entries(table, selection, snapshot)] if snapshot else []


def entries(table: Table, selection: Selection, snapshot: Snapshot) -> list[ManifestEntry]:
    """List the entries of these data files in the manifests of a snapshot. Only manifests that may have one are read.

    Raises:
        DamagedError: when a manifest is missing or damaged.
    """
    # A scan's plan would also work out, file by file, what the filter still asks of its rows: most of its time. A file
    # has rows of one partition, and a selection is of partitions, so nothing is left to ask.
    planner = ManifestGroupPlanner(table.metadata, table.io, selection.expression())
    planned = planner.plan_manifest_entries(manifests.whole(table, snapshot))
    return [entry for found in planned for entry in found if entry.data_file.content == DataFileContent.DATA]


def schema_of(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table's new files: its columns with their ids, and Arrow's small strings."""
    return pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
            for field in schema_to_pyarrow(table.schema())
        ]
    )


def partition_key(table: Table, values: Sequence[Any]) -> PartitionKey | None:
    """Name a partition by the values of its columns; None in a table without partitions."""
    if not values:
        return None
    fields = zip(table.spec().fields, values, strict=True)
    return PartitionKey([PartitionFieldValue(field, value) for field, value in fields], table.spec(), table.schema())


def location(table: Table, key: PartitionKey | None, name: str) -> str:
    """Return the place of a data file of a partition."""
    return load_location_provider(table.location(), table.properties).new_data_location(name, key)


def entry(table: Table, path: str, size: int, key: PartitionKey | None, footer: pq.FileMetaData) -> DataFile:
    """Describe a data file as a manifest does, from its footer."""
    statistics = data_file_statistics_from_parquet_metadata(
        footer, compute_statistics_plan(table.schema(), table.properties), parquet_path_to_id_mapping(table.schema())
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=key.partition if key else Record(),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def remove(table: Table, files: Iterable[DataFile]) -> None:
    """Remove data files to which no snapshot refers."""
    discard(table, [file.file_path for file in files])


def discard(table: Table, paths: Iterable[str]) -> None:
    """Remove data files to which no snapshot refers, by their places."""
    for path in paths:
        with suppress(Exception):  # what stays is an orphan; the error that led here matters more
            table.io.delete(path)


def day_of(value: int | date) -> date:
    """Return the day of a partition, which Iceberg may count from 1970 on."""
    return value if isinstance(value, date) else _EPOCH + timedelta(days=value)


def digest_of(place: str) -> str | None:
    """Return the SHA-256 in a data file's name; None in a name of an earlier version."""
    found = _DIGEST.search(place)
    return found[1] if found else None


def measured(stream: BinaryIO) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of what can be read from here on."""
    size, digest = 0, hashlib.sha256()
    while content := stream.read(2**20):
        size += len(content)
        digest.update(content)
    return size, digest.hexdigest()


# ---- a file that gets its name when its content is known ----


class Hashed:
    """A new file on a disk that hashes what is written to it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        """Write these bytes."""
        self._digest.update(content)
        self.size += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: ``close`` writes what is held back."""

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def finish(self, table: Table, key: PartitionKey | None, name: str) -> str:
        """Close the file and give it its place in the table, under its name and digest. Return the place."""
        self.close()
        place = location(table, key, f"{name}-{self._digest.hexdigest()}.parquet")
        if is_local(place):
            local_path(place).parent.mkdir(parents=True, exist_ok=True)
            self.path.rename(local_path(place))
        else:
            with self.path.open("rb") as own, table.io.new_output(place).create() as stream:
                shutil.copyfileobj(own, stream, 2**20)
            self.path.unlink()
        return place
