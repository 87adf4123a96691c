"""The record of forgotten persons: how many of their rows went, and the marks by which rows that come again are known.

A mark is a keyed hash of the values that identify rows: those that a person named, and the keys of the rows that were
found by them. The record has no value. The key of the hash lies in the landing zone, beside the pipeline's folder. Who
removes the rows, and from where, does not belong here.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.config.names import literal, quoted
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import SQL_TYPES, ColumnType
from contrail.errors import DamagedError, InputsChangedError
from contrail.files import write_whole
from contrail.lake import readers
from contrail.lake.catalog import Tables
from contrail.lake.datasets import PARTITION, Dataset, documented
from contrail.lake.parquet import earlier_of, with_earlier

FORGOTTEN, MARKS = "forgotten", "forgotten_marks"
# The columns by which the quarantine and the record of mends are known, and those of them that have a whole row as JSON.
_QUARANTINED, _JSON = {"table_name", "rule", "row"}, ("row", "mended")
_ROW = "_place"


def forgotten(_: PipelineSpec) -> Dataset:
    """``forgotten``: what was removed of forgotten persons, a row for each place and partition."""
    return Dataset(
        name=FORGOTTEN,
        doc="Rows of persons that were forgotten on request: how many left each place. It does not say whose.",
        columns={
            PARTITION: documented("date", "Day of the request, UTC."),
            "request": documented("string", "Name of the request."),
            "place": documented("string", "Table, folder or file that held something of the person."),
            "partition": documented("string", "Partition of the rows; empty where the place has none."),
            "kind": documented("string", "What was counted: rows, files or texts."),
            "removed": documented("int", "How many were found, and removed."),
            "state": documented("string", "under way, or done."),
            "asked_at": documented("timestamp", "Time of the request, UTC."),
            "done_at": documented("timestamp", "Time at which nothing was left, UTC.", required=False),
            "person": documented("string", "Person who made the request."),
            "reason": documented("string", "Reason for the request."),
        },
        key=("place", "partition", "kind"),
        partition_by=(PARTITION, "request"),
        published_by=("forget",),
    )


def marks(_: PipelineSpec) -> Dataset:
    """``forgotten_marks``: keyed hashes by which rows of forgotten persons are known when they come again."""
    return Dataset(
        name=MARKS,
        doc="Keyed hashes of the values that identify rows of forgotten persons. A row that has them is never published.",
        columns={
            PARTITION: documented("date", "Day of the request, UTC."),
            "request": documented("string", "Name of the request."),
            "columns": documented("string", "Columns whose values were hashed, separated by commas."),
            "types": documented("string", "Types of these columns in the spec."),
            "digest": documented("string", "SHA-256 of the pipeline's key, the columns and their values."),
        },
        key=("columns", "digest"),
        partition_by=(PARTITION, "request"),
        published_by=("forget",),
    )


@dataclass(frozen=True)
class Columns:
    """Columns that identify rows, with their types in the spec. The names are sorted."""

    names: tuple[str, ...]
    types: tuple[ColumnType, ...]

    @classmethod
    def of(cls, types: Mapping[str, ColumnType]) -> "Columns":
        """Make them of names and types."""
        names = tuple(sorted(types))
        return cls(names, tuple(types[name] for name in names))


@cache
def _session() -> duckdb.DuckDBPyConnection:
    """One session of this process, for all marks. To open one takes longer than to look through a landed file."""
    return duckdb.connect(config={"threads": 1})


@contextmanager
def asking() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session in UTC to ask about rows in memory. What is registered in it goes with it."""
    with _session().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@dataclass(frozen=True)
class Marks:
    """The marks of a pipeline: the digests of each set of columns."""

    key: str
    digests: Mapping[Columns, frozenset[str]] = field(default_factory=dict)

    def __or__(self, other: "Marks") -> "Marks":
        both = {*self.digests, *other.digests}
        none: frozenset[str] = frozenset()
        return Marks(self.key, {c: self.digests.get(c, none) | other.digests.get(c, none) for c in both})

    def digest_sql(self, columns: Columns, values: Iterable[str]) -> str:
        """Make SQL for the digest of these values, each a SQL text."""
        listed = ", ".join([literal(",".join(columns.names)), *values])
        return f"sha256({literal(self.key)} || to_json([{listed}])::VARCHAR)"

    def condition(self, schema: pa.Schema) -> str | None:
        """Make SQL that is true for a row of a forgotten person; None when no row of these columns can be.

        Args:
            schema: The rows' columns. A field may know its earlier names (``parquet.earlier_of``). The quarantine and
                the mends are known by their columns; their rows are looked at as they landed, and as they were mended.
        """
        landed = [name for name in _JSON if name in schema.names] if _QUARANTINED.issubset(schema.names) else []
        parts = []
        for columns, digests in self.digests.items():
            rows: list[list[str] | None] = [_of_json(columns, name) for name in landed] or [_values(columns, schema)]
            parts += [self._marked(columns, values, digests) for values in rows if values is not None and digests]
        return " OR ".join(parts) or None

    def _marked(self, columns: Columns, values: Sequence[str], digests: frozenset[str]) -> str:
        listed = ", ".join(map(literal, sorted(digests)))
        there = " AND ".join(f"{value} IS NOT NULL" for value in values)
        return f"({there} AND {self.digest_sql(columns, values)} IN ({listed}))"

    def mask(self, rows: pa.Table, schema: pa.Schema | None = None) -> pa.ChunkedArray | None:
        """Say for each row whether it is of a forgotten person; None when none is."""
        wanted = self.condition(schema or rows.schema)
        if wanted is None or not rows.num_rows:
            return None
        with asking() as connection:
            numbered = rows.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))
            connection.register("rows", numbered)
            found = connection.sql(f"SELECT {_ROW} FROM rows WHERE {wanted}").to_arrow_table()[_ROW]
        return pc.is_in(numbered[_ROW], value_set=found.combine_chunks()) if len(found) else None

    def without(self, rows: pa.Table, schema: pa.Schema | None = None) -> pa.Table:
        """Return the rows that are of no forgotten person, in their order."""
        found = self.mask(rows, schema)
        return rows if found is None else rows.filter(pc.invert(found))

    def check(self, dataset: Dataset, asked: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]) -> None:
        """Refuse to publish rows of a forgotten person, which a run has read before they went.

        Args:
            dataset: The table to publish to.
            asked: Opens a session with the staged rows as the view ``staged``.

        Raises:
            InputsChangedError: with the number of rows. The stage reads again, and finds them gone.
        """
        # The record itself has columns of these names perhaps, and no landed row.
        wanted = None if dataset.name in (FORGOTTEN, MARKS) else self.condition(schema_of(dataset))
        if wanted is None:
            return
        with asked() as connection:
            ((count, rows),) = connection.execute(f"SELECT count(*) FILTER ({wanted}), count(*) FROM staged").fetchall()
        if count:
            raise InputsChangedError(
                f"{dataset.name}: {count:,} of {rows:,} rows are of a person who was forgotten meanwhile. "
                "Nothing was published; run it again."
            )


def schema_of(dataset: Dataset) -> pa.Schema:
    """Return a dataset's schema. Its fields know their earlier names."""
    return pa.schema(
        [
            with_earlier(own, dataset.columns[own.name].renamed_from)
            for own in dataset.arrow_schema()
        ]
    )  # fmt: skip


def _values(columns: Columns, schema: pa.Schema) -> list[str] | None:
    """SQL for the texts of these columns; None when the rows lack one."""
    known = {earlier: own.name for own in schema for earlier in earlier_of(own)} | {name: name for name in schema.names}
    if not all(name in known for name in columns.names):
        return None
    return [
        value_sql(quoted(known[name]), kind, pa.types.is_string(schema.field(known[name]).type))
        for name, kind in zip(columns.names, columns.types, strict=True)
    ]


def _of_json(columns: Columns, row: str) -> list[str]:
    """SQL for the texts of these columns in a row that is a column, as JSON."""
    found = (f"json_extract_string({quoted(row)}, {literal('$.' + quoted(name))})" for name in columns.names)
    return [value_sql(text, kind, True) for text, kind in zip(found, columns.types, strict=True)]


def value_sql(value: str, kind: ColumnType, is_text: bool) -> str:
    """Make SQL for a value's text. As landed, typed or published, the same value has the same text."""
    if is_text and kind != "string":
        return f"TRY_CAST({value} AS {SQL_TYPES[kind]})::VARCHAR"
    return f"{value}::VARCHAR"


# ---- the record ----


def _key_of(settings: Settings, pipeline: str) -> UPath:
    return settings.landing / ".forgotten" / f"{pipeline}.key"


def load(tables: Tables) -> Marks | None:
    """Read the marks of a pipeline. None: nobody was forgotten.

    Raises:
        DamagedError: when there are marks, but not the key with which they were made.
    """
    if tables.find(MARKS) is None:
        return None
    rows = readers.scan(tables, MARKS, columns=["columns", "types", "digest"]).to_pylist()
    path = _key_of(tables.settings, tables.namespace)
    if not path.exists():
        raise DamagedError(
            f"{path} is missing. It has the key by which rows of forgotten persons are known. Nothing was changed. "
            "Restore it from a backup: without it, their rows would come back unnoticed"
        )
    found: dict[Columns, set[str]] = {}
    for row in rows:
        names, types = row["columns"].split(","), row["types"].split(",")
        found.setdefault(Columns(tuple(names), tuple(types)), set()).add(row["digest"])
    return Marks(path.read_text(), {columns: frozenset(own) for columns, own in found.items()})


def begin(tables: Tables) -> Marks:
    """Return the marks of a pipeline: those that are recorded, or none, with a key that ``keep_key`` keeps."""
    if (known := load(tables)) is not None:
        return known
    path = _key_of(tables.settings, tables.namespace)
    return Marks(path.read_text() if path.exists() else secrets.token_hex(32))


def keep_key(tables: Tables, marks: Marks) -> None:
    """Keep the key of marks, before they are recorded."""
    path = _key_of(tables.settings, tables.namespace)
    if not path.exists():
        write_whole(path, marks.key.encode())


def of_rows(marks: Marks, connection: duckdb.DuckDBPyConnection, query: str, columns: Columns) -> Marks:
    """Make marks of the values that a query's rows have in these columns. A row without a value makes none."""
    values = [
        value_sql(f"q.{quoted(name)}", kind, True) for name, kind in zip(columns.names, columns.types, strict=True)
    ]
    there = " AND ".join(f"{value} IS NOT NULL" for value in values)
    listed = f"SELECT DISTINCT {marks.digest_sql(columns, values)} FROM ({query}) q WHERE {there}"
    found = connection.execute(listed).fetchall()
    return Marks(marks.key, {columns: frozenset(digest for (digest,) in found)} if found else {})


def new_marks(tables: Tables, found: Marks, request: str, asked: frozenset[str]) -> Marks:
    """Return the marks that no other request has recorded, and those that were asked for, by which a request is known."""
    if tables.find(MARKS) is None:
        return found
    rows = readers.scan(tables, MARKS, columns=["request", "digest"]).to_pylist()
    known = frozenset(row["digest"] for row in rows if row["request"] != request) - asked
    left = {columns: digests - known for columns, digests in found.digests.items()}
    return Marks(found.key, {columns: digests for columns, digests in left.items() if digests})


def digests_of(tables: Tables, request: str) -> frozenset[str]:
    """Return the digests of a request's own marks."""
    if tables.find(MARKS) is None:
        return frozenset()
    rows = readers.scan(tables, MARKS, columns=["request", "digest"]).to_pylist()
    return frozenset(row["digest"] for row in rows if row["request"] == request)


def rows_of(marks: Marks, request: str, day: object) -> Iterator[Mapping[str, object]]:
    """Yield the rows of ``forgotten_marks``."""
    for columns, digests in marks.digests.items():
        for digest in sorted(digests):
            yield {
                PARTITION: day,
                "request": request,
                "columns": ",".join(columns.names),
                "types": ",".join(columns.types),
                "digest": digest,
            }


def columns_in(types: Mapping[str, ColumnType], names: Sequence[str]) -> Columns:
    """Return some columns with their types."""
    return Columns.of({name: types[name] for name in names})
