"""Rows of a table or of a question, in the form that a person wants: Arrow, pandas, a stream, or a DuckDB relation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from contrail.config.spec import PipelineSpec
from contrail.errors import EngineError
from contrail.lake.lake import Lake
from contrail.lake.sql import in_words
from contrail.lake.statements import named_in, refuse_writing
from contrail.lake.views import Wanted, create_views
from contrail.notebook.session import Views
from contrail.reports.fragments import table_html

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS = 65_536
_SHOWN_ROWS = 10


class Rows:
    """Rows that are read when they are asked for. They stay those of the moment at which they were opened.

    Anything that takes Arrow's streams takes them too: ``pyarrow.table(rows)``, ``polars.DataFrame(rows)``.

    Example:
        >>> rows = parcels.table("predictions", days="2024-03-01", columns=["parcel", "probability"])
        >>> rows
        predictions of toy, 2024-03-01
          parcel       BIGINT
          probability  DOUBLE
        >>> rows.arrow().num_rows
        60
        >>> bool(rows.pandas().probability.between(0, 1).all())
        True
        >>> rows.relation().filter("parcel < 3").aggregate("count(*)").fetchall()
        [(3,)]
        >>> sum(batch.num_rows for batch in rows.batches())
        60
    """

    def __init__(self, lake: Lake, spec: PipelineSpec, sql: str, wanted: Wanted, title: str) -> None:
        self._lake, self._spec, self._sql, self._title = lake, spec, sql, title
        with in_words(lake, spec):
            refuse_writing(sql)
            self._views = Views(lake.settings)
            create_views(self._views.connection(), lake, spec, named_in(sql), wanted)
            described = self._views.connection().sql(sql)
            self.columns = dict(zip(described.columns, map(str, described.types), strict=True))

    def relation(self) -> duckdb.DuckDBPyRelation:
        """Return a DuckDB relation, which reads nothing until it is asked. It works on rows larger than the memory."""
        with in_words(self._lake, self._spec):
            return self._views.connection().sql(self._sql)

    def batches(self) -> pa.RecordBatchReader:
        """Return the rows as a stream of Arrow batches. Only a few are in memory at a time."""
        relation = self.relation()
        with in_words(self._lake, self._spec):
            reader = relation.to_arrow_reader(_BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, self._in_words(reader))

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table.

        Raises:
            EngineError: if they take more than ``memory_limit``.
        """
        reader, found, size = self.batches(), list[pa.RecordBatch](), 0
        for batch in reader:
            found.append(batch)
            size += batch.nbytes
            if size > self._lake.settings.memory_bytes:
                raise EngineError(
                    f"{self._title}: the rows take more than {self._lake.settings.memory_bytes / 2**20:,.0f} MiB "
                    "(memory_limit). Read them with .batches() or .relation(), or ask for fewer days or columns."
                )
        return pa.Table.from_batches(found, reader.schema)

    def pandas(self) -> "pd.DataFrame":
        """Return the rows as a pandas data frame. The errors are those of ``arrow``."""
        return self.arrow().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.batches().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        longest = max(map(len, self.columns))
        return "\n".join([self._title, *(f"  {name:{longest}}  {kind}" for name, kind in self.columns.items())])

    def _repr_html_(self) -> str:
        first = self.relation().limit(_SHOWN_ROWS + 1).fetchall()
        more = f"; the first {_SHOWN_ROWS} rows" if len(first) > _SHOWN_ROWS else ""
        return table_html(f"{self._title}{more}", list(self.columns), first[:_SHOWN_ROWS])

    def _in_words(self, batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with in_words(self._lake, self._spec):
            yield from batches
