"""Apply one function to the rows of many Parquet files, in this process or on the executors of Apache Spark.

A model must reach an executor once, which the embedded engine and Spark Connect do not allow. With these engines the
rows go through this process, without an engine (docs/adr/0009). What the function does belongs to methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from typing import TYPE_CHECKING, Protocol, Self

import pyarrow as pa
from upath import UPath

from contrail.adapters.engine import read_files
from contrail.adapters.executors import has_executors, own_errors, session_with_code
from contrail.config.settings import EngineSettings
from contrail.lake.parquet import plain, read_batches, read_folder

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame

# Most rows in one call of the function in this process. The contributions of 60 features then take 240 MB.
_ROWS = 1_000_000


class RowsFunction(Protocol):
    """A function from Arrow rows to Arrow rows. A row's result does not depend on the other rows of the call.

    ``from_files(f.files())`` makes ``f`` again in another process.
    """

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return the result for these rows."""

    def files(self) -> dict[str, bytes]:
        """Return all that makes the function, as files by their names."""

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Make the function from its files."""


@dataclass(frozen=True)
class MapPart:
    """URIs of Parquet files, none or more, and the function to apply to their rows."""

    files: Sequence[str]
    function: RowsFunction


def map_files(
    engine: EngineSettings, parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, folder: UPath
) -> pa.Table:
    """Apply the functions to the rows of all parts.

    Args:
        engine: Says where the functions run.
        parts: Files with their functions.
        inputs: The columns that the functions receive. A column is null where a file lacks it, under each of its names.
        outputs: The columns that the functions return, and their types.
        folder: Executors stage their results here. The folder is replaced.

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
    """Yield the rows of the files, in as few bounded parts as possible."""
    held: list[pa.RecordBatch] = []
    for batch in read_batches(files, schema):
        if held and sum(map(len, held)) + len(batch) > _ROWS:
            yield pa.Table.from_batches(held, plain(schema))
            held = []
        held.append(batch)
    yield pa.Table.from_batches(held, plain(schema))


# ---- on executors ----


def _on_executors(
    engine: EngineSettings, parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, folder: UPath
) -> pa.Table:
    from pyspark.sql.pandas.types import from_arrow_schema

    session = session_with_code(engine)

    def mapped(part: MapPart) -> "DataFrame":
        sent = session.sparkContext.broadcast(part.function.files())
        function = partial(_map_batches, kind=type(part.function), sent=sent, schema=outputs)
        rows = read_files(session, part.files, inputs)
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
    """Make the function once per Python worker. All tasks of a worker get the same object for the same broadcast."""
    return kind.from_files(sent.value)
