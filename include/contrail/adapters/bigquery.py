"""BigQuery for one pipeline: the calls that make its tables and views, and jobs that run once.

This module does not decide when to replace a partition, nor what to compare.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.api_core import exceptions as google
from google.cloud import bigquery
from upath import UPath

from contrail.adapters.bigquery_errors import bigquery_errors
from contrail.adapters.bigquery_replacement import Publication, Replacement, newest_sql, transaction_sql
from contrail.adapters.bigquery_tables import clustering_of, comparable, evolved, nullable, renamed, schema_of
from contrail.config.settings import AnalystsSettings
from contrail.errors import DataError, SpecError
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.warehouse import Fingerprint, View, fingerprint_sql, quoted
from contrail.partitions import Partitions

_STAGING_LIFE = timedelta(days=1)
_MOST_ATTEMPTS = 10
_SECONDS = 3600.0
# BigQuery's limit for a load job. Its other one, 15 TB, is out of reach for so many files of the lake (256 MB each).
_MOST_URIS = 10_000


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
            SpecError: when its columns or partitions do not allow the change, or the dataset is missing.
        """
        name = self.name_of(dataset.name)
        wanted = bigquery.Table(name, schema=schema_of(dataset))
        wanted.time_partitioning = bigquery.TimePartitioning(field=PARTITION)
        wanted.clustering_fields = clustering_of(dataset) or None
        wanted.description, wanted.labels = dataset.doc, self.labels
        with bigquery_errors(f"making {name}"):
            found = self.client.create_table(wanted, exists_ok=True)
            # For an existing table, create_table may answer with what we sent. Only get_table tells what the table is.
            found = self.client.get_table(name)
        if found.time_partitioning is None or found.time_partitioning.field != PARTITION:
            raise SpecError(
                f"{name} is not partitioned by {PARTITION}. Nothing was published. Copy the table away, and drop it."
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
        for column, earlier in renamed(list(found.schema), dataset).items():
            # BigQuery renames no column of the clustering, and the key is that.
            self.query(f"UPDATE `{name}` SET {quoted(column)} = {quoted(earlier)} WHERE {quoted(earlier)} IS NOT NULL")

    def ensure_view(self, view: View) -> None:
        """Make the view, or bring it up to date.

        Analysts may read only ``views_dataset``. Terraform authorises all its views on the tables' dataset.
        """
        name = f"{self.settings.project}.{self.settings.views_dataset}.{self.pipeline}_{view.dataset.name}"
        wanted = bigquery.Table(name)
        wanted.view_query = view.query(f"`{self.name_of(view.source)}`")
        wanted.description, wanted.labels = view.dataset.doc, self.labels
        with bigquery_errors(f"making the view {name}"):
            self.client.create_table(wanted, exists_ok=True)
            found = self.client.get_table(name)
            # A view's columns come from its query, so their documentation can only follow now.
            wanted.schema = [nullable(field) for field in schema_of(view.dataset)]
            parts = ("view_query", "schema", "description", "labels")
            if any(comparable(getattr(found, part)) != comparable(getattr(wanted, part)) for part in parts):
                self.client.update_table(wanted, list(parts))

    # ---- rows ----

    def fingerprints(self, dataset: Dataset, partitions: Partitions, table: str = "") -> dict[date, Fingerprint]:
        """Read the fingerprint of each partition that has rows, in a table or in its staging table."""
        query = fingerprint_sql(dataset, f"`{table or self.name_of(dataset.name)}`", partitions, "bigquery")
        return {row[PARTITION]: Fingerprint(row["row_count"], row["checksum"]) for row in self.query(query)}

    def publications(self, table: str, partitions: Partitions) -> dict[date, Publication]:
        """Read the newest record in ``publications`` of each partition of a table."""
        query = newest_sql(self.name_of("publications"), table, partitions)
        return {row[PARTITION]: Publication.of(row) for row in self.query(query)}

    def query(self, sql: str) -> list[Any]:
        """Run a query and return its rows."""
        with bigquery_errors("querying BigQuery"):
            return list(self.client.query_and_wait(sql, job_config=bigquery.QueryJobConfig(labels=self.labels)))

    def load(self, dataset: Dataset, files: Sequence[str]) -> str:
        """Load Parquet files into a new staging table, which expires by itself.

        BigQuery reads the files of a bucket itself, so no row passes through this process. Other files are uploaded, one
        after the other, as streams.

        Returns:
            The table's full name. Each call makes its own table, because another publisher may drop its own at any time.
        """
        staging = f"{self.name_of(dataset.name)}__{secrets.token_hex(8)}"
        # No column is required in the lake's files, and BigQuery would refuse them for a REQUIRED column. The transaction
        # refuses a null later.
        table = bigquery.Table(staging, schema=[nullable(field) for field in schema_of(dataset)])
        table.expires, table.labels = datetime.now(UTC) + _STAGING_LIFE, self.labels
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, schema=table.schema, labels=self.labels,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )  # fmt: skip
        in_bucket = [file for file in files if file.startswith("gs://")]
        others = [file for file in files if not file.startswith("gs://")]
        with bigquery_errors(f"loading {staging}"):
            self.client.create_table(table, exists_ok=True)
            jobs = [
                self._once(f"{table.table_id}-{n}", self.client.load_table_from_uri, uris, table.reference, config)
                for n, uris in enumerate(_chunks(in_bucket, _MOST_URIS))
            ]
            for n, file in enumerate(others):
                with UPath(file).open("rb") as stream:
                    name = f"{table.table_id}-upload-{n}"
                    jobs.append(self._once(name, self.client.load_table_from_file, stream, table.reference, config))
            for job in jobs:
                job.result(timeout=_SECONDS)
        return staging

    def _once(self, job_id: str, start: Callable[..., Any], source: Any, table: Any, config: Any) -> Any:
        """Start a load job. One whose answer was lost is the same job, and loads nothing twice."""
        try:
            return start(source, table, job_id=job_id, job_config=config)
        except google.Conflict:
            return self.client.get_job(job_id)

    def replace(self, wanted: Replacement, work: str) -> None:
        """Replace partitions and write their records, in one transaction.

        Each piece of work has one job. A job of the same name that runs, or has succeeded, counts as this call's job. After
        a failed job the next attempt starts another one.

        Args:
            wanted: What to replace, and by what.
            work: Name of the job, without the number of the attempt.

        Raises:
            InputsChangedError: Another publisher has replaced one of the partitions since. Nothing was changed.
        """
        config = bigquery.QueryJobConfig(labels=self.labels)
        names = self.name_of(wanted.dataset.name), self.name_of("publications")
        with bigquery_errors(f"the job {work}"):
            for attempt in range(_MOST_ATTEMPTS):
                job_id = f"{work}-{attempt}"
                sql = transaction_sql(wanted.by(job_id), *names)
                ours = True
                try:
                    # No retry under another id. The answer may be lost although the transaction was committed.
                    job: Any = self.client.query(sql, job_id=job_id, job_config=config, job_retry=None)
                except google.Conflict:
                    job, ours = self.client.get_job(job_id), False
                try:
                    job.result(timeout=_SECONDS)
                except google.GoogleAPICallError:
                    if ours:
                        raise
                    continue
                # An earlier job may have filled tables that somebody dropped later. Its records were dropped with them.
                if ours or self._is_recorded(wanted, work):
                    return
        raise DataError(
            f"BigQuery has {_MOST_ATTEMPTS} jobs {work}-* that failed, or whose rows somebody dropped later. "
            f"See the last one: bq show -j {job_id}"
        )

    def _is_recorded(self, wanted: Replacement, work: str) -> bool:
        days = wanted.publications
        found = self.publications(wanted.dataset.name, Partitions(min(days), max(days)))
        return all(day in found and found[day].job.startswith(work) for day in days)

    def drop(self, staging: str) -> None:
        """Remove a staging table."""
        with bigquery_errors(f"removing {staging}"):
            self.client.delete_table(staging, not_found_ok=True)


def _chunks(files: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Cut a list into parts of at most so many."""
    for start in range(0, len(files), most):
        yield files[start : start + most]
