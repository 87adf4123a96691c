"""The rows that a contract judges: a relation of a DuckDB session, counted and read a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import literal, quoted


@dataclass(frozen=True)
class Rows:
    """A relation of a DuckDB session. Its column ``index`` tells its rows apart, and orders them."""

    connection: duckdb.DuckDBPyConnection
    relation: str
    index: str

    @cached_property
    def types(self) -> dict[str, str]:
        """DuckDB's name of each column's type."""
        described = self.connection.execute(f"DESCRIBE {quoted(self.relation)}").fetchall()
        return {name: kind for name, kind, *_ in described}

    def ask(self, figures: Sequence[str]) -> tuple[Any, ...]:
        """Return SQL aggregates over all rows."""
        (found,) = self.connection.execute(f"SELECT {', '.join(figures)} FROM {quoted(self.relation)}").fetchall()
        return tuple(found)

    def batches(self, where: str, size: int | None) -> Iterator[pa.Table]:
        """Read rows in order, at most ``size`` at a time, or all at once. Between two batches the session is free."""
        ordered, limit = f"ORDER BY {quoted(self.index)}", f"LIMIT {size}" if size else ""
        after = "true"
        while True:
            query = f"SELECT * FROM {quoted(self.relation)} WHERE ({where}) AND {after} {ordered} {limit}"
            batch = self.connection.sql(query).to_arrow_table()
            if len(batch):
                yield batch
            if size is None or len(batch) < size:
                return
            last = batch.column(self.index)[-1].as_py()
            after = f"{quoted(self.index)} > {literal(last) if isinstance(last, str) else last}"
