"""``Lake``: the one object through which stages and people use the tables of one pipeline.

``catalog`` finds and makes tables, ``readers`` reads them, and ``publisher`` writes them. ``history``, ``naming`` and
``rolling_back`` look after their snapshots. The rules of a stage do not belong here.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import date

import duckdb
import pyarrow as pa

from contrail.errors import DamagedError
from contrail.lake import history, integrity, naming, publisher, readers, rolling_back
from contrail.lake.catalog import Tables
from contrail.lake.datasets import Dataset
from contrail.lake.history import HistoryEntry
from contrail.lake.integrity import Verified
from contrail.lake.lineage import Lineage
from contrail.lake.provenance import Provenance
from contrail.lake.readers import PartitionState
from contrail.lake.selection import Selection
from contrail.lake.staged import Staged
from contrail.partitions import Partitions


class Lake(Tables):
    """The tables of one pipeline, to read, to publish to, and to look after."""

    # ---- readers ----

    def schema(self, name: str) -> pa.Schema:
        """Return the Arrow schema of a table; see ``readers.schema``."""
        return readers.schema(self, name)

    def files(
        self,
        name: str,
        partitions: Partitions | None = None,
        snapshot_id: int | None = None,
        scope: Mapping[str, str] | None = None,
    ) -> list[str]:
        """List the URIs of the Parquet files that hold exactly these rows; see ``readers.files``."""
        return readers.files(self, name, partitions, snapshot_id, scope)

    def scan(
        self,
        name: str,
        partitions: Partitions | None = None,
        columns: Iterable[str] | None = None,
        snapshot_id: int | None = None,
        scope: Mapping[str, str] | None = None,
    ) -> pa.Table:
        """Read rows of a table as Arrow; see ``readers.scan``."""
        return readers.scan(self, name, partitions, columns, snapshot_id, scope)

    def batches(
        self,
        name: str,
        partitions: Partitions | None = None,
        columns: Iterable[str] | None = None,
        snapshot_id: int | None = None,
    ) -> pa.RecordBatchReader:
        """Read rows of a table as a bounded stream; see ``readers.batches``."""
        return readers.batches(self, name, partitions, columns, snapshot_id)

    def view(
        self,
        connection: duckdb.DuckDBPyConnection,
        view: str,
        name: str,
        days: Iterable[date] | None = None,
        columns: Iterable[str] | None = None,
        snapshot_id: int | None = None,
        *,
        row: str | None = None,
    ) -> None:
        """Make a view of rows of a table in a DuckDB session; see ``readers.view``."""
        readers.view(self, connection, view, name, days, columns, snapshot_id, row=row)

    def partitions(self, name: str, window: Partitions | None = None) -> dict[date, PartitionState]:
        """Return the published partitions of a table, or those of a window, in order; see ``readers.partitions``."""
        return readers.partitions(self, name, window)

    def ends(self, name: str) -> Partitions | None:
        """Return the range from the first to the last published partition of a table; see ``readers.ends``."""
        return readers.ends(self, name)

    def connect(
        self, names: Iterable[str] | None = None, partitions: Mapping[str, Partitions] | None = None
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a DuckDB session with a view for each table; see ``readers.connect``."""
        return readers.connect(self, names, partitions)

    def made_of(
        self, name: str, partitions: Partitions | None = None, snapshot_id: int | None = None
    ) -> dict[date, list[str]]:
        """Name the data files of each day that has rows; see ``readers.made_of``."""
        return readers.made_of(self, name, partitions, snapshot_id)

    # ---- the publisher ----

    def publish(
        self,
        dataset: Dataset,
        rows: Staged,
        partitions: Partitions | Iterable[date] | None,
        provenance: Provenance,
        scope: Mapping[str, str] | None = None,
        each_partition: bool = False,
    ) -> int:
        """Replace the rows that ``partitions`` and ``scope`` select, in one atomic commit; see ``publisher.publish``."""
        replaced = Selection.of(partitions, scope)
        return publisher.publish(self, dataset, rows, replaced, provenance, each_partition=each_partition)

    def field_ids(self, dataset: Dataset) -> dict[str, int]:
        """Return the id of each column, as files of the table have it; see ``adoption``. A missing table is made."""
        return {field.name: field.field_id for field in self.ensure(dataset).schema().fields}

    # ---- whether the files are whole ----

    def verify(self, name: str) -> Verified:
        """Compare every data file of a table with its size and digest; see ``integrity.verify``."""
        return integrity.verify(self.table(name))

    def give_up(self, found: Verified, provenance: Provenance) -> int:
        """Take the damaged files out of a table; see ``publisher.give_up``."""
        days = {damage.day for damage in found.damages if damage.day}
        lost = {damage.file for damage in found.damages}
        return publisher.give_up(self, found.table, lost, days, provenance)

    # ---- history ----

    def history(self, name: str, lost: Callable[[DamagedError], object] | None = None) -> list[HistoryEntry]:
        """List the snapshots of a table, newest first; see ``history.entries``."""
        return history.entries(self, name, lost)

    def lineage(self, name: str, lost: Callable[[DamagedError], object] | None = None) -> Lineage:
        """Return the commits that make up a table's current state; see ``history.lineage``."""
        return history.lineage(self, name, lost)

    def rollback(self, name: str, snapshot_id: int) -> None:
        """Make an earlier snapshot the current one; see ``rolling_back.rollback``."""
        rolling_back.rollback(self, name, snapshot_id)

    # ---- upkeep ----

    def tag(self, name: str, snapshot_id: int, tag: str) -> None:
        """Name a snapshot so that it never expires; see ``naming.tag``."""
        naming.tag(self, name, snapshot_id, tag)

    def untag(self, name: str, tag: str) -> None:
        """Remove a snapshot's name; see ``naming.untag``."""
        naming.untag(self, name, tag)
