"""Rows in the order of their partition and key: bring a stream into it, and see whether one is in it.

Where the rows come from, and where they go, does not belong here.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.names import quoted
from contrail.config.settings import Settings
from contrail.errors import EngineError
from contrail.lake.sessions import MERGED_ROWS, session, spare_threads

# Rows of this size are sorted here: a session of DuckDB takes as long as all else in the publication of a day.
_QUICK_BYTES = 16 * 2**20
_BATCH_ROWS = 32_768


def ordered(
    settings: Settings, schema: pa.Schema, batches: Iterable[pa.RecordBatch], by: Sequence[str]
) -> Generator[pa.RecordBatch, None, None]:
    """Yield rows in ascending order of these columns, nulls last. What does not fit into memory goes to disk.

    An error of ``batches`` is raised here as it is.
    """
    rest, held, size = iter(batches), list[pa.RecordBatch](), 0
    for batch in rest:
        held.append(batch)
        size += batch.nbytes
        if size > _QUICK_BYTES:
            width = size // max(1, sum(map(len, held))) + 1
            yield from _sorted_outside(settings, schema, chain(held, rest), by, width)
            return
    rows = pa.Table.from_batches(held, schema)
    found = rows.sort_by([(name, "ascending") for name in by]) if by else rows
    yield from found.combine_chunks().to_batches(max_chunksize=_BATCH_ROWS)


def _sorted_outside(
    settings: Settings, schema: pa.Schema, batches: Iterable[pa.RecordBatch], by: Sequence[str], width: int
) -> Iterator[pa.RecordBatch]:
    failed: list[Exception] = []

    def passed_on() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            failed.append(error)  # DuckDB would keep only its words
            raise

    with session(settings) as connection:
        spare_threads(connection, width, settings.memory_bytes)
        try:
            rows = connection.from_arrow(pa.RecordBatchReader.from_batches(schema, passed_on()))
            order = ", ".join(f"{quoted(name)} ASC NULLS LAST" for name in by)
            for batch in rows.order(order).to_arrow_reader(min(_BATCH_ROWS, max(1, _QUICK_BYTES // width))):
                yield batch.cast(schema)
        except duckdb.OutOfMemoryException as error:
            raise EngineError(
                f"rows of about {width:,} bytes cannot be sorted in {settings.memory_bytes / 2**20:,.0f} MiB of memory, or "
                f"the disk of {settings.home_path} is full. Nothing was published. Set memory_limit in the environment "
                f"file, or CONTRAIL_MEMORY_LIMIT, to at least {width * MERGED_ROWS / 2**20:,.0f}MiB, and run the stage "
                f"again. ({str(error).partition(chr(10))[0]})"
            ) from error
        except Exception as error:
            if failed:
                raise failed[0] from error
            raise


class Ascending:
    """Whether the rows seen so far are in strictly ascending order: sorted, and no two alike.

    Rows with a null or NaN in these columns are taken for out of order.
    """

    def __init__(self, by: Sequence[str]) -> None:
        self._by = list(by)
        self._last: pa.RecordBatch | None = None
        self.holds = True

    def see(self, batch: pa.RecordBatch) -> None:
        """See the rows that come next."""
        if not len(batch) or not self.holds:
            return
        own = batch.select(self._by)
        rows = pa.Table.from_batches([own] if self._last is None else [self._last, own]).combine_chunks()
        self._last = own.slice(len(own) - 1)
        self.holds = _ascends(rows)


def _ascends(rows: pa.Table) -> bool:
    """Compare each row with the next, from the last column to the first."""
    found = pa.scalar(False)
    for column in reversed(rows.columns):
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        found = pc.or_kleene(pc.less(before, after), pc.and_kleene(pc.equal(before, after), found))
    return bool(pc.all(pc.fill_null(found, False), min_count=0).as_py())


def ascends(batches: Iterable[pa.RecordBatch], by: Sequence[str]) -> bool:
    """Say whether rows are in strictly ascending order; see ``Ascending``."""
    seen = Ascending(by)
    for batch in batches:
        seen.see(batch)
        if not seen.holds:
            return False
    return True
