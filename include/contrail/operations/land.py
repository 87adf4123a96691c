"""Land a pipeline's files: those that its ``source.py`` writes, and the rows of each table that has a ``source``.

A landed file is what is versioned. So a day is asked for again as often as anybody likes: the same rows change nothing, and
other rows are the day's next delivery.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.adapters.landed_columns import Columns
from contrail.adapters.landed_files import LandingFolder, open_folder
from contrail.adapters.source_files import row_count, same_rows, write_sorted
from contrail.adapters.sources import Query, source_rows
from contrail.config.file_names import REFERENCE
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import TableSpec
from contrail.errors import StructureError
from contrail.faults import is_fault
from contrail.files import written_whole
from contrail.lake import forgotten
from contrail.lake.forgotten import Marks
from contrail.lake.lake import Lake
from contrail.lake.sessions import session, spill_folder
from contrail.partitions import Partitions

Show = Callable[[str], None]


def land_files(pipeline: Pipeline, settings: Settings, partitions: Partitions, show: Show) -> int:
    """Write the landed files of these days.

    Args:
        pipeline: The pipeline.
        settings: Where the landing zone and the connections are.
        partitions: The days.
        show: Takes a line for each table.

    Returns:
        The number of files written.

    Raises:
        SpecError: There is neither a ``source.py`` nor a table with a source, or a connection or query is wrong.
        EngineError: A database does not answer now. What was written before stays.
    """
    settings.outside("Files are landed")  # every sandbox has the same landing zone
    landing = settings.landing / pipeline.name
    landing.mkdir(parents=True, exist_ok=True)
    sources = [name for name, table in pipeline.spec.tables.items() if table.source]
    written = 0
    if not sources or (pipeline.folder / "source.py").exists():
        show(f"writing to {landing}")
        written += int(pipeline.function("source", "land")(landing, partitions))
    for name in sources:
        own = _land_table(pipeline, settings, name, partitions, show)
        show(f"{name}: {own} files written")
        written += own
    return written


def land_known(pipeline: Pipeline, settings: Settings, on: date, show: Show) -> None:
    """Land what the sources know at the cut-off of day ``on``, of that day and of those whose late data are taken in.

    Raises:
        ContrailError: as ``land_files`` does.
    """
    spec = pipeline.spec
    for name, table in spec.tables.items():
        # At its cut-off, a day is over only where it is known ahead.
        last = min(on if table.known_ahead else on - timedelta(days=1), spec.last_partition or on)
        first = max(on - timedelta(days=spec.schedule.late_days), spec.first_partition)
        if table.source and first <= last:
            _land_table(pipeline, settings, name, Partitions(first, last), show)


def _land_table(pipeline: Pipeline, settings: Settings, name: str, partitions: Partitions, show: Show) -> int:
    spec, table = pipeline.spec, pipeline.spec.tables[name]
    assert table.source is not None
    query = Query(table.source, Columns.of(table), f"{pipeline.folder / 'pipeline.yaml'}: tables.{name}.source")
    days: Iterable[date | None] = partitions if table.kind == "daily" else [None]
    stems = {str(day or REFERENCE) for day in days}
    folder = open_folder(settings.landing / pipeline.name, name, table.file_names, stems)
    marks = forgotten.load(Lake(settings, pipeline.name))
    written = 0
    for day in days:
        with source_rows(query, parameters_of_day(spec, day), settings) as rows:
            kept = without_forgotten(marks, query.columns, rows) if marks else rows
            if path := _deliver(folder, table, str(day or REFERENCE), kept, settings):
                show(f"{name}: {path.name}")
                written += 1
    return written


def without_forgotten(marks: Marks, columns: Columns, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Leave out rows of persons who were forgotten. A database may have them still."""
    for batch in rows:
        found = marks.mask(pa.Table.from_batches([batch]).rename_columns(columns.current(batch.schema.names)))
        yield batch if found is None else batch.filter(pc.invert(found.combine_chunks()))


def parameters_of_day(spec: PipelineSpec, day: date | None) -> dict[str, date | datetime]:
    """The parameters of a query for a day: its date, and the instants between which it lies in the pipeline's zone."""
    if day is None:
        return {}
    start, end = (
        datetime.combine(each, time(), ZoneInfo(spec.timezone)).astimezone(ZoneInfo("UTC"))
        for each in (day, day + timedelta(days=1))
    )
    return {"day": day, "start": start, "end": end}


def _deliver(
    folder: LandingFolder, table: TableSpec, stem: str, rows: Iterator[pa.RecordBatch], settings: Settings
) -> UPath | None:
    """Write rows as the next delivery, unless the newest one has them. No rows at all are no first delivery."""
    with spill_folder(settings) as spill, session(settings) as connection:
        made = write_sorted(connection, spill, list(table.columns) + list(table.earlier_names), table.key, rows)
        if not (stem in folder.deliveries or row_count(made)) or _is_there(folder, table, stem, made):
            return None
        path = _free_name(folder, stem)
        with made.open("rb") as stream, written_whole(path) as target:
            shutil.copyfileobj(stream, target, 1 << 20)
        return path


def _is_there(folder: LandingFolder, table: TableSpec, stem: str, made: Path) -> bool:
    for path in folder.deliveries.get(stem, ()):
        try:
            with folder.look(path, table.file_limits).open() as stream:
                return same_rows(made, stream)
        except (StructureError, pa.ArrowException, OSError) as error:
            if is_fault(error):
                raise
            return False  # ingest says what is wrong with it
    return False


def _free_name(folder: LandingFolder, stem: str) -> UPath:
    newest = folder.names.files.get(stem, ())
    found = folder.layout.read(newest[0]) if newest else None
    number = found.number + 1 if found else 1
    while (path := folder.folder / folder.layout.written(stem, number)).exists():
        number += 1
    return path
