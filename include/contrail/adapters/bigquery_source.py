"""Rows of a query to BigQuery, as Arrow, page by page.

The query runs as the account of this process. What BigQuery holds for analysts belongs to ``bigquery``.
"""

from collections.abc import Iterator
from datetime import date, datetime

import pyarrow as pa

from contrail.adapters.bigquery_errors import bigquery_errors
from contrail.adapters.sources import KEPT, Query
from contrail.adapters.text_forms import has_text
from contrail.config.queries import parameters_of, with_parameters
from contrail.errors import SpecError

_PAGE_ROWS = 50_000
_TYPES = {"day": "DATE", "start": "TIMESTAMP", "end": "TIMESTAMP"}


def bigquery_rows(query: Query, parameters: dict[str, date | datetime]) -> Iterator[pa.RecordBatch]:
    """Run a query, and give its rows out; see ``sources.source_rows``."""
    from google.cloud import bigquery

    source = query.source
    named = set(parameters_of(source.query))
    bound = [bigquery.ScalarQueryParameter(name, _TYPES[name], parameters[name]) for name in _TYPES if name in named]
    with bigquery_errors(query.place, "See the names in the query, and the roles of the account.", KEPT):
        client = bigquery.Client(source.project, location=source.location)
        config = bigquery.QueryJobConfig(query_parameters=bound)
        sql = with_parameters(source.query, lambda name: f"@{name}")
        found = client.query(sql, job_config=config).result(page_size=_PAGE_ROWS)
        query.check([field.name for field in found.schema])
        for batch in found.to_arrow_iterable():
            if wrong := next((field for field in batch.schema if not has_text(field.type)), None):
                raise SpecError(
                    f"{query.place}: column '{wrong.name}' holds {wrong.type}, which has no text; cast it to STRING in the "
                    f"query. {KEPT}"
                )
            yield batch
