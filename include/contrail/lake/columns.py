"""Columns of many rows, of which memory holds a few at a time.

For work that needs all values of one column together, such as its quantiles. What comes of them does not belong here.
"""

import pyarrow as pa

from contrail.lake import readers
from contrail.lake.lake import Lake
from contrail.lake.parquet import parquet_files, plain, read_rows
from contrail.partitions import Partitions

# What a value takes while its column is worked on: itself, and copies that are sorted, numbered and counted.
_BYTES_PER_VALUE = 48


class Columns:
    """The columns of a table's rows at one snapshot, read as many at a time as the memory limit allows."""

    def __init__(self, lake: Lake, name: str, partitions: Partitions, snapshot_id: int | None) -> None:
        self._schema = readers.schema(lake, name)
        self._files = readers.files(lake, name, partitions, snapshot_id)
        rows = parquet_files(self._files).count_rows() if self._files else 0
        self._at_a_time = max(1, lake.settings.memory_bytes // (2 * _BYTES_PER_VALUE * max(rows, 1)))
        self._read = pa.table({})

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the values of a column, in the order of the files. Its neighbours are read with it."""
        if name not in self._read.column_names:
            first = self._schema.get_field_index(name)
            fields = [self._schema.field(n) for n in range(first, min(first + self._at_a_time, len(self._schema)))]
            wanted = pa.schema(fields)
            self._read = read_rows(self._files, wanted) if self._files else plain(wanted).empty_table()
        return self._read.column(name)
