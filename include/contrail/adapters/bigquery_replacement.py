"""The replacement of partitions in BigQuery: their records, and the transaction. This module makes SQL only."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from contrail.adapters.bigquery_errors import CONCURRENT
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.warehouse import Fingerprint, quoted, within


@dataclass(frozen=True)
class Publication:
    """The record of a partition's rows in the warehouse, written in the transaction that replaced them.

    ``rows`` is the fingerprint of the rows. They come from the lake's snapshot ``lake_snapshot``. ``job`` replaced the
    partition.
    """

    published: str
    lake_snapshot: int
    rows: Fingerprint
    run_id: str
    job: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Publication":
        """Read the record from a row of ``publications``."""
        rows = Fingerprint(row["row_count"], row["checksum"])
        return cls(row["published"], row["lake_snapshot"], rows, row["run_id"], row["job"])


@dataclass(frozen=True)
class Replacement:
    """The partitions to replace, and their new rows in a staging table (None: no rows).

    ``publications`` has the new record of each partition. ``before`` has the jobs of the records that they replace.
    """

    dataset: Dataset
    staging: str | None
    publications: Mapping[date, Publication]
    before: Collection[str]

    def by(self, job: str) -> "Replacement":
        """Name the job in every record."""
        return replace(self, publications={day: replace(one, job=job) for day, one in self.publications.items()})


def transaction_sql(wanted: Replacement, table: str, publications: str) -> str:
    """Make one transaction that deletes the partitions, inserts the staged rows and writes the records.

    It fails when the newest record of a partition has a job that is not in ``before``. Records are only ever added,
    because BigQuery lets several transactions insert into the same table at once.

    Args:
        wanted: What to replace, and by what.
        table: Full name of the table.
        publications: Full name of the table of records.
    """
    columns = ", ".join(quoted(name) for name in wanted.dataset.columns)
    known = ", ".join(f"'{job}'" for job in sorted(wanted.before)) or "''"
    values = ",\n".join(_values(day, one) for day, one in wanted.publications.items())
    insert = f"INSERT INTO `{table}` ({columns})\nSELECT {columns} FROM `{wanted.staging}`;"
    return "\n".join(
        [
            "BEGIN TRANSACTION;",
            # This comes first: from here on, no other transaction can delete from the table beside this one.
            f"DELETE FROM `{table}` WHERE {within(wanted.publications)};",
            f"SELECT IF(COUNT(*) = 0, 0, ERROR('{CONCURRENT}: somebody has published since')) FROM (",
            f"{newest_sql(publications, wanted.dataset.name, wanted.publications)}",
            f") WHERE job NOT IN ({known});",
            *([insert] if wanted.staging else []),
            f"INSERT INTO `{publications}` "
            f"({PARTITION}, published, lake_snapshot, row_count, checksum, job, run_id, published_at) VALUES",
            f"{values};",
            "COMMIT TRANSACTION;",
        ]
    )


def newest_sql(publications: str, table: str, days: Iterable[date]) -> str:
    """Make a query for the newest record of each partition of a table."""
    return (
        f"SELECT * FROM `{publications}` WHERE published = '{table}' AND ({within(days)}) "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {PARTITION} ORDER BY published_at DESC) = 1"
    )


def _values(day: date, one: Publication) -> str:
    numbers = f"{one.lake_snapshot}, {one.rows.rows}, {one.rows.checksum}"
    return f"(DATE '{day}', '{one.published}', {numbers}, '{one.job}', '{one.run_id}', CURRENT_TIMESTAMP())"
