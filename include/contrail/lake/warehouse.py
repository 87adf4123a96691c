"""The tables and views of a pipeline in the warehouse, and the fingerprint that compares them with the lake.

The fingerprint is one expression in two dialects: DuckDB's for the lake, and BigQuery's. Equal rows give equal numbers
in both. This module makes SQL. It calls no service.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import duckdb

from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnSpec
from contrail.lake import datasets, drift_records, records
from contrail.lake.datasets import PARTITION, Dataset
from contrail.partitions import Partitions, as_ranges

Dialect = Literal["bigquery", "duckdb"]
TABLES = ("predictions", "performance", "drift")

_QUOTE: dict[Dialect, str] = {"bigquery": "`", "duckdb": '"'}
_MD5: dict[Dialect, str] = {"bigquery": "TO_HEX(MD5({}))", "duckdb": "md5({})"}
_MICROS: dict[Dialect, str] = {"bigquery": "UNIX_MICROS({})", "duckdb": "epoch_us({})"}
# A sum of 32-bit numbers fits INT64 up to 2^31 rows a partition; 12 hex digits would overflow at 32,768 rows.
_HEX_DIGITS = 8


@dataclass(frozen=True)
class Fingerprint:
    """The number of rows of a partition, and a checksum that changes with any value."""

    rows: int = 0
    checksum: int = 0


Fingerprints = Mapping[date, Fingerprint]


def quoted(name: str, dialect: Dialect = "bigquery") -> str:
    """Quote a column's name, because it may be a reserved word (``rows`` is one in BigQuery)."""
    return f"{_QUOTE[dialect]}{name}{_QUOTE[dialect]}"


def within(days: Iterable[date]) -> str:
    """Make a condition on the partition column. Both dialects and BigQuery's partition pruning understand it."""
    parts = [f"{PARTITION} BETWEEN DATE '{part.start}' AND DATE '{part.end}'" for part in as_ranges(days)]
    return " OR ".join(parts) or "FALSE"


def fingerprint_sql(dataset: Dataset, source: str, partitions: Partitions, dialect: Dialect) -> str:
    """Make a query for the date, rows and checksum of each partition of a range that has rows."""
    texts = (_text(quoted(name, dialect), column, dialect) for name, column in dataset.columns.items())
    row = "CONCAT(" + ", '|', ".join(f"COALESCE({text}, '')" for text in texts) + ")"
    number = f"CAST(CONCAT('0x', SUBSTR({_MD5[dialect].format(row)}, 1, {_HEX_DIGITS})) AS INT64)"
    return (
        f"SELECT {PARTITION}, COUNT(*) AS row_count, CAST(SUM({number}) AS INT64) AS checksum "
        f"FROM {source} WHERE {within(partitions)} GROUP BY {PARTITION}"
    )


def _text(name: str, column: ColumnSpec, dialect: Dialect) -> str:
    """Make SQL for a value as text that is the same in both dialects. Null stays null."""
    if column.type == "float":
        # Engines write floats in different ways. Nine decimals as a whole number are the same in all.
        whole = f"CAST(CAST(ROUND({name} * 1e9) AS INT64) AS STRING)"
        return f"CASE WHEN {name} IS NULL THEN NULL WHEN ABS({name}) < 1e9 THEN {whole} ELSE 'large' END"
    if column.type == "timestamp":
        return f"CAST({_MICROS[dialect].format(name)} AS STRING)"
    # The mark tells an empty string from null. DuckDB's CONCAT would make a string of null; || does not.
    return f"('=' || {name})" if column.type == "string" else f"CAST({name} AS STRING)"


def fingerprints(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, source: str, partitions: Partitions
) -> dict[date, Fingerprint]:
    """Compute the fingerprints of rows of the lake, which a session has under the name ``source``."""
    found = connection.sql(fingerprint_sql(dataset, source, partitions, "duckdb")).fetchall()
    return {day: Fingerprint(count, checksum) for day, count, checksum in found}


def differences(wanted: Fingerprints, found: Fingerprints) -> list[date]:
    """List the partitions that differ. A partition without rows equals a missing one."""
    empty = Fingerprint()
    return [day for day in sorted({*wanted, *found}) if wanted.get(day, empty) != found.get(day, empty)]


def published(spec: PipelineSpec) -> Iterator[Dataset]:
    """Yield the tables that are copied to the warehouse, as the lake defines them."""
    known = records.all_datasets(spec)
    yield from (known[name] for name in TABLES)


@dataclass(frozen=True)
class View:
    """A view for analysts. Its columns have the documentation of the table that it reads.

    A reason that is a ``personal`` feature has no value in it.
    """

    dataset: Dataset
    source: str
    condition: str
    personal: frozenset[str] = frozenset()

    def query(self, table: str, dialect: Dialect = "bigquery", columns: Iterable[str] = ()) -> str:
        """Make the view's SQL over ``table``, the full name of its source. By default it has all columns of the view."""
        names = ", ".join(self._shown(name, dialect) for name in columns or self.dataset.columns)
        return f"SELECT {names} FROM {table} AS t{self.condition.format(table=table)}"

    def _shown(self, name: str, dialect: Dialect) -> str:
        own = quoted(name, dialect)
        if not (self.personal and name.startswith("reason_") and name.endswith("_value")):
            return own
        listed = ", ".join(f"'{column}'" for column in sorted(self.personal))
        return (
            f"CASE WHEN {quoted(name.removesuffix('_value'), dialect)} IN ({listed}) THEN NULL ELSE {own} END AS {own}"
        )


def views(spec: PipelineSpec) -> list[View]:
    """List the views that analysts may read. They show no challenger's predictions, and no personal columns."""
    predictions = _without(datasets.predictions(spec), *spec.personal)
    latest = replace(
        _without(predictions, "feature_snapshot", "scoring_run"),
        name="predictions_latest",
        doc=f"{spec.title}: the predictions of the newest predicted day.",
    )
    performance = replace(_without(records.performance(spec), "shadow"), name="model_performance")
    newest = f" WHERE t.{PARTITION} = (SELECT MAX({PARTITION}) FROM {{table}})"
    return [
        View(predictions, "predictions", "", spec.personal),
        View(latest, "predictions", newest, spec.personal),
        View(performance, "performance", " WHERE t.shadow IS NOT TRUE"),
        View(drift_records.drift(spec), "drift", ""),
    ]


def _without(dataset: Dataset, *names: str) -> Dataset:
    return replace(dataset, columns={name: c for name, c in dataset.columns.items() if name not in names})
