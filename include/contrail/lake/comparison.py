"""Which partitions of a replacement hold the rows that are published already.

Rows are compared by their content, never by snapshots or times. The columns that say who made a row, and when, are no
content (``Dataset.receipts``). Publishing does not belong here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pyarrow as pa
from pyiceberg.manifest import DataFile

from contrail.config.settings import Settings
from contrail.faults import is_fault
from contrail.files import is_local
from contrail.lake.data_files import day_of, digest_of
from contrail.lake.datasets import Dataset
from contrail.lake.ordering import ascends, ordered
from contrail.lake.parquet import plain, read_batches

_THREADS = 4
# Reads rows as often as it is called. Several partitions come in their order.
Rows = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def same_days(
    settings: Settings,
    dataset: Dataset,
    schema: pa.Schema,
    old: Iterable[DataFile],
    new: Iterable[DataFile],
    days: Iterable[date],
) -> set[date]:
    """Return the partitions whose old and new files have the same content, in any order. Both may have none.

    Args:
        settings: Limit the memory.
        dataset: Says what content is.
        schema: Of the table; it reads files of any age.
        old: The published files, those on this machine as they were written. One that cannot be read is not the same.
        new: Files whose rows are sorted.
        days: The partitions to compare.
    """
    before, after = _by_day(old), _by_day(new)
    wanted = list(days)
    with ThreadPoolExecutor(_THREADS) as pool:
        same = pool.map(lambda day: same_files(settings, dataset, schema, before[day], after[day]), wanted)
        return {day for day, is_same in zip(wanted, same, strict=True) if is_same}


def same_files(
    settings: Settings, dataset: Dataset, schema: pa.Schema, old: Sequence[DataFile], new: Sequence[DataFile]
) -> bool:
    """Say whether files have the same content; see ``same_days``."""
    if sum(file.record_count for file in old) != sum(file.record_count for file in new):
        return False
    if _same_bytes(old, new):
        return True

    def rows_of(files: Sequence[DataFile]) -> Rows:
        paths = sorted(file.file_path for file in files)
        return lambda columns: read_batches(paths, pa.schema([schema.field(name) for name in columns]))

    try:
        return same_rows(settings, dataset, plain(schema), rows_of(old), rows_of(new))
    except (OSError, pa.ArrowInvalid) as error:
        if is_fault(error):
            raise
        return False


def same_rows(settings: Settings, dataset: Dataset, schema: pa.Schema, old: Rows, new: Rows) -> bool:
    """Say whether two streams have rows of the same content. ``new`` is sorted. A float is the same when its bits are."""
    if any(name not in schema.names for name in dataset.columns):
        return False
    content = [name for name in dataset.columns if name not in dataset.receipts]
    if _equal(old(content), new(content)):
        return True
    # Files of an earlier version are not sorted by the key.
    by = [name for name in dataset.order if name in content]
    if ascends(old(by), by):
        return False
    own = pa.schema([schema.field(name) for name in content])
    return _equal(ordered(settings, own, old(content), by), new(content))


def _same_bytes(old: Sequence[DataFile], new: Sequence[DataFile]) -> bool:
    """Say whether files have the same bytes, going by their names, so that none has to be read.

    The publisher has compared old files on this machine with their names. Of others, it does not know that they are there.
    """
    before, after = ([digest_of(file.file_path) for file in files] for files in (old, new))
    known = None not in before and all(is_local(file.file_path) for file in old)
    return known and Counter(before) == Counter(after)


def _equal(old: Iterator[pa.RecordBatch], new: Iterator[pa.RecordBatch]) -> bool:
    """Compare two streams whose batches end at different rows."""
    before, after = next(old, None), next(new, None)
    while before is not None and after is not None:
        length = min(len(before), len(after))
        pairs = zip(before.slice(0, length).columns, after.slice(0, length).columns, strict=True)
        if not all(_bits(one).equals(_bits(other)) for one, other in pairs):
            return False
        before = before.slice(length) if length < len(before) else next(old, None)
        after = after.slice(length) if length < len(after) else next(new, None)
    return before is None and after is None


def _by_day(files: Iterable[DataFile]) -> defaultdict[date, list[DataFile]]:
    found: defaultdict[date, list[DataFile]] = defaultdict(list)
    for file in files:
        found[day_of(file.partition[0])].append(file)
    return found


def _bits(column: pa.Array) -> pa.Array:
    # Arrow's NaN is not equal to itself.
    return column.view(pa.int64()) if pa.types.is_float64(column.type) else column
