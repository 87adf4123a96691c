"""Rows of a query to a database, as text columns, a batch at a time.

Each kind of database has a module of its own. Where the rows are landed does not belong here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from contrail.adapters.landed_columns import Columns
from contrail.adapters.text_forms import as_text
from contrail.config.landed_spec import SourceSpec
from contrail.config.settings import Settings
from contrail.errors import SpecError, StructureError

KEPT = "Nothing was landed."


@dataclass(frozen=True)
class Query:
    """One query: what the spec says, the columns that it must give, and its place in the spec for messages."""

    source: SourceSpec
    columns: Columns
    place: str

    def check(self, names: list[str]) -> None:
        """Compare the columns of the result with those of the table.

        Raises:
            SpecError: naming the place, and what is missing or too much.
        """
        try:
            self.columns.check(self.columns.current(names), "its result")
        except StructureError as error:
            raise SpecError(f"{self.place}: {error.rule}: {error.detail}. {KEPT}") from error


@contextmanager
def source_rows(
    query: Query, parameters: dict[str, date | datetime], settings: Settings
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Ask a database for the rows of a query. They come as text, under the names of the query.

    Args:
        query: The query.
        parameters: ``day``, ``start`` and ``end``; none for a table without days.
        settings: Say where the connection is.

    Raises:
        SpecError: The connection, the query or the account's rights are wrong.
        EngineError: The database does not answer now.
        DataError: The database refused the rows.
    """
    if query.source.kind == "postgres":
        from contrail.adapters.postgres_source import postgres_rows

        with postgres_rows(query, parameters, settings) as rows:
            yield rows
    else:
        from contrail.adapters.bigquery_source import bigquery_rows

        yield (texts(batch) for batch in bigquery_rows(query, parameters))


def texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with each value as text."""
    return pa.RecordBatch.from_arrays([as_text(column) for column in batch.columns], names=batch.schema.names)
