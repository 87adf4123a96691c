"""BigQuery for one pipeline: tables and views from the lake's datasets, jobs that are run once, errors in our words.

When a partition is replaced and what is compared with what is not decided here.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core import exceptions as google
from google.cloud import bigquery

from contrail.errors import CommitConflictError, ContrailError, DataError, EngineError, SpecError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.publication import Fingerprint, View, fingerprint_sql, quoted, within
from contrail.partitions import Partitions
from contrail.settings import AnalystsSettings
from contrail.spec import ColumnType

TYPES: dict[ColumnType, str] = {
    "string": "STRING",
    "int": "INT64",
    "float": "FLOAT64",
    "bool": "BOOL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
# The service answers with the old names, whichever were given.
_OLD_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_MOST_CLUSTERED = 4  # BigQuery's limit
_STAGING_LIFE = timedelta(days=1)
_MOST_ATTEMPTS = 10
_SECONDS = 3600.0
_PASSING = (google.ServerError, google.TooManyRequests, google.RetryError, ConnectionError, TimeoutError)


def schema_of(dataset: Dataset) -> list[bigquery.SchemaField]:
    """The columns with type, REQUIRED and documentation."""
    return [
        bigquery.SchemaField(name, TYPES[c.type], "REQUIRED" if c.required else "NULLABLE", description=c.doc)
        for name, c in dataset.columns.items()
    ]


def clustering_of(dataset: Dataset) -> list[str]:
    """The key, as far as BigQuery clusters by it: four columns, none of them a float."""
    usable = [name for name in dataset.key if dataset.columns[name].type != "float" and name != PARTITION]
    return usable[:_MOST_CLUSTERED]


def evolved(table: str, old: list[bigquery.SchemaField], dataset: Dataset) -> list[bigquery.SchemaField]:
    """The schema of a table that is there: it may gain columns and documentation, which makes no row unreadable.

    Raises:
        SpecError: naming the columns that were lost, or are of another type.
    """
    wanted = {field.name: field for field in schema_of(dataset)}
    types = {field.name: _OLD_NAMES.get(field.field_type, field.field_type) for field in old}
    broken = [
        f"{name} ({kind} there, {wanted[name].field_type if name in wanted else 'gone'} in the spec)"
        for name, kind in types.items()
        if name not in wanted or wanted[name].field_type != kind
    ]
    if broken:
        raise SpecError(
            f"{table} cannot take the pipeline's columns: {', '.join(broken)}. Nothing was published. Keep them as they "
            "were, or copy the table away, drop it, and publish every partition anew."
        )
    nullable = {field.name for field in old if field.mode == "NULLABLE"}
    # Rows that are there have nothing in a new column, so that BigQuery takes none that is REQUIRED.
    return [
        bigquery.SchemaField(name, f.field_type, "NULLABLE", description=f.description)
        if name in nullable or name not in types
        else f
        for name in [*types, *(name for name in wanted if name not in types)]
        for f in [wanted[name]]
    ]


class Warehouse:
    """One pipeline's tables in ``settings.dataset`` and its views in ``settings.views_dataset``."""

    def __init__(self, settings: AnalystsSettings, pipeline: str, labels: Mapping[str, str]) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.labels = {**labels, "pipeline": pipeline}
        with _told("opening BigQuery"):
            self.client = bigquery.Client(settings.project, location=settings.location)

    def name_of(self, table: str) -> str:
        """``project.dataset.pipeline_table``."""
        return f"{self.settings.project}.{self.settings.dataset}.{self.pipeline}_{table}"

    # ---- tables and views ----

    def ensure(self, dataset: Dataset) -> None:
        """Make the table, or bring its columns, documentation and labels up to date.

        Raises:
            SpecError: when it has other columns or partitions than can be added to, or there is no such dataset.
        """
        name = self.name_of(dataset.name)
        wanted = bigquery.Table(name, schema=schema_of(dataset))
        wanted.time_partitioning = bigquery.TimePartitioning(field=PARTITION)
        wanted.clustering_fields = clustering_of(dataset) or None
        wanted.description, wanted.labels = dataset.doc, self.labels
        with _told(f"making {name}"):
            found = self.client.create_table(wanted, exists_ok=True)
            # What was there is given back as it is, or as it was asked for: only a look tells.
            found = self.client.get_table(name)
        if found.time_partitioning is None or found.time_partitioning.field != PARTITION:
            raise SpecError(
                f"{name} is not partitioned by {PARTITION}. Copy it away and drop it; nothing was published."
            )
        wanted.schema = evolved(name, list(found.schema), dataset)
        changed = [
            field
            for field in ("schema", "description", "labels", "clustering_fields")
            if _comparable(getattr(found, field)) != _comparable(getattr(wanted, field))
        ]
        if changed:
            with _told(f"changing {name}"):
                self.client.update_table(wanted, changed)

    def ensure_view(self, view: View) -> None:
        """Make the view, or bring it up to date.

        Analysts may read ``views_dataset`` alone: terraform authorises it, as a whole, on the tables' dataset.
        """
        name = f"{self.settings.project}.{self.settings.views_dataset}.{self.pipeline}_{view.dataset.name}"
        wanted = bigquery.Table(name)
        wanted.view_query = view.query(f"`{self.name_of(view.source)}`")
        wanted.description, wanted.labels = view.dataset.doc, self.labels
        with _told(f"making the view {name}"):
            self.client.create_table(wanted, exists_ok=True)
            found = self.client.get_table(name)
            # A view's columns come from its query; only then can they be described.
            wanted.schema = [_nullable(field) for field in schema_of(view.dataset)]
            parts = ("view_query", "schema", "description", "labels")
            if any(_comparable(getattr(found, part)) != _comparable(getattr(wanted, part)) for part in parts):
                self.client.update_table(wanted, list(parts))

    # ---- rows ----

    def fingerprints(self, dataset: Dataset, partitions: Partitions, table: str = "") -> dict[date, Fingerprint]:
        """Of the partitions of a table, or of a staging table of it, that have rows."""
        query = fingerprint_sql(dataset, f"`{table or self.name_of(dataset.name)}`", partitions, "bigquery")
        return {row[PARTITION]: Fingerprint(row["row_count"], row["checksum"]) for row in self.query(query)}

    def publications(self, table: str, partitions: Partitions) -> dict[date, Mapping[str, Any]]:
        """The newest record of each partition of a table in ``publications``."""
        query = (
            f"SELECT * FROM `{self.name_of('publications')}` WHERE published = '{table}' AND {within(partitions)} "
            f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {PARTITION} ORDER BY published_at DESC) = 1"
        )
        return {row[PARTITION]: dict(row.items()) for row in self.query(query)}

    def query(self, sql: str) -> list[Any]:
        """The rows of a query."""
        with _told("asking BigQuery"):
            return list(self.client.query_and_wait(sql, job_config=bigquery.QueryJobConfig(labels=self.labels)))

    def load(self, staging: str, dataset: Dataset, rows: pa.Table, work: str, loaded: Callable[[], bool]) -> None:
        """Load rows into a staging table, which expires by itself.

        They are uploaded as one Parquet file: BigQuery then needs no access to the lake's bucket.

        Args:
            staging: Full name of the staging table.
            dataset: Its columns, REQUIRED ones too: what does not fit fails here, away from readers.
            rows: The rows.
            work: Name of the job, without the number of the attempt.
            loaded: Whether the staging table holds the rows; a job of before may have filled one that has expired.
        """
        table = bigquery.Table(staging, schema=schema_of(dataset))
        table.expires, table.labels = datetime.now(UTC) + _STAGING_LIFE, self.labels
        with _told(f"making {staging}"):
            self.client.create_table(table, exists_ok=True)
        file = io.BytesIO()
        # The lake's files say of no column that it is required, and BigQuery would then refuse them.
        pq.write_table(rows.cast(dataset.arrow_schema()), file)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, schema=table.schema, labels=self.labels,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )  # fmt: skip

        def submit(job_id: str) -> Any:
            return self.client.load_table_from_file(
                file, table.reference, rewind=True, job_id=job_id, job_config=config
            )

        self._run_once(work, submit, loaded)

    def replace(
        self, dataset: Dataset, staging: str | None, work: str, records: Mapping[date, Mapping[str, Any]]
    ) -> None:
        """Replace partitions by the rows of a staging table (None: by nothing), in one transaction with their records.

        Raises:
            CommitConflictError: when another job was at the same table; nothing was changed.
        """
        config = bigquery.QueryJobConfig(labels=self.labels)
        names = (self.name_of(dataset.name), staging, self.name_of("publications"))

        def submit(job_id: str) -> Any:
            sql = transaction_sql(dataset, *names, {day: {**r, "job": job_id} for day, r in records.items()})
            # No retry under another id: an answer that was lost may be of a transaction that was not.
            return self.client.query(sql, job_id=job_id, job_config=config, job_retry=None)

        def done() -> bool:
            # A job of before may have been of tables that were dropped since; the records went with them.
            found = self.publications(dataset.name, Partitions(min(records), max(records)))
            return all(str(found.get(day, {}).get("job")).startswith(work) for day in records)

        self._run_once(work, submit, done)

    def drop(self, staging: str) -> None:
        """Remove a staging table."""
        with _told(f"removing {staging}"):
            self.client.delete_table(staging, not_found_ok=True)

    def _run_once(self, work: str, submit: Callable[[str], Any], done: Callable[[], bool]) -> None:
        """Run a job unless one of its name has run, or runs: that one is waited for. A failed one is tried anew."""
        with _told(f"the job {work}"):
            for attempt in range(_MOST_ATTEMPTS):
                job_id = f"{work}-{attempt}"
                try:
                    job, ours = submit(job_id), True
                except google.Conflict:
                    job, ours = self.client.get_job(job_id), False
                try:
                    job.result(timeout=_SECONDS)
                except google.GoogleAPICallError:
                    if ours:
                        raise
                    continue
                if ours or done():
                    return
        raise DataError(
            f"BigQuery has {_MOST_ATTEMPTS} jobs {work}-* that failed, or whose rows somebody has dropped since; look at "
            f"the last one: bq show -j {job_id}"
        )


def transaction_sql(
    dataset: Dataset, table: str, staging: str | None, publications: str, records: Mapping[date, Mapping[str, Any]]
) -> str:
    """Delete the partitions, insert the staged rows, and note what was published: all of it is seen, or nothing.

    The notes are only ever added: BigQuery lets transactions that insert into the same table pass side by side.
    """
    columns = ", ".join(quoted(name) for name in dataset.columns)
    values = ",\n".join(_values(day, record) for day, record in records.items())
    insert = [f"INSERT INTO `{table}` ({columns})\nSELECT {columns} FROM `{staging}`;"] if staging else []
    return "\n".join(
        [
            "BEGIN TRANSACTION;",
            f"DELETE FROM `{table}` WHERE {within(records)};",
            *insert,
            f"INSERT INTO `{publications}` "
            f"({PARTITION}, published, lake_snapshot, row_count, checksum, job, run_id, published_at) VALUES",
            f"{values};",
            "COMMIT TRANSACTION;",
        ]
    )


def _values(day: date, record: Mapping[str, Any]) -> str:
    numbers = ", ".join(str(int(record[name])) for name in ("lake_snapshot", "row_count", "checksum"))
    return (
        f"(DATE '{day}', '{record['published']}', {numbers}, '{record['job']}', '{record['run_id']}', "
        "CURRENT_TIMESTAMP())"
    )


def _nullable(field: bigquery.SchemaField) -> bigquery.SchemaField:
    return bigquery.SchemaField(field.name, field.field_type, "NULLABLE", description=field.description)


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and isinstance(value[0], bigquery.SchemaField):
        return [(f.name, _OLD_NAMES.get(f.field_type, f.field_type), f.mode, f.description or None) for f in value]
    return list(value) if isinstance(value, tuple) else value


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """Google's errors as ours, which say whether a retry may help.

    Raises:
        CommitConflictError: another transaction was first.
        EngineError: the service is not there, or its quota is used up for now.
        SpecError: what the environment names is not there, or the account may not use it.
        DataError: the request was refused.
    """
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except ContrailError:
        raise
    except _PASSING as error:
        raise EngineError(f"{doing}: BigQuery did not answer as it should: {error}") from error
    except (google.NotFound, google.Forbidden, google.Unauthorized, GoogleAuthError) as error:
        raise SpecError(
            f"{doing}: not there, or not allowed: {error}. terraform makes the datasets and gives the account its roles; "
            "see `analysts` in the environment file."
        ) from error
    except google.GoogleAPICallError as error:
        if "concurrent update" in str(error):
            raise CommitConflictError(f"{doing}: another publisher was first: {error}. Nothing was changed.") from error
        raise DataError(f"{doing}: BigQuery refused it: {error}. Readers see what was there before.") from error
