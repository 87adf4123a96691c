"""Take rows of forgotten persons out of a table, out of each of its snapshots, and off the disk.

Iceberg never changes a snapshot. So a snapshot that has such rows goes, also when a tag keeps it. The new snapshot has all
other rows, and a ledger: what the snapshots that went have said of their making. Lineage reads on in it, so nothing that
was made of these rows counts as stale.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyiceberg.manifest import DataFile, ManifestEntryStatus
from pyiceberg.table import Table
from upath import UPath

from contrail import clock
from contrail.config.names import literal
from contrail.errors import CommitConflictError
from contrail.faults import is_fault
from contrail.lake import (
    archive,
    data_files,
    history,
    integrity,
    manifests,
    orphans,
    publisher,
    readers,
    sandboxes,
    snapshots,
    writing,
)
from contrail.lake.catalog import Tables
from contrail.lake.datasets import PARTITION
from contrail.lake.forgotten import Marks
from contrail.lake.orphans import Orphan
from contrail.lake.parquet import read_batches
from contrail.lake.provenance import LEDGER, PARTITIONS, Provenance
from contrail.lake.selection import Selection
from contrail.lake.sessions import session

_AT_ONCE = 500  # files that one query reads
_DETAIL = "detail"
_TAKEN_OUT = "The detail quoted a row of a person who was forgotten since."


@dataclass(frozen=True)
class Rule:
    """What goes: rows with a mark, and details that quote one of the words.

    Attributes:
        marks: Say which rows go.
        words: A detail that has one of these texts is taken out. Its row stays.
        hashes: The digests of deliveries, by what they were before rows went. Other rows of these files follow.
    """

    marks: Marks
    words: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)

    def condition(self, schema: pa.Schema) -> str | None:
        """SQL that is true for a row that goes, or that changes; None when there can be none."""
        marked = self.marks.condition(schema)
        quoting = [f"contains({_DETAIL}, {literal(word)})" for word in self.words if _DETAIL in schema.names]
        return " OR ".join([*([marked] if marked else []), *quoting]) or None

    def rewritten(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        """The rows that stay."""
        kept = self.marks.without(rows, schema)
        if self.words and _DETAIL in kept.column_names:
            kept = _with(kept, _DETAIL, lambda text: _TAKEN_OUT if any(word in text for word in self.words) else text)
        if self.hashes and "_sha256" in kept.column_names:
            kept = _with(kept, "_sha256", lambda digest: self.hashes.get(digest, digest))
        return kept


def _with(rows: pa.Table, name: str, change: Callable[[str], str]) -> pa.Table:
    place, changed = rows.column_names.index(name), [change(value or "") for value in rows[name].to_pylist()]
    return rows.set_column(place, rows.schema.field(place), pa.array(changed, pa.string()))


@dataclass(frozen=True)
class Found:
    """What a table has of forgotten persons.

    Attributes:
        rows: Rows of the current snapshot, by partition; an empty text where there are no partitions.
        earlier: Rows in files that only earlier snapshots refer to.
        files: Every data file with such rows that a snapshot refers to.
        snapshots: Snapshots other than the current one that refer to such a file, or name it.
        named: Manifests that name such a file, with its least and greatest values.
        current: Whether the current snapshot's manifests name a file that it has no more.
        strays: Files with such rows, or without an end, to which no snapshot refers.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    earlier: int = 0
    files: frozenset[str] = frozenset()
    snapshots: frozenset[int] = frozenset()
    named: frozenset[str] = frozenset()
    current: bool = False
    strays: tuple[Orphan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.strays or self.named)


@dataclass
class _Manifests:
    """Each data file with its partition, and who refers to it or names it."""

    partitions: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, set[int]] = field(default_factory=dict)
    named: dict[str, set[str]] = field(default_factory=dict)
    of: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, table: Table) -> "_Manifests":
        found = cls()
        position = next((i for i, one in enumerate(table.spec().fields) if one.name == PARTITION), None)
        live: dict[str, list[str]] = {}
        for snapshot in snapshots.in_order(table):
            for manifest in manifests.whole(table, snapshot):
                path = manifest.manifest_path
                found.of.setdefault(path, set()).add(snapshot.snapshot_id)
                if path not in live:
                    live[path] = []
                    for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                        file = entry.data_file.file_path
                        day = "" if position is None else str(data_files.day_of(entry.data_file.partition[position]))
                        found.partitions[file] = day
                        found.named.setdefault(file, set()).add(path)
                        if entry.status != ManifestEntryStatus.DELETED:
                            live[path].append(file)
                for file in live[path]:
                    found.snapshots.setdefault(file, set()).add(snapshot.snapshot_id)
        return found


def find(tables: Tables, name: str, rule: Rule) -> Found:
    """Find the rows of forgotten persons in a table: in every snapshot, and in files that no snapshot refers to.

    Raises:
        DamagedError: when a manifest is damaged. What it refers to is not known then.
    """
    table = tables.table(name)
    wanted = rule.condition(readers.schema_of(table))
    if wanted is None or table.current_snapshot() is None:
        return Found()
    known, left = _Manifests.read(table), orphans.unreferenced(table, sandboxes.borrowed(tables, table))
    store = UPath(table.location()).fs
    loose = {store.unstrip_protocol(one.path): one for one in left if one.path.endswith(".parquet")}
    torn = {file for file, one in loose.items() if _is_torn(store, one.path)}
    counts = _counts(tables, table, [*known.partitions, *(loose.keys() - torn)], wanted)
    current = table.current_snapshot()
    assert current is not None
    rows: dict[str, int] = {}
    earlier = 0
    for file, count in counts.items():
        if current.snapshot_id in known.snapshots.get(file, ()):
            rows[known.partitions[file]] = rows.get(known.partitions[file], 0) + count
        elif file in known.partitions:
            earlier += count
    files = frozenset(file for file in counts if file in known.partitions)
    named = frozenset(path for file in files for path in known.named[file])
    refer = {one for file in files for one in known.snapshots.get(file, ())} | {s for p in named for s in known.of[p]}
    return Found(
        rows=dict(sorted(rows.items())),
        earlier=earlier,
        files=files,
        snapshots=frozenset(refer - {current.snapshot_id}),
        named=named,
        current=current.snapshot_id in refer,
        strays=tuple(loose[file] for file in loose if file in counts or file in torn),
    )


def _is_torn(store: AbstractFileSystem, path: str) -> bool:
    """Say whether a file ends before its footer: a writer was killed, or writes it now. It may have rows of anybody."""
    try:
        with store.open(path, "rb") as file:
            pq.read_metadata(file)
    except FileNotFoundError:
        return False
    except (pa.ArrowException, OSError) as error:
        if is_fault(error):
            raise
        return True
    return False


def _counts(tables: Tables, table: Table, files: Iterable[str], wanted: str) -> dict[str, int]:
    """Count such rows in each file that has any. A file that is gone has none."""
    names = {file.removeprefix("file://"): file for file in files}
    there = [path for path in names if "://" in path or Path(path).exists()]
    found: dict[str, int] = {}
    with session(tables.settings) as connection:
        for low in range(0, len(there), _AT_ONCE):
            view = f"part_{low}"
            readers.create_view(connection, view, readers.schema_of(table), there[low : low + _AT_ONCE], filename=True)
            counted = f"SELECT filename, count(*) FROM {view} WHERE {wanted} GROUP BY filename"
            found |= {names[path]: count for path, count in connection.execute(counted).fetchall()}
    return found


def erase(
    tables: Tables,
    name: str,
    rule: Rule,
    made_by: Provenance,
    grace: timedelta,
) -> int:
    """Take the rows out, and remove all files that had them. Killed in between, the same call goes on.

    Args:
        tables: Has the table.
        name: The table.
        rule: Says what goes.
        made_by: Goes into the new snapshots' summaries.
        grace: A file that no snapshot refers to stays while it is younger: a publication may be about to commit it.

    Returns:
        The number of files that stay for now, because they are younger than ``grace``.

    Raises:
        CommitConflictError: Other writers won every attempt. The record says that the request is under way.
    """
    summary = {**made_by.summary(), PARTITIONS: ""}
    before = find(tables, name, rule)
    if before.rows:
        tables.commit(name, lambda: _take_out(tables, name, rule, summary))
    found = find(tables, name, rule)
    if found.snapshots or found.current:
        tables.commit(name, lambda: _expire(tables, name, rule, summary))
    table = tables.table(name)
    if found.files and _Manifests.read(table).named.keys() & found.files:
        raise CommitConflictError(
            f"{tables.namespace}.{name}: other writers have named files with such rows again. No file was removed. "
            "Run the command again."
        )
    for path in (*sorted(found.named), *sorted(found.files)):
        if orphans.is_own(table, path):
            _remove(table, path)
    return _remove_strays(tables, table, found, grace) if before or found else 0


def _take_out(tables: Tables, name: str, rule: Rule, summary: Mapping[str, str]) -> int | None:
    """Try one commit that replaces the files of the current snapshot that have such rows."""
    table = tables.table(name)
    listed = data_files.listed(table, Selection.of(None))
    wanted = rule.condition(readers.schema_of(table))
    counts = _counts(tables, table, [file.file_path for file in listed], wanted) if wanted else {}
    old = [file for file in listed if file.file_path in counts]
    if not old:
        return None  # an earlier attempt, whose answer was lost
    integrity.check(table, old)
    new = [file for each in old for file in _rewritten(table, each, rule, tables.settings.home_path / "tmp")]
    return publisher.replace_files(table, old, new, summary)


def _rewritten(table: Table, file: DataFile, rule: Rule, spill: Path) -> list[DataFile]:
    schema = readers.schema_of(table)
    batches = (
        batch
        for rows in read_batches([file.file_path], schema)
        for batch in rule.rewritten(pa.Table.from_batches([rows]), schema).to_batches()
    )
    names = [own.name for own in table.spec().fields]
    return [one.file for one in writing.write(table, batches, names, spill)]


def _expire(tables: Tables, name: str, rule: Rule, summary: Mapping[str, str]) -> None:
    """Expire the snapshots with such rows, tagged or not, in the metadata and in the archive, in one commit.

    A publication moves snapshots from the one to the other. It also makes a snapshot the current one, so one of the two
    commits is refused. A snapshot that drops files names them once more; that of this commit does not, and takes its place.
    """
    table, found = tables.table(name), find(tables, name, rule)
    current = table.current_snapshot()
    gone = found.snapshots | ({current.snapshot_id} if current and found.current else frozenset())
    if not gone:
        return  # an earlier attempt, whose answer was lost
    kept = archive.of(table)
    said = {**summary, LEDGER: history.ledger_of(table, tables.settings.snapshots_kept)}
    left = kept.without(gone) if kept.ids() & gone else None
    publisher.swap(table, [], [], said, archived=left, expired=[one for one in gone if table.snapshot_by_id(one)])


def _remove(table: Table, location: str) -> None:
    try:
        table.io.delete(location)
    except FileNotFoundError:
        return  # an earlier attempt removed it


def _remove_strays(tables: Tables, table: Table, found: Found, grace: timedelta) -> int:
    """Remove what no snapshot refers to: files with such rows, and the manifests that may name them."""
    before = clock.ago(tables.settings.home_path, grace, UPath(table.location()))
    left = orphans.unreferenced(table, sandboxes.borrowed(tables, table))
    loose = [one for one in left if one.path.endswith(".avro")]
    old = [one for one in (*found.strays, *loose) if one.modified < before or not grace]
    orphans.remove(table, old)
    return sum(one not in old for one in found.strays)
