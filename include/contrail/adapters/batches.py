"""One function over the rows of many Parquet files: in this process, or on the executors of Apache Spark.

The embedded engine and Spark Connect have no executors that could be given a model once, so there the rows go through
this process, and no engine is started for it (docs/adr/0009). What the function does belongs to methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from typing import TYPE_CHECKING, Protocol, Self

import pyarrow as pa
from upath import UPath

from contrail.adapters.executors import has_executors, own_errors, session_with_code
from contrail.config.settings import EngineSettings
from contrail.lake.parquet import parquet_files, read_folder

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame

# Rows that are given to the function at a time in this process: with the contributions of 60 features 240 MB.
_ROWS = 1_000_000


class RowsFunction(Protocol):
    """Arrow rows in, Arrow rows out, whatever rows are given together; ``from_files(f.files())`` is ``f`` elsewhere."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """What becomes of the rows."""

    def files(self) -> dict[str, bytes]:
        """All that makes the function, as files by their names."""

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The function that has these files."""


@dataclass(frozen=True)
class MapPart:
    """URIs of Parquet files, none or more, and the function that their rows are given to."""

    files: Sequence[str]
    function: RowsFunction


def map_files(
    engine: EngineSettings, parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, folder: UPath
) -> pa.Table:
    """What the functions make of the rows of all parts.

    Args:
        engine: Says where the functions run.
        parts: Files with their functions.
        inputs: The columns that the functions are given; null where a file has none.
        outputs: The columns that they give back, and their types.
        folder: Where executors stage what they make; replaced.

    Raises:
        EngineError: if the engine cannot be reached, or an executor fails.
        ContrailError: as the functions raise it.
    """
    parts = [part for part in parts if part.files]
    if not parts:
        return outputs.empty_table()
    if has_executors(engine):
        return _on_executors(engine, parts, inputs, outputs, folder)
    return pa.concat_tables(
        _typed(part.function(rows), outputs) for part in parts for rows in _read(part.files, inputs)
    )


def _typed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)


def _read(files: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of the files, in as few parts as keep each bounded."""
    held: list[pa.RecordBatch] = []
    for batch in parquet_files(files, schema).to_batches():
        if held and sum(map(len, held)) + len(batch) > _ROWS:
            yield pa.Table.from_batches(held, schema)
            held = []
        held.append(batch)
    yield pa.Table.from_batches(held, schema)


# ---- on executors ----


def _on_executors(
    engine: EngineSettings, parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, folder: UPath
) -> pa.Table:
    from pyspark.sql.pandas.types import from_arrow_schema

    session = session_with_code(engine)

    def mapped(part: MapPart) -> "DataFrame":
        sent = session.sparkContext.broadcast(part.function.files())
        function = partial(_map_batches, kind=type(part.function), sent=sent, schema=outputs)
        rows = session.read.schema(from_arrow_schema(inputs)).parquet(*part.files)
        return rows.mapInArrow(function, from_arrow_schema(outputs))

    with own_errors():
        every = reduce(lambda above, below: above.union(below), map(mapped, parts))
        every.write.mode("overwrite").parquet(str(folder))
    return read_folder(folder)


def _map_batches(
    batches: Iterator[pa.RecordBatch],
    kind: type[RowsFunction],
    sent: "Broadcast[dict[str, bytes]]",
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    function = _made(kind, sent)
    for batch in batches:
        yield from _typed(function(pa.Table.from_batches([batch])), schema).to_batches()


@cache
def _made(kind: type[RowsFunction], sent: "Broadcast[dict[str, bytes]]") -> RowsFunction:
    """Made once a Python worker: all tasks of a worker find the same object for the same broadcast."""
    return kind.from_files(sent.value)
