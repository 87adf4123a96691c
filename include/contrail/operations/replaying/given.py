"""Mended rows as a person gives them, in a file or as SQL, brought into one form: texts, with the file and line of each row."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contrail.adapters.landed_columns import LINE
from contrail.adapters.mend_file import BESIDE, FILE, IDENTITY, PLACE, check_columns, read_mends
from contrail.adapters.text_forms import as_text, has_text
from contrail.config.pipeline import Pipeline
from contrail.errors import DataError, SpecError
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from contrail.operations.quarantine import QUARANTINED, quarantined_sql

_SOONER = "Nothing was mended. Mend the rows of fewer days at a time, or give mended rows in a file."


@dataclass(frozen=True)
class Given:
    """A Parquet file of mended rows: ``_file``, ``_line``, ``_place`` and ``columns``, all text but the numbers.

    ``words`` says where a row stands, before the number of its place.
    """

    path: Path
    columns: tuple[str, ...]
    words: str
    is_csv: bool = False


def from_file(path: Path, pipeline: Pipeline, table: str, folder: Path, personal: bool) -> Given:
    """Read a file; see ``read_mends`` for its form and errors."""
    source = pipeline.spec.tables[table]
    found = _kept(read_mends(path, source, () if personal else source.personal), f"{path.name}, line", folder)
    return replace(found, is_csv=path.suffix != ".parquet")


def from_sql(
    lake: Lake, pipeline: Pipeline, table: str, sql: str, folder: Path, personal: bool, seconds: float
) -> Given:
    """Ask for the mended rows in SQL, confined as every query is. ``quarantined`` has the rows to mend.

    It bounds the whole process; ``apart`` gives it one of its own.

    Raises:
        SpecError: for SQL that fails or does more than read, and for columns that the table does not have.
    """
    source, views = pipeline.spec.tables[table], {QUARANTINED: quarantined_sql(pipeline.spec, table, personal)}
    with ask(lake, pipeline.spec, sql, seconds, personal=personal, also=views, alone=True, sooner=_SOONER) as answer:
        known = [*IDENTITY, *source.columns, *BESIDE]
        check_columns(answer.columns, known, "the SQL", () if personal else source.personal)
        return _kept(_as_texts(answer.batches()), "the SQL, row", folder)


def _as_texts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    place = 1
    for batch in batches:
        for field in batch.schema:
            if not has_text(field.type):
                raise SpecError(f"the SQL: {field.name} is {field.type}, which has no text. Nothing was mended.")
        texts = [as_text(column) for column in batch.columns]
        places = pa.array(range(place, place + batch.num_rows), pa.int64())
        yield pa.RecordBatch.from_arrays([*texts, places], names=[*batch.schema.names, PLACE])
        place += batch.num_rows


def _kept(batches: Iterable[pa.RecordBatch], words: str, folder: Path) -> Given:
    """Write the rows to a file of the folder. No number of them fills the memory."""
    path, writer, columns = folder / "given.parquet", None, tuple[str, ...]()
    try:
        for batch in batches:
            named = [name for name in batch.schema.names if name not in (*IDENTITY, PLACE)]
            columns = tuple(named)
            whole = pa.RecordBatch.from_arrays(
                [batch[FILE], _lines(batch, words), batch[PLACE], *(batch[name] for name in named)],
                names=[*IDENTITY, PLACE, *named],
            )
            writer = writer or pq.ParquetWriter(path, whole.schema)
            writer.write_batch(whole)
    finally:
        if writer:
            writer.close()
    if writer is None:
        raise DataError(f"{words.rpartition(',')[0]}: no rows, so there is nothing to mend.")
    return Given(path, columns, words)


def _lines(batch: pa.RecordBatch, words: str) -> pa.Array:
    try:
        return batch[LINE].cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{words} {batch[PLACE][0]} or after it: {LINE} is no number: {error}. Nothing was mended."
        ) from error
