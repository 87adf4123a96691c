"""BigQuery for one pipeline: tables and views from the lake's datasets, jobs that are run once, errors in our words.

When a partition is replaced and what is compared with what is not decided here.
"""

import io
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core import exceptions as google
from google.cloud import bigquery

from contrail.config.settings import AnalystsSettings
from contrail.config.spec import ColumnType
from contrail.errors import ContrailError, DataError, EngineError, InputsChangedError, SpecError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.warehouse import Fingerprint, View, fingerprint_sql, quoted, within
from contrail.partitions import Partitions

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
_CONCURRENT = "concurrent update"  # BigQuery's own words when transactions meet
_QUOTA = {"quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}  # reasons of what is otherwise "forbidden"
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
        query = _newest(self.name_of("publications"), table, partitions)
        return {row[PARTITION]: dict(row.items()) for row in self.query(query)}

    def query(self, sql: str) -> list[Any]:
        """The rows of a query."""
        with _told("asking BigQuery"):
            return list(self.client.query_and_wait(sql, job_config=bigquery.QueryJobConfig(labels=self.labels)))

    def load(self, dataset: Dataset, rows: pa.Table) -> str:
        """Load rows into a new staging table of a dataset, which expires by itself.

        They are uploaded as one Parquet file: BigQuery then needs no access to the lake's bucket.

        Returns:
            The table's full name. It is nobody else's: another publisher of the same rows may be done and drop its own.
        """
        staging = f"{self.name_of(dataset.name)}__{secrets.token_hex(8)}"
        # What does not fit, REQUIRED columns too, fails here, away from readers.
        table = bigquery.Table(staging, schema=schema_of(dataset))
        table.expires, table.labels = datetime.now(UTC) + _STAGING_LIFE, self.labels
        file = io.BytesIO()
        # The lake's files say of no column that it is required, and BigQuery would then refuse them.
        pq.write_table(rows.cast(dataset.arrow_schema()), file)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, schema=table.schema, labels=self.labels,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )  # fmt: skip
        with _told(f"loading {staging}"):
            self.client.create_table(table, exists_ok=True)
            job = self.client.load_table_from_file(file, table.reference, rewind=True, job_config=config)
            job.result(timeout=_SECONDS)
        return staging

    def replace(
        self,
        dataset: Dataset,
        staging: str | None,
        work: str,
        records: Mapping[date, Mapping[str, Any]],
        before: Collection[str],
    ) -> None:
        """Replace partitions by the rows of a staging table (None: by nothing), in one transaction with their records.

        Done by one job, whoever asks for it: one of its name that has run, or runs, is taken for it. After a failed one
        it is tried anew.

        Args:
            dataset: What the partitions are of.
            staging: Where the rows are.
            work: Name of the job, without the number of the attempt.
            records: What is noted of each partition.
            before: Jobs of the records that these take the place of.

        Raises:
            InputsChangedError: when somebody else has published one of the partitions since; nothing was changed.
        """
        config = bigquery.QueryJobConfig(labels=self.labels)
        names = (self.name_of(dataset.name), staging, self.name_of("publications"))
        with _told(f"the job {work}"):
            for attempt in range(_MOST_ATTEMPTS):
                job_id = f"{work}-{attempt}"
                sql = transaction_sql(
                    dataset, *names, {day: {**r, "job": job_id} for day, r in records.items()}, before
                )
                ours = True
                try:
                    # No retry under another id: an answer that was lost may be of a transaction that was not.
                    job: Any = self.client.query(sql, job_id=job_id, job_config=config, job_retry=None)
                except google.Conflict:
                    job, ours = self.client.get_job(job_id), False
                try:
                    job.result(timeout=_SECONDS)
                except google.GoogleAPICallError:
                    if ours:
                        raise
                    continue
                # A job of before may have been of tables that were dropped since; the records went with them.
                if ours or self._is_recorded(dataset.name, work, records):
                    return
        raise DataError(
            f"BigQuery has {_MOST_ATTEMPTS} jobs {work}-* that failed, or whose rows somebody has dropped since; look at "
            f"the last one: bq show -j {job_id}"
        )

    def _is_recorded(self, table: str, work: str, days: Collection[date]) -> bool:
        found = self.publications(table, Partitions(min(days), max(days)))
        return all(str(found.get(day, {}).get("job")).startswith(work) for day in days)

    def drop(self, staging: str) -> None:
        """Remove a staging table."""
        with _told(f"removing {staging}"):
            self.client.delete_table(staging, not_found_ok=True)


def transaction_sql(
    dataset: Dataset,
    table: str,
    staging: str | None,
    publications: str,
    records: Mapping[date, Mapping[str, Any]],
    before: Collection[str],
) -> str:
    """Delete the partitions, insert the staged rows, and note what was published: all of it is seen, or nothing.

    It fails when the newest note of a partition is of another job than those of ``before``. The notes are only ever added:
    BigQuery lets transactions that insert into the same table pass side by side.
    """
    columns = ", ".join(quoted(name) for name in dataset.columns)
    known = ", ".join(f"'{job}'" for job in sorted(before)) or "''"
    values = ",\n".join(_values(day, record) for day, record in records.items())
    insert = [f"INSERT INTO `{table}` ({columns})\nSELECT {columns} FROM `{staging}`;"] if staging else []
    return "\n".join(
        [
            "BEGIN TRANSACTION;",
            # First: from here on, another transaction that deletes from the table cannot pass side by side with this one.
            f"DELETE FROM `{table}` WHERE {within(records)};",
            f"SELECT IF(COUNT(*) = 0, 0, ERROR('{_CONCURRENT}: somebody has published since')) FROM (",
            f"{_newest(publications, dataset.name, records)}",
            f") WHERE job NOT IN ({known});",
            *insert,
            f"INSERT INTO `{publications}` "
            f"({PARTITION}, published, lake_snapshot, row_count, checksum, job, run_id, published_at) VALUES",
            f"{values};",
            "COMMIT TRANSACTION;",
        ]
    )


def _newest(publications: str, table: str, days: Iterable[date]) -> str:
    """A query for the newest note of each partition of a table."""
    return (
        f"SELECT * FROM `{publications}` WHERE published = '{table}' AND ({within(days)}) "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {PARTITION} ORDER BY published_at DESC) = 1"
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
        InputsChangedError: another publisher was first; what was read before is not what is there.
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
        if _QUOTA & {told.get("reason") for told in getattr(error, "errors", ())}:
            raise EngineError(f"{doing}: a quota of BigQuery is used up for now: {error}") from error
        raise SpecError(
            f"{doing}: not there, or not allowed: {error}. terraform makes the datasets and gives the account its roles; "
            "see `analysts` in the environment file."
        ) from error
    except google.GoogleAPICallError as error:
        if _CONCURRENT in str(error):
            raise InputsChangedError(f"{doing}: another publisher was first: {error}. Nothing was changed.") from error
        raise DataError(f"{doing}: BigQuery refused it: {error}. Readers see what was there before.") from error
