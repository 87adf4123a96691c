"""Which features differ between two builds of the same days, in which rows, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from upath import UPath

from contrail.config.names import listed, quoted
from contrail.config.personal import MASK, hidden
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.parquet import batches_of, parquet_files
from contrail.operations.leaks.findings import Row
from contrail.partitions import Partitions

ROW = "the row itself"
EXAMPLES = 3
# Sums of numbers that are not whole depend on their order, in their last bits. An absurd value moves more than that.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Moved:
    """A feature that differs: in ``rows`` rows, of which ``examples`` are some. ``by_rounding`` differ in last bits alone."""

    feature: str
    rows: int
    by_rounding: int
    examples: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Compared:
    """How many rows two builds have together, and which features differ."""

    rows: int
    moved: tuple[Moved, ...]


def register(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, table: str, folder: UPath) -> None:
    """Make a table of what was built in a folder: partition, key and features, with the types of ``features``."""
    dataset = datasets.features(spec)
    names = [name for name in dataset.columns if name != "cutoff_at"]
    schema = pa.schema([dataset.staged_schema().field(name) for name in names])
    # An engine writes no file of no rows.
    files = sorted(str(path) for path in folder.glob("**/*.parquet"))
    rows = (batch.cast(schema) for batch in batches_of(parquet_files(files), names)) if files else ()
    connection.register("stream", pa.RecordBatchReader.from_batches(schema, rows))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM stream")
    connection.unregister("stream")


def moved(
    connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, table: str, other: str, days: Partitions
) -> Compared:
    """Compare two registered builds on some days, to the last bit.

    Args:
        connection: Has both.
        spec: Names key and features.
        table: The build as it is.
        other: The build as it would have to be.
        days: The days to compare. Both builds have all of them.
    """
    names = feature_names(spec)
    sides = [f"a.{quoted(name)} AS {_pair(name)[0]}, b.{quoted(name)} AS {_pair(name)[1]}" for name in names]
    a, b = (f"(SELECT *, true AS _there FROM {own} WHERE {_within(days)})" for own in (table, other))
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW pairs AS SELECT {listed(_keys(spec))}, a._there AS _a, b._there AS _b, "
        f"{', '.join(sides)} FROM {a} a FULL JOIN {b} b USING ({listed(_keys(spec))})"
    )
    counts = ["count(*)", "count(*) FILTER (_a IS NULL OR _b IS NULL)", "0"]
    for name in names:
        counts += [f"count(*) FILTER ({_differs(spec, name)})", f"count(*) FILTER ({_rounded(spec, name)})"]
    ((compared, *found),) = connection.sql(f"SELECT {', '.join(counts)} FROM pairs").fetchall()
    result = []
    for name, rows, rounded in zip((ROW, *names), found[::2], found[1::2], strict=True):
        if rows or rounded:
            result.append(Moved(name, rows, rounded, _examples(connection, spec, name) if rows else ()))
    return Compared(compared, tuple(result))


def feature_names(spec: PipelineSpec) -> list[str]:
    """The features that are not part of the key."""
    return [name for name in spec.features.columns if name not in spec.key]


def _keys(spec: PipelineSpec) -> Sequence[str]:
    return (PARTITION, *(name for name in spec.key if name != PARTITION))


def _within(days: Partitions) -> str:
    return f"{PARTITION} BETWEEN DATE '{days.start}' AND DATE '{days.end}'"


def _pair(name: str) -> tuple[str, str]:
    return quoted(f"a {name}"), quoted(f"b {name}")


def _unequal(name: str) -> str:
    a, b = _pair(name)
    return f"_a AND _b AND {a} IS DISTINCT FROM {b}"


def _close(spec: PipelineSpec, name: str) -> str:
    a, b = _pair(name)
    number = spec.features.columns[name].kind == "number"
    return f"coalesce(abs({a} - {b}) <= {_ROUNDING} * greatest(abs({a}), abs({b})), false)" if number else "false"


def _differs(spec: PipelineSpec, name: str) -> str:
    return f"{_unequal(name)} AND NOT {_close(spec, name)}"


def _rounded(spec: PipelineSpec, name: str) -> str:
    return f"{_unequal(name)} AND {_close(spec, name)}"


def _examples(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, name: str) -> tuple[Row, ...]:
    a, b = ("_a", "_b") if name == ROW else _pair(name)
    differs = "_a IS NULL OR _b IS NULL" if name == ROW else _differs(spec, name)
    found = connection.sql(
        f"SELECT {listed(_keys(spec))}, {a}::VARCHAR AS _value, {b}::VARCHAR AS _other FROM pairs "
        f"WHERE {differs} ORDER BY {listed(_keys(spec))} LIMIT {EXAMPLES}"
    ).to_arrow_table()
    masked = name in spec.personal
    return tuple(
        Row(
            partition=row[PARTITION],
            key=hidden({name: row[name] for name in spec.key}, spec.personal),
            value=MASK if masked else row["_value"],
            other=MASK if masked else row["_other"],
        )
        for row in found.to_pylist()
    )
