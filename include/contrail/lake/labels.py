"""Labels and training rows: features, joined to the outcomes that were known at a cut-off.

An entity has one label. ``label.counts`` of the spec says which outcome of its key makes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from contrail.config.names import listed, quoted
from contrail.config.personal import hidden
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError
from contrail.lake import sessions
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.partitions import Partitions, as_ranges

_KEPT = "Nothing was published."
# More are never in a batch of DuckDB's. Of 60 numbers a batch takes 59 MB.
_BATCH_ROWS = 122_880


def labels_sql(spec: PipelineSpec, days: list[date], as_of: date | None) -> str:
    """Make a query for the labels of these days: ``partition_date``, the key and ``label``. The days must be mature.

    It reads the validated tables by their names. With ``as_of`` it uses what the cut-off of that partition may see.
    """
    label, known_at = spec.label, spec.tables[spec.label.table].known_at
    known = f"visible_from <= DATE '{as_of}'" if as_of else "true"
    keys = listed(spec.key)
    own = ", ".join(f"e.{quoted(name)}" for name in (PARTITION, *spec.key))
    order = "DESC" if label.counts == "newest" else "ASC"
    # Without these limits, a range of days would see labels that a single day does not see.
    pooled = ", ".join(f"DATE '{day}'" for day in days) or "NULL"
    in_time = f"o._day BETWEEN e.{PARTITION} AND e.{PARTITION} + {label.mature_after_days}"
    return f"""
        SELECT {PARTITION}, {keys}, label FROM (
            SELECT {own}, o.label, row_number() OVER (
                PARTITION BY {own} ORDER BY o._known_at {order}, o._day {order}) AS place
            FROM (SELECT {PARTITION}, {keys} FROM validated_{spec.entities} WHERE {PARTITION} IN ({pooled})) e
            JOIN (
                SELECT {keys}, {PARTITION} AS _day, {quoted(str(known_at))} AS _known_at,
                    CAST(({label.expression}) AS DOUBLE) AS label
                FROM validated_{label.table} WHERE {known}) o USING ({keys})
            WHERE {in_time})
        WHERE place = 1 AND label IS NOT NULL"""


def _bad_labels(spec: PipelineSpec, count: int, first: Mapping[str, str]) -> DataError:
    words = "0 or 1" if spec.task == "binary" else "finite"
    return DataError(
        f"{_of(spec)}: {count:,} labels are not {words}; the first: {hidden(first, spec.personal)}. {_KEPT}"
    )


@contextmanager
def _label_errors(spec: PipelineSpec) -> Iterator[None]:
    try:
        yield
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        raise DataError(f"{_of(spec)} has no value: {error}. {_KEPT}") from error


def _keys(spec: PipelineSpec, table: str = "") -> str:
    return ", ".join(f"{table}{quoted(name)}" for name in (PARTITION, *spec.key))


def _of(spec: PipelineSpec) -> str:
    return f"{spec.name}: label.expression ({spec.label.expression}) of validated_{spec.label.table}"


def _tables(lake: Lake, spec: PipelineSpec, partitions: Partitions) -> dict[str, Partitions]:
    """Return the tables to read, and the partitions of each. A label may arrive until its partition is mature."""
    mature = timedelta(days=spec.label.mature_after_days)
    wanted = {
        f"validated_{spec.entities}": partitions,
        f"validated_{spec.label.table}": Partitions(partitions.start, partitions.end + mature),
        "features": partitions,
    }
    for name in list(wanted)[:2]:
        lake.table(name)
    return wanted


def mature_days(
    lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None, snapshot: int | None = None
) -> list[date]:
    """List the entity partitions whose labels are all known.

    The label table then has every partition up to the one in which the labels are mature. With ``as_of`` the cut-off of
    that partition must see them all. With ``snapshot`` the label table is as it was then.

    Raises:
        MissingInputError: if the label table does not exist.
    """
    later = range(spec.label.mature_after_days + 1)
    window = Partitions(partitions.start, partitions.end + timedelta(days=spec.label.mature_after_days))
    there = lake.made_of(f"validated_{spec.label.table}", window, snapshot)
    found = [day for day in partitions if all(day + timedelta(days=after) in there for after in later)]
    return found if as_of is None else [day for day in found if day + timedelta(days=len(later)) <= as_of]


def immature_days(lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None) -> tuple[str, ...]:
    """List the partitions that count nowhere because their labels are not all known, as ranges."""
    return tuple(map(str, as_ranges(set(partitions) - set(mature_days(lake, spec, partitions, as_of)))))


def make_labels(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    spec: PipelineSpec,
    days: Sequence[date],
    snapshots: Mapping[str, int | None] | None = None,
    as_of: date | None = None,
) -> None:
    """Make the table ``labels`` in a DuckDB session, of the entities of these days. It may be larger than the memory.

    The columns are ``partition_date``, the key and ``label`` (float, never null). A day that is not mature has no labels:
    early labels are mostly the good ones, and would be too few of the others. Nor counts a label that became known only
    after its partition was mature. Where a key has several outcomes, ``label.counts`` chooses.

    Args:
        connection: The session, which then also has views of the validated tables.
        lake: Has the validated tables.
        spec: Defines the label, and until when it may arrive.
        days: Entity partitions, one or more, in order.
        snapshots: Of the validated tables; by default the current ones.
        as_of: Use only labels that the cut-off of this partition may see; None uses all.

    Raises:
        MissingInputError: if a validated table does not exist.
        DataError: if a label is infinite, or one of a binary task is not 0 or 1.
    """
    window, pinned = Partitions(days[0], days[-1]), snapshots or {}
    tables = _tables(lake, spec, window)
    for name in dict.fromkeys((f"validated_{spec.entities}", f"validated_{spec.label.table}")):
        lake.view(connection, name, name, tables[name], snapshot_id=pinned.get(name))
    mature = set(mature_days(lake, spec, window, as_of, pinned.get(f"validated_{spec.label.table}")))
    query = labels_sql(spec, [day for day in days if day in mature], as_of)
    with _label_errors(spec):
        connection.execute(f"CREATE TEMP TABLE labels AS {query}")
    bad = "label NOT IN (0, 1)" if spec.task == "binary" else "NOT isfinite(label)"
    columns = (PARTITION, *spec.key, "label")
    found = connection.sql(f"SELECT {listed(columns)} FROM labels WHERE {bad} ORDER BY ALL LIMIT 1").fetchall()
    if found:
        ((count,),) = connection.sql(f"SELECT count(*) FROM labels WHERE {bad}").fetchall()
        raise _bad_labels(spec, count, dict(zip(columns, map(str, found[0]), strict=True)))


@dataclass(frozen=True)
class LabelledRows:
    """The feature rows that have a label, in a session that keeps within the memory limit.

    The columns are those of ``features`` and ``label``. Partition and key sort the rows, so the same inputs give the same
    bytes.
    """

    connection: duckdb.DuckDBPyConnection
    spec: PipelineSpec

    def stream(self, batch_rows: int = _BATCH_ROWS) -> pa.RecordBatchReader:
        """Read the rows in batches of at most ``batch_rows``."""
        return self._joined("f.*, l.label", _keys(self.spec, "f.")).to_arrow_reader(batch_rows)

    def __len__(self) -> int:
        ((found,),) = self.connection.execute("SELECT count(*) FROM labelled").fetchall()
        return int(found)

    def values(self, names: Sequence[str]) -> dict[str, pa.Array]:
        """Return the distinct values of each column, in any order."""
        if not names:
            return {}
        lists = ", ".join(f"coalesce(list(DISTINCT f.{quoted(name)}), [])" for name in names)
        found = self._joined(lists).to_arrow_table().combine_chunks()
        return {name: column.chunk(0).flatten() for name, column in zip(names, found.columns, strict=True)}

    def of_entities(self, names: Sequence[str]) -> pa.RecordBatchReader:
        """Read columns of the entities table, in the order of ``stream``."""
        chosen = ", ".join(f"e.{quoted(name)}" for name in names)
        joined = f"FROM validated_{self.spec.entities} e JOIN labelled l USING ({_keys(self.spec)})"
        ordered = f"SELECT {chosen} {joined} ORDER BY {_keys(self.spec, 'l.')}"
        return self.connection.sql(ordered).to_arrow_reader(_BATCH_ROWS)

    def check(self) -> None:
        """Check that every entity counts once, with a good label.

        Raises:
            DataError: naming the first that does not.
        """
        keys = _keys(self.spec)
        repeated = f"SELECT {keys} FROM labelled GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
        found, first = self._found(repeated)
        if found:
            raise DataError(
                f"{self.spec.name}: {found:,} entities would be counted more than once, the first: "
                f"{hidden(first, self.spec.personal)}. {_KEPT}"
            )
        good = "label IN (0, 1)" if self.spec.task == "binary" else "isfinite(label)"
        found, first = self._found(f"SELECT {keys}, label FROM labelled WHERE NOT {good} ORDER BY {keys}")
        if found:
            raise _bad_labels(self.spec, found, first)

    def _found(self, query: str) -> tuple[int, dict[str, str]]:
        found = self.connection.sql(f"SELECT *, count(*) OVER () AS found FROM ({query}) LIMIT 1").to_arrow_table()
        first = next(iter(found.to_pylist()), {"found": 0})
        return first.pop("found"), {name: str(value) for name, value in first.items()}

    def _joined(self, selected: str, order: str = "") -> duckdb.DuckDBPyRelation:
        own = f"SELECT {selected} FROM features f JOIN labelled l USING ({_keys(self.spec)})"
        return self.connection.sql(f"{own} ORDER BY {order}" if order else own)


@contextmanager
def labelled_rows(
    lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None
) -> Iterator[LabelledRows]:
    """Join features and labels, to be read as a stream. See ``make_labels`` for ``as_of``.

    Raises:
        MissingInputError: if ``features`` or a validated table does not exist.
        DataError: if an entity would be counted twice, or has no good label. See ``make_labels``.
    """
    tables = _tables(lake, spec, partitions)
    lake.table("features")
    days = mature_days(lake, spec, partitions, as_of)
    with sessions.session(lake.settings) as connection:
        # The other half is for what the caller keeps of the rows.
        own = lake.settings.memory_bytes // 2
        connection.execute(f"SET memory_limit = '{own}B'")
        # Half of that is for the join beside the sort.
        sessions.spare_threads(connection, 8 * len(lake.schema("features")), own // 2)
        for name, days_of_it in tables.items():
            lake.view(connection, name, name, days_of_it)
        rows, keys = LabelledRows(connection, spec), _keys(spec)
        with _label_errors(spec):
            connection.execute(
                f"CREATE TEMP TABLE labelled AS SELECT {keys}, label FROM features "
                f"JOIN ({labels_sql(spec, days, as_of)}) USING ({keys})"
            )
        rows.check()
        yield rows


def read_training_rows(lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None) -> pa.Table:
    """Read all rows of ``labelled_rows``, with its errors, into memory."""
    with labelled_rows(lake, spec, partitions, as_of) as rows:
        return rows.stream().read_all()


@contextmanager
def later_outcomes(
    lake: Lake, spec: PipelineSpec, partitions: Partitions, snapshot: int | None
) -> Iterator[pa.RecordBatchReader]:
    """Find the outcomes whose key has one in an earlier partition: a stream of their ``partition_date`` and key.

    A feature counts an outcome once, as it was first known. Only labels use a later one.

    Raises:
        MissingInputError: if the label table does not exist.
    """
    days, names, label = spec.remembered_days(spec.label.table), [PARTITION, *spec.key], f"validated_{spec.label.table}"
    with sessions.session(lake.settings) as connection:
        lake.view(connection, "outcomes", label, partitions.reaching_back(days), names, snapshot)
        found = connection.sql(f"""
            SELECT DISTINCT o.* FROM outcomes o JOIN outcomes e USING ({listed(spec.key)})
            WHERE e.{PARTITION} BETWEEN o.{PARTITION} - {days} AND o.{PARTITION} - 1
                AND o.{PARTITION} >= DATE '{partitions.start}'""")
        yield found.to_arrow_reader(_BATCH_ROWS)
