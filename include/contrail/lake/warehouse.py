"""What the warehouse shows of a pipeline, and the fingerprint by which it is compared with the lake: SQL, and no calls.

The fingerprint is one expression in the dialects of DuckDB (the lake) and BigQuery; equal rows give equal numbers in both.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import duckdb
import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnSpec
from contrail.lake import datasets, records
from contrail.lake.datasets import PARTITION, Dataset
from contrail.partitions import Partitions, as_ranges

Dialect = Literal["bigquery", "duckdb"]
TABLES = ("predictions", "performance", "drift")

_QUOTE: dict[Dialect, str] = {"bigquery": "`", "duckdb": '"'}
_MD5: dict[Dialect, str] = {"bigquery": "TO_HEX(MD5({}))", "duckdb": "md5({})"}
_MICROS: dict[Dialect, str] = {"bigquery": "UNIX_MICROS({})", "duckdb": "epoch_us({})"}
# A sum of 32-bit numbers fits INT64 up to 2^31 rows a partition, where 12 hex digits would overflow at 32,768.
_HEX_DIGITS = 8


@dataclass(frozen=True)
class Fingerprint:
    """Rows of a partition, and a number that is another one as soon as a value is another one."""

    rows: int = 0
    checksum: int = 0


Fingerprints = Mapping[date, Fingerprint]


def quoted(name: str, dialect: Dialect = "bigquery") -> str:
    """A column's name, which may be a reserved word: ``rows`` is one in BigQuery."""
    return f"{_QUOTE[dialect]}{name}{_QUOTE[dialect]}"


def within(days: Iterable[date]) -> str:
    """A condition on the partition column that both dialects, and BigQuery's partition pruning, understand."""
    parts = [f"{PARTITION} BETWEEN DATE '{part.start}' AND DATE '{part.end}'" for part in as_ranges(days)]
    return " OR ".join(parts) or "FALSE"


def fingerprint_sql(dataset: Dataset, source: str, partitions: Partitions, dialect: Dialect) -> str:
    """A query for partition, rows and checksum of each partition of a range that has rows."""
    texts = (_text(quoted(name, dialect), column, dialect) for name, column in dataset.columns.items())
    row = "CONCAT(" + ", '|', ".join(f"COALESCE({text}, '')" for text in texts) + ")"
    number = f"CAST(CONCAT('0x', SUBSTR({_MD5[dialect].format(row)}, 1, {_HEX_DIGITS})) AS INT64)"
    return (
        f"SELECT {PARTITION}, COUNT(*) AS row_count, CAST(SUM({number}) AS INT64) AS checksum "
        f"FROM {source} WHERE {within(partitions)} GROUP BY {PARTITION}"
    )


def _text(name: str, column: ColumnSpec, dialect: Dialect) -> str:
    """A value as text that is the same in both dialects; null stays null."""
    if column.type == "float":
        # Engines write floats in different ways: nine decimals as a whole number are the same in all.
        whole = f"CAST(CAST(ROUND({name} * 1e9) AS INT64) AS STRING)"
        return f"CASE WHEN {name} IS NULL THEN NULL WHEN ABS({name}) < 1e9 THEN {whole} ELSE 'large' END"
    if column.type == "timestamp":
        return f"CAST({_MICROS[dialect].format(name)} AS STRING)"
    # With a mark, so that an empty string is not null; DuckDB's CONCAT would make a string of null, || does not.
    return f"('=' || {name})" if column.type == "string" else f"CAST({name} AS STRING)"


def fingerprints(dataset: Dataset, rows: pa.Table, partitions: Partitions) -> dict[date, Fingerprint]:
    """Of rows of the lake."""
    with duckdb.connect() as connection:
        connection.register("lake_rows", rows)
        found = connection.sql(fingerprint_sql(dataset, "lake_rows", partitions, "duckdb")).fetchall()
    return {day: Fingerprint(count, checksum) for day, count, checksum in found}


def differences(wanted: Fingerprints, found: Fingerprints) -> list[date]:
    """Partitions that are not the same in both; one without rows is the same as none."""
    empty = Fingerprint()
    return [day for day in sorted({*wanted, *found}) if wanted.get(day, empty) != found.get(day, empty)]


def published(spec: PipelineSpec) -> Iterator[Dataset]:
    """The tables that are copied to the warehouse, as they are in the lake."""
    known = records.all_datasets(spec)
    yield from (known[name] for name in TABLES)


@dataclass(frozen=True)
class View:
    """A view for analysts: its columns are documented as those of the table that it reads."""

    dataset: Dataset
    source: str
    condition: str

    def query(self, table: str) -> str:
        """Its SQL over the source table, whose full name is given."""
        names = ", ".join(quoted(name) for name in self.dataset.columns)
        return f"SELECT {names} FROM {table} AS t{self.condition.format(table=table)}"


def views(spec: PipelineSpec) -> list[View]:
    """What analysts may read. What only a challenger has predicted is not for them."""
    predictions = datasets.predictions(spec)
    latest = replace(
        _without(predictions, "feature_snapshot", "scoring_run"),
        name="predictions_latest",
        doc=f"{spec.title}: predictions of the newest day that has any.",
    )
    performance = replace(_without(records.performance(spec), "shadow"), name="model_performance")
    newest = f" WHERE t.{PARTITION} = (SELECT MAX({PARTITION}) FROM {{table}})"
    return [
        View(predictions, "predictions", ""),
        View(latest, "predictions", newest),
        View(performance, "performance", " WHERE t.shadow IS NOT TRUE"),
        View(records.drift(spec), "drift", ""),
    ]


def _without(dataset: Dataset, *names: str) -> Dataset:
    return replace(dataset, columns={name: c for name, c in dataset.columns.items() if name not in names})
