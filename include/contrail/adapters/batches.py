"""Apply one function to the rows of many Parquet files, in this process or on the executors of Apache Spark.

A model must reach an executor once, which the embedded engine and Spark Connect do not allow. With these engines the
rows go through this process as a stream, without an engine (docs/adr/0009). What the function does belongs to methods.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial, reduce
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import pyarrow as pa
from upath import UPath

from contrail.adapters.engine import read_files
from contrail.adapters.executors import has_executors, own_errors, session_with_code
from contrail.config.settings import EngineSettings
from contrail.lake.parquet import plain, read_batches

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame

T = TypeVar("T")

# Most rows in one call of the function in this process, and the memory that a call takes for one value of its input: the
# value itself, its encoding, XGBoost's copy, its contribution, and its part of the result.
_ROWS = 2**18
_BYTES_A_VALUE = 64
# All calls together take this part of the memory for rows. The publisher sorts and writes what they return meanwhile.
_SHARE = 4


class RowsFunction(Protocol):
    """A function from Arrow rows to Arrow rows. A row's result does not depend on the other rows of the call.

    ``from_files(f.files())`` makes ``f`` again in another process.
    """

    @property
    def at_once(self) -> int:
        """Return the number of calls that pay beside each other in one process."""

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
    engine: EngineSettings,
    parts: Sequence[MapPart],
    inputs: pa.Schema,
    outputs: pa.Schema,
    folder: UPath,
    memory_bytes: int,
) -> pa.RecordBatchReader | UPath:
    """Apply the functions to the rows of all parts.

    Args:
        engine: Says where the functions run.
        parts: Files with their functions.
        inputs: The columns that the functions receive. A column is null where a file lacks it, under each of its names.
        outputs: The columns that the functions return, and their types.
        folder: Executors stage their results here. The folder is replaced.
        memory_bytes: The memory for rows in this process.

    Returns:
        The results: a stream, in the order of the files, or the folder in which executors have staged them. The stream
        calls the functions while it is read, and raises their errors.

    Raises:
        EngineError: if the engine cannot be reached, or an executor fails.
        ContrailError: as the functions raise it on executors.
    """
    parts = [part for part in parts if part.files]
    if parts and has_executors(engine):
        _on_executors(engine, parts, inputs, outputs, folder)
        return folder
    return pa.RecordBatchReader.from_batches(outputs, _here(parts, inputs, outputs, memory_bytes))


def _here(
    parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, memory_bytes: int
) -> Iterator[pa.RecordBatch]:
    for part in parts:
        at_once = part.function.at_once
        # One more result waits for the writer, and one more batch is read.
        rows = memory_bytes // _SHARE // (at_once + 2) // (_BYTES_A_VALUE * len(inputs))
        calls = (partial(part.function, batch) for batch in _read(part.files, inputs, max(1, min(rows, _ROWS))))
        for result in _in_order(calls, at_once):
            yield from _typed(result, outputs).combine_chunks().to_batches()


def _in_order(calls: Iterable[Callable[[], T]], at_once: int) -> Iterator[T]:
    """Yield the results of the calls in order. The next calls run while the caller works on a result."""
    with ThreadPoolExecutor(at_once) as threads:
        running: deque[Future[T]] = deque()
        try:
            for call in calls:
                running.append(threads.submit(call))
                if len(running) > at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for left in running:
                left.cancel()


def _typed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)


def _read(files: Sequence[str], schema: pa.Schema, most: int) -> Iterator[pa.Table]:
    """Yield the rows of the files in parts of ``most`` rows; the last has fewer."""
    held: list[pa.RecordBatch] = []
    space = most
    for batch in read_batches(files, schema):
        while len(batch) >= space:
            yield pa.Table.from_batches([*held, batch[:space]], plain(schema))
            held, batch, space = [], batch[space:], most
        if len(batch):
            held.append(batch)
            space -= len(batch)
    if held:
        yield pa.Table.from_batches(held, plain(schema))


# ---- on executors ----


def _on_executors(
    engine: EngineSettings, parts: Sequence[MapPart], inputs: pa.Schema, outputs: pa.Schema, folder: UPath
) -> None:
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
