"""The one publisher: it audits staged rows, then makes them visible in one atomic Iceberg commit.

Nothing else adds rows to a table or removes them. ``data_files`` writes the data files. ``history``, ``naming`` and
``rolling_back`` have what a person does with snapshots later.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date

import duckdb
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from upath import UPath

from contrail.config.settings import Settings, current_person
from contrail.errors import CommitConflictError, DamagedError
from contrail.files import on_disk
from contrail.lake import (
    adoption,
    archive,
    audit,
    data_files,
    forgotten,
    history,
    integrity,
    readers,
    snapshots,
    staged,
    upkeep,
    writing,
)
from contrail.lake.archive import Archive
from contrail.lake.catalog import Tables
from contrail.lake.comparison import same_days, same_files
from contrail.lake.datasets import Dataset
from contrail.lake.ordering import ordered
from contrail.lake.provenance import JOB_ROWS, PARTITIONS, PERSON, SAME, SCOPE, Provenance
from contrail.lake.selection import Selection
from contrail.lake.sessions import session
from contrail.lake.staged import Staged
from contrail.lake.transactions import ThriftyTransaction
from contrail.lake.writing import Written

_MANIFESTS = 40  # from so many on, an appending commit merges them


@dataclass(frozen=True)
class _Audited:
    """Files whose rows passed the audit, and what they replace. ``job_rows`` counts the rows of all commits of the job."""

    dataset: Dataset
    files: tuple[DataFile, ...]
    replaced: Selection
    provenance: Provenance
    job_rows: int

    def of(self, day: date) -> "_Audited":
        """Select one partition."""
        one = replace(self.replaced, days=(day,))
        return replace(self, files=tuple(file for file in self.files if _holds(one, file)), replaced=one)

    def summary(self, same: Selection) -> dict[str, str]:
        """Return the summary of the snapshot to come."""
        found = self.provenance.summary() | {JOB_ROWS: str(self.job_rows), PARTITIONS: self.replaced.label}
        marks = {SAME: same.label, SCOPE: self.replaced.scope_label}
        return found | {key: value for key, value in marks.items() if value}


def publish(
    tables: Tables,
    dataset: Dataset,
    rows: Staged,
    replaced: Selection,
    provenance: Provenance,
    *,
    each_partition: bool = False,
) -> int:
    """Write staged rows as data files and audit them, then replace the selected rows in one atomic commit.

    The rows need not fit into memory: they are sorted by partition and key within ``memory_limit``, on disk if they must.
    A folder of files that are final already is moved into the table, not written again (``adoption``).

    A partition without staged rows becomes empty. A reader sees all of the old rows or all of the new ones.
    When another writer commits first, this one tries again. The last commit of a partition wins.

    A partition whose rows are published already keeps them. The snapshot then says only what they were made of this time,
    and readers of its lineage see no change. The same work again publishes nothing.

    Args:
        tables: Has the dataset's table, or makes it.
        dataset: The table to publish to.
        rows: Staged rows, in any order: as Arrow, as a stream of batches, or as a folder of Parquet files and the folders
            in it.
        replaced: The rows to replace. All staged rows must belong to this selection.
        provenance: Goes into the snapshot's summary.
        each_partition: Make one commit for each partition, in order. The audit of all rows comes before the first commit.

    Returns:
        The id of the table's snapshot that holds the rows.

    Raises:
        AuditError: The rows broke a rule. Nothing was published.
        InputsChangedError: Rows are of a person who was forgotten. Nothing was published.
        CommitConflictError: Other writers won every attempt. Nothing was published.
    """
    audit.check_selection(dataset, replaced)
    table = tables.ensure(dataset)
    written = _write(tables, table, dataset, rows, replaced)
    files = tuple(one.file for one in written)
    whole = _Audited(dataset, files, replaced, provenance, sum(file.record_count for file in files))
    parts = deque([whole] if not (each_partition and replaced.days) else map(whole.of, replaced.days))
    snapshot = 0
    while parts:
        try:
            snapshot = _replace(tables, table, parts.popleft())
        except BaseException:
            data_files.remove(table, [file for part in parts for file in part.files])
            raise
    return snapshot


def _write(tables: Tables, table: Table, dataset: Dataset, rows: Staged, replaced: Selection) -> list[Written]:
    """Make audited data files of staged rows. Nothing stays of rows that broke a rule."""
    settings, known, seen = tables.settings, forgotten.load(tables), audit.Seen()

    def check(paths: list[str]) -> None:
        audit.check(dataset, replaced, seen, lambda: _asked(settings, table, paths))
        if known is not None:
            known.check(dataset, lambda: _asked(settings, table, paths))

    final = adoption.final_files(table, dataset, rows) if isinstance(rows, UPath) else None
    if final is not None:
        for file in final:
            seen.count(dataset, file.footer)
            seen.read(dataset, file.partition, file.footer)
        check([str(file.path) for file in final])
        return adoption.adopt(table, final)
    spill = settings.home_path / "tmp"
    batches = ordered(settings, dataset.staged_schema(), staged.typed(dataset, rows), dataset.order)
    with closing(batches):
        written = writing.write(table, seen.watched(dataset, batches), dataset.partition_by, spill)
    for one in written:
        seen.read(dataset, one.partition, one.footer)
    paths = [one.file.file_path for one in written]
    try:
        check(paths)
    except BaseException:
        data_files.discard(table, paths)
        raise
    return written


@contextmanager
def _asked(settings: Settings, table: Table, paths: list[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session with the rows of new files as the view ``staged``."""
    with session(settings) as connection:
        readers.create_view(connection, "staged", data_files.schema_of(table), paths)
        yield connection


def note(table: Table, summary: Mapping[str, str]) -> int:
    """Commit a snapshot that changes no row. It succeeds only if the table is still as ``table`` was loaded.

    Raises:
        CommitFailedException: Another writer was first. Nothing was committed.
    """
    return swap(table, [], [], dict(summary))


def replace_files(table: Table, old: Sequence[DataFile], new: Sequence[DataFile], summary: Mapping[str, str]) -> int:
    """Commit a snapshot that has new data files in place of old ones, and return its id.

    Raises:
        CommitFailedException: Another writer was first. Nothing was committed, and the new files are removed.
    """
    try:
        return swap(table, old, new, dict(summary))
    except CommitFailedException:
        data_files.remove(table, new)
        raise


def _replace(tables: Tables, table: Table, audited: _Audited) -> int:
    attempts = _Attempts(audited, table)
    try:
        snapshot = tables.commit(audited.dataset.name, lambda: _commit(tables, attempts))
    except BaseException as error:
        if _is_lost(tables, audited.dataset.name, list(attempts.tried), error):
            data_files.remove(table, audited.files)
        raise
    same = attempts.tried.get(snapshot, Selection.of(None))
    data_files.remove(table, [file for file in audited.files if _holds(same, file)])
    return snapshot


@dataclass
class _Attempts:
    """What the attempts of one replacement share.

    ``tried`` has for each snapshot which partitions were the same: their old files stayed. ``_compared`` spares the next
    attempt to read again what no other writer has replaced.
    """

    audited: _Audited
    table: Table
    tried: dict[int, Selection] = field(default_factory=dict)
    _compared: dict[frozenset[str], Selection] = field(default_factory=dict)

    def same_in(self, tables: Tables, table: Table, old: Sequence[DataFile]) -> Selection:
        """Select what the table holds already. An unpartitioned table is the same as a whole or not at all."""
        there = frozenset(file.file_path for file in old)
        if there not in self._compared:
            self._compared[there] = self._compare(tables.settings, table, old)
        return self._compared[there]

    def _compare(self, settings: Settings, table: Table, old: Sequence[DataFile]) -> Selection:
        audited, schema = self.audited, readers.schema_of(table)
        # A damaged file is not the same, whatever can still be read of it.
        damages = integrity.damages(table, old)
        if audited.replaced.days is None:
            same = not damages and same_files(settings, audited.dataset, schema, old, audited.files)
            return Selection.of(None if same else ())
        damaged = {damage.day for damage in damages}
        days = [day for day in audited.replaced.days if day not in damaged]
        return Selection.of(same_days(settings, audited.dataset, schema, old, audited.files, days))


def _commit(tables: Tables, attempts: _Attempts) -> int:
    """Try one commit."""
    audited = attempts.audited
    table = tables.table(audited.dataset.name)
    if landed := snapshots.landed(table, attempts.tried):
        return landed  # an earlier attempt, whose answer was lost
    if table.metadata.table_uuid != attempts.table.metadata.table_uuid:
        raise CommitConflictError(
            f"{'.'.join(table.name())} was moved away and made anew while rows were written for it. Nothing was published. "
            "Run the stage again."
        )
    current = table.current_snapshot()
    old = data_files.listed(table, audited.replaced)
    same = attempts.same_in(tables, table, old)
    if current and same.label == audited.replaced.label and _known(table, audited):
        return int(current.snapshot_id)
    gone = [file for file in old if not _holds(same, file)]
    new, summary = [file for file in audited.files if not _holds(same, file)], audited.summary(same)
    told = lambda tried: attempts.tried.setdefault(tried, same)  # noqa: E731
    return swap(table, gone, new, summary, told, kept=tables.settings.snapshots_kept)


def _known(table: Table, audited: _Audited) -> bool:
    """Whether the lineage says already that these partitions are of this work. What only a damaged archive says is not known."""
    lineage, days, scope = history.lineage_of(table), audited.replaced.days, audited.replaced.scope_label
    try:
        makers = [lineage.maker(day, scope) for day in days] if days else list(lineage.commits[:1])
    except DamagedError:
        return False
    return all(maker is not None and audited.provenance.same_work(maker.provenance) for maker in makers)


def _holds(same: Selection, file: DataFile) -> bool:
    """Whether a data file is of a partition that stays. A file has rows of one partition; Iceberg counts its days."""
    return same.days is None or (bool(same.days) and data_files.day_of(file.partition[0]) in same.days)


def swap(
    table: Table,
    old: Sequence[DataFile],
    new: Sequence[DataFile],
    summary: dict[str, str],
    trying: Callable[[int], object] = lambda _: None,
    *,
    kept: int | None = None,
    archived: Archive | None = None,
    expired: Collection[int] = (),
) -> int:
    """Commit one snapshot that drops the old files and adds the new ones. Return its id, told before to ``trying``.

    Args:
        table: As it was loaded. It becomes what it is after the commit.
        old: Data files that the new snapshot does not have.
        new: Data files that it has besides.
        summary: Its properties. Without a person, who runs this process is added.
        trying: Is told the id before the commit.
        kept: The same commit moves older snapshots to the archive, and lets those expire that are more than so many.
        archived: The same commit makes this the table's archive.
        expired: The same commit lets these snapshots of the metadata expire, tagged or not.

    Raises:
        CommitFailedException: Another writer was first. Nothing was committed.
    """
    on_disk(one.file_path for one in new)
    # The public overwrite() makes two snapshots, a delete and an append. This makes one (docs/adr/0002).
    with ThriftyTransaction(table) as transaction:
        update = transaction.update_snapshot(snapshot_properties={PERSON: current_person(), **summary})
        append = update.merge_append if _has_many_manifests(table) else update.fast_append
        with update.overwrite() if old else append() as producer:
            trying(producer.snapshot_id)
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
        if kept is not None:
            with suppress(DamagedError):  # the snapshots stay in the metadata until the archive is mended
                upkeep.put_away(table, transaction, kept)
        if expired:
            upkeep.drop(transaction, expired)
        if archived is not None:
            transaction.set_properties(archive.write(table, archived))
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return int(snapshot.snapshot_id)


def _has_many_manifests(table: Table) -> bool:
    """Whether merging them pays. PyIceberg would write a large one again for each small one that finds room in it."""
    snapshot = table.current_snapshot()
    return snapshot is not None and len(snapshot.manifests(table.io)) >= _MANIFESTS


def give_up(tables: Tables, name: str, lost: Collection[str], days: Iterable[date], provenance: Provenance) -> int:
    """Take data files out of a table, in one atomic commit: their rows are lost, and readers see the others.

    Args:
        tables: Has the table.
        name: The table.
        lost: The locations of the files.
        days: Their partitions.
        provenance: Goes into the snapshot's summary.

    Returns:
        The id of the new snapshot.
    """
    replaced = Selection.of(days) if days else Selection.of(None)
    tried: list[int] = []

    def attempt() -> int:
        table = tables.table(name)
        if landed := snapshots.landed(table, tried):
            return landed  # an earlier attempt, whose answer was lost
        gone = [file for file in data_files.listed(table, Selection.of(None)) if file.file_path in lost]
        return swap(table, gone, [], {**provenance.summary(), PARTITIONS: replaced.label}, tried.append)

    return tables.commit(name, attempt)


def _is_lost(tables: Tables, name: str, tried: Sequence[int], error: BaseException) -> bool:
    """Say whether certainly no attempt became visible, so that nothing refers to its data files."""
    if not tried:
        return True
    # After any other error the catalog may have made the commit, or may still make it.
    if not isinstance(error, CommitConflictError | OSError):
        return False
    with suppress(Exception):
        table = tables.table(name)
        return not any(snapshots.find(table, made) for made in tried)
    return False
