"""BigQuery for one pipeline: the calls that make its tables and views, and jobs that are run once.

When a partition is replaced and what is compared with what is not decided here.
"""

import io
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core import exceptions as google
from google.cloud import bigquery

from contrail.adapters.bigquery_errors import bigquery_errors
from contrail.adapters.bigquery_replacement import Publication, Replacement, newest_sql, transaction_sql
from contrail.adapters.bigquery_tables import clustering_of, comparable, evolved, nullable, schema_of
from contrail.config.settings import AnalystsSettings
from contrail.errors import DataError, SpecError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.warehouse import Fingerprint, View, fingerprint_sql
from contrail.partitions import Partitions

_STAGING_LIFE = timedelta(days=1)
_MOST_ATTEMPTS = 10
_SECONDS = 3600.0


class Warehouse:
    """One pipeline's tables in ``settings.dataset`` and its views in ``settings.views_dataset``."""

    def __init__(self, settings: AnalystsSettings, pipeline: str, labels: Mapping[str, str]) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.labels = {**labels, "pipeline": pipeline}
        with bigquery_errors("opening BigQuery"):
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
        with bigquery_errors(f"making {name}"):
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
            if comparable(getattr(found, field)) != comparable(getattr(wanted, field))
        ]
        if changed:
            with bigquery_errors(f"changing {name}"):
                self.client.update_table(wanted, changed)

    def ensure_view(self, view: View) -> None:
        """Make the view, or bring it up to date.

        Analysts may read ``views_dataset`` alone: terraform authorises it, as a whole, on the tables' dataset.
        """
        name = f"{self.settings.project}.{self.settings.views_dataset}.{self.pipeline}_{view.dataset.name}"
        wanted = bigquery.Table(name)
        wanted.view_query = view.query(f"`{self.name_of(view.source)}`")
        wanted.description, wanted.labels = view.dataset.doc, self.labels
        with bigquery_errors(f"making the view {name}"):
            self.client.create_table(wanted, exists_ok=True)
            found = self.client.get_table(name)
            # A view's columns come from its query; only then can they be described.
            wanted.schema = [nullable(field) for field in schema_of(view.dataset)]
            parts = ("view_query", "schema", "description", "labels")
            if any(comparable(getattr(found, part)) != comparable(getattr(wanted, part)) for part in parts):
                self.client.update_table(wanted, list(parts))

    # ---- rows ----

    def fingerprints(self, dataset: Dataset, partitions: Partitions, table: str = "") -> dict[date, Fingerprint]:
        """Of the partitions of a table, or of a staging table of it, that have rows."""
        query = fingerprint_sql(dataset, f"`{table or self.name_of(dataset.name)}`", partitions, "bigquery")
        return {row[PARTITION]: Fingerprint(row["row_count"], row["checksum"]) for row in self.query(query)}

    def publications(self, table: str, partitions: Partitions) -> dict[date, Publication]:
        """The newest record of each partition of a table in ``publications``."""
        query = newest_sql(self.name_of("publications"), table, partitions)
        return {row[PARTITION]: Publication.of(row) for row in self.query(query)}

    def query(self, sql: str) -> list[Any]:
        """The rows of a query."""
        with bigquery_errors("asking BigQuery"):
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
        with bigquery_errors(f"loading {staging}"):
            self.client.create_table(table, exists_ok=True)
            job = self.client.load_table_from_file(file, table.reference, rewind=True, job_config=config)
            job.result(timeout=_SECONDS)
        return staging

    def replace(self, wanted: Replacement, work: str) -> None:
        """Replace partitions, in one transaction with their records.

        Done by one job, whoever asks for it: one of its name that has run, or runs, is taken for it. After a failed one
        it is tried anew.

        Args:
            wanted: What is replaced, and by what.
            work: Name of the job, without the number of the attempt.

        Raises:
            InputsChangedError: when somebody else has published one of the partitions since; nothing was changed.
        """
        config = bigquery.QueryJobConfig(labels=self.labels)
        names = self.name_of(wanted.dataset.name), self.name_of("publications")
        with bigquery_errors(f"the job {work}"):
            for attempt in range(_MOST_ATTEMPTS):
                job_id = f"{work}-{attempt}"
                sql = transaction_sql(wanted.by(job_id), *names)
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
                if ours or self._is_recorded(wanted, work):
                    return
        raise DataError(
            f"BigQuery has {_MOST_ATTEMPTS} jobs {work}-* that failed, or whose rows somebody has dropped since; look at "
            f"the last one: bq show -j {job_id}"
        )

    def _is_recorded(self, wanted: Replacement, work: str) -> bool:
        days = wanted.publications
        found = self.publications(wanted.dataset.name, Partitions(min(days), max(days)))
        return all(day in found and found[day].job.startswith(work) for day in days)

    def drop(self, staging: str) -> None:
        """Remove a staging table."""
        with bigquery_errors(f"removing {staging}"):
            self.client.delete_table(staging, not_found_ok=True)
