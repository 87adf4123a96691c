"""Replacing partitions in BigQuery: what is noted of them, and the transaction, as SQL and without a call."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from contrail.adapters.bigquery_errors import CONCURRENT
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.warehouse import Fingerprint, quoted, within


@dataclass(frozen=True)
class Publication:
    """The record of a partition's rows in the warehouse, made in the transaction that replaced them.

    ``rows`` is the fingerprint of the rows, ``lake_snapshot`` the lake's snapshot that they are from, ``job`` the job that
    replaced the partition.
    """

    published: str
    lake_snapshot: int
    rows: Fingerprint
    run_id: str
    job: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Publication":
        """The record in a row of ``publications``."""
        rows = Fingerprint(row["row_count"], row["checksum"])
        return cls(row["published"], row["lake_snapshot"], rows, row["run_id"], row["job"])


@dataclass(frozen=True)
class Replacement:
    """Partitions to replace: those of ``publications``, by the rows of a staging table (None: by nothing).

    ``before`` has the jobs of the records that these take the place of.
    """

    dataset: Dataset
    staging: str | None
    publications: Mapping[date, Publication]
    before: Collection[str]

    def by(self, job: str) -> "Replacement":
        """The same, noted as made by this job."""
        return replace(self, publications={day: replace(one, job=job) for day, one in self.publications.items()})


def transaction_sql(wanted: Replacement, table: str, publications: str) -> str:
    """Delete the partitions, insert the staged rows, and note what was published: all of it is seen, or nothing.

    It fails when the newest note of a partition is of another job than those of ``before``. The notes are only ever added:
    BigQuery lets transactions that insert into the same table pass side by side.

    Args:
        wanted: What is replaced, and by what.
        table: Full name of the table.
        publications: Full name of the table of the notes.
    """
    columns = ", ".join(quoted(name) for name in wanted.dataset.columns)
    known = ", ".join(f"'{job}'" for job in sorted(wanted.before)) or "''"
    values = ",\n".join(_values(day, one) for day, one in wanted.publications.items())
    insert = f"INSERT INTO `{table}` ({columns})\nSELECT {columns} FROM `{wanted.staging}`;"
    return "\n".join(
        [
            "BEGIN TRANSACTION;",
            # First: from here on, another transaction that deletes from the table cannot pass side by side with this one.
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
    """A query for the newest note of each partition of a table."""
    return (
        f"SELECT * FROM `{publications}` WHERE published = '{table}' AND ({within(days)}) "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {PARTITION} ORDER BY published_at DESC) = 1"
    )


def _values(day: date, one: Publication) -> str:
    numbers = f"{one.lake_snapshot}, {one.rows.rows}, {one.rows.checksum}"
    return f"(DATE '{day}', '{one.published}', {numbers}, '{one.job}', '{one.run_id}', CURRENT_TIMESTAMP())"
