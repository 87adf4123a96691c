"""Build the features of every entity of a range from the validated tables, as one job on the engine.

This is the framework's part of the promise that nothing leaks. The stage reads only the look-back's partitions. No row
counts as known before its file can have been delivered. The pipeline receives only rows that the last cut-off of the
range may see.

The features themselves belong to the pipeline (``features.py``). ``contrail.methods.windows`` makes a window obey each
day's own cut-off.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from upath import UPath

from contrail.adapters.engine import column as named
from contrail.adapters.engine import forget_kept, out_of_memory, read_files, session_of
from contrail.adapters.executors import has_executors
from contrail.adapters.final_files import write_final
from contrail.adapters.stalled import awaited
from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError, SpecError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import later_outcomes
from contrail.lake.lake import Lake
from contrail.methods.windows import VISIBLE, FeatureWindow
from contrail.partitions import Partitions, as_ranges
from contrail.stages.asked_entities import check_asked
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import FeaturesOptions as Options
from contrail.stages.refusals import check_validated
from contrail.stages.results import FeaturesDetails, StageResult
from contrail.stages.staleness import features_reach

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# What the embedded engine takes for a feature of a row while it joins and groups. Of 53 features, 300,000 rows fit 512 MiB.
_BYTES_A_VALUE = 32
# A part that is joined and grouped through files has so many times the rows that fit.
_ON_DISK = 4


def execute(run: StageRun[Options]) -> StageResult[FeaturesDetails]:
    """Build and publish ``features`` for the range, in one commit.

    Raises:
        MissingInputError: naming the partitions whose entities are not validated. Nothing is published.
        EngineError: if the engine cannot be reached.
        InputsChangedError: when another run published a table meanwhile.
    """
    spec = run.pipeline.spec
    empty = check_entities(run.pipeline, run.lake, run.partitions)
    for table in spec.tables:
        check_validated(spec.name, run.lake, table)
    names = [f"validated_{table}" for table in spec.tables]
    snapshots = {name: run.lake.snapshot_id(name) for name in names}
    holes = _holes(run)
    for table, ranges in holes.items():
        run.progress(f"{table} has no partition for {', '.join(ranges)}; windows that reach there have fewer rows")
    dataset = datasets.features(spec)
    # The engine would write no file of no rows.
    nothing = len(empty) == len(run.partitions)
    staged = dataset.staged_schema().empty_table() if nothing else _build(run, snapshots)
    run.progress("auditing and publishing")
    for table in spec.tables:
        run.check_unchanged(
            f"validated_{table}", snapshots[f"validated_{table}"], features_reach(spec, table, run.partitions)
        )
    made_from = run.provenance(snapshots)
    published = run.lake.publish(dataset, staged, run.partitions, made_from, each_partition=run.options.each_partition)
    rows = sum(state.rows for state in run.lake.partitions("features", run.partitions).values())
    details = FeaturesDetails(engine=run.settings.engine.kind, look_back_missing=holes)
    return result_of(run, details, rows=rows, snapshots={"features": published})


def _build(run: StageRun[Options], snapshots: Mapping[str, int | None]) -> UPath:
    """Build the features of the range on the engine, and return the folder of their files."""
    parts = parts_of(run)
    session = session_of(run.settings, sparing=exceeds_memory(run))
    for number, part in enumerate(parts, start=1):
        of = f": {part}, part {number} of {len(parts)}" if len(parts) > 1 else ""
        run.progress(f"building on {run.settings.engine.kind}{of}")
        try:
            own = replace(run, partitions=part)
            build_from(own, sources(own, snapshots), f"features/{part}" if of else "features")
        finally:
            forget_kept(session)
    check_asked(run, run.staging / "features", snapshots[f"validated_{run.pipeline.spec.entities}"])
    return run.staging / "features"


def exceeds_memory(run: StageRun[Options]) -> bool:
    """Say whether the embedded engine must join and group the range's rows through files."""
    return run.settings.engine.kind == "sail" and sum(_entities(run).values()) > _fitting(run)


def parts_of(run: StageRun[Options]) -> list[Partitions]:
    """Split the range into parts that the embedded engine can build within the memory limit. A day is never split."""
    days = run.partitions
    if not exceeds_memory(run):
        return [days]
    starts, rows, found = [days.start], 0, _entities(run)
    for day in days:
        if rows and rows + found[day] > _ON_DISK * _fitting(run):
            starts.append(day)
            rows = 0
        rows += found[day]
    ends = [*(start - timedelta(days=1) for start in starts[1:]), days.end]
    return [Partitions(*part) for part in zip(starts, ends, strict=True)]


def _fitting(run: StageRun[Options]) -> int:
    """The rows of features that the embedded engine can join and group in memory."""
    return run.settings.memory_bytes // (_BYTES_A_VALUE * len(run.pipeline.spec.features.columns))


def _entities(run: StageRun[Options]) -> dict[date, int]:
    states = run.lake.partitions(f"validated_{run.pipeline.spec.entities}", run.partitions)
    return {day: states[day].rows if day in states else 0 for day in run.partitions}


def sources(
    run: StageRun[Options], snapshots: Mapping[str, int | None], earlier: Mapping[str, Mapping[date, int]] | None = None
) -> "dict[str, DataFrame]":
    """Read what the pipeline's ``build`` receives for the range: the rows that its last cut-off may see.

    Args:
        run: Its ``staging`` takes a copy of the rows, where the engine is embedded.
        snapshots: Of each ``validated_<table>``.
        earlier: Snapshots of days that are to be read as they were before, by landed table and partition.
    """
    then = earlier or {}
    return {
        table: _read(run, table, snapshots[f"validated_{table}"], then.get(table, {}))
        for table in run.pipeline.spec.tables
    }


def build_from(run: StageRun[Options], tables: "dict[str, DataFrame]", folder: str) -> None:
    """Build the features of the range from these rows, into a folder of the run's ``staging``. Nothing is published."""
    spec = run.pipeline.spec
    window = FeatureWindow(run.partitions, spec.features.lookback_days, spec.timezone, spec.cutoff)
    _write(run, run.pipeline.function("features", "build")(tables, window), window, folder)


def check_entities(pipeline: Pipeline, lake: Lake, partitions: Partitions) -> list[date]:
    """Check that every partition has its entities, or was validated and may have none. Return those that have none.

    Raises:
        MissingInputError: naming those that have none.
    """
    entities, kept = pipeline.spec.entities, "Nothing was built; features are as they were."
    check_validated(pipeline.name, lake, entities)
    name = f"validated_{entities}"
    published, lineage = lake.partitions(name, partitions), lake.lineage(name)
    without = [day for day in partitions if day not in published]
    if missing := [day for day in without if not lineage.maker(day)]:
        ranges = ", ".join(str(days) for days in as_ranges(missing))
        raise MissingInputError(
            f"{pipeline.name}: {name} has no rows for {len(missing)} of {len(partitions)} partitions: {ranges}. {kept} "
            f"Validate them, and see contrail status --pipeline {pipeline.name}:\n"
            f"  contrail ingest -p {pipeline.name} --from {missing[0]} --to {missing[-1]}\n"
            f"  contrail validate -p {pipeline.name} --from {missing[0]} --to {missing[-1]}"
        )
    if without and not pipeline.spec.tables[entities].may_be_empty:
        ranges = ", ".join(str(days) for days in as_ranges(without))
        raise MissingInputError(
            f"{pipeline.name}: {ranges} of {entities} passed validation without a single good row. {kept} See what was "
            f'set aside: contrail query -p {pipeline.name} "SELECT * FROM quarantine". If a day may have no rows, set '
            f"tables.{entities}.may_be_empty: true in {pipeline.folder / 'pipeline.yaml'}"
        )
    return without


def _holes(run: StageRun[Options]) -> dict[str, tuple[str, ...]]:
    """Missing partitions of the look-back, by table. Days before the first partition do not count."""
    spec = run.pipeline.spec
    found: dict[str, tuple[str, ...]] = {}
    for table in spec.daily_tables:
        if spec.tables[table].may_be_empty:
            continue
        reached = run.partitions.reaching_back(spec.features.lookback_days)
        published = run.lake.partitions(f"validated_{table}", reached)
        missing: list[date] = [
            day for day in reached if spec.first_partition <= day < run.partitions.end and day not in published
        ]
        if missing:
            found[table] = tuple(str(days) for days in as_ranges(missing))
    return found


def _read(run: StageRun[Options], table: str, snapshot: int | None, earlier: Mapping[date, int]) -> "DataFrame":
    """The rows of a validated table that the range's last cut-off may see, as far back as a window may reach."""
    from pyspark.sql.pandas.types import from_arrow_schema

    spec = run.pipeline.spec
    session = session_of(run.settings)
    daily = spec.tables[table].kind == "daily"
    window = run.partitions.reaching_back(spec.features.lookback_days) if daily else None
    dataset = datasets.validated(spec, table)
    schema = run.lake.schema(dataset.name)
    files = _files(run.lake, dataset.name, window, snapshot, earlier)
    columns = from_arrow_schema(schema)
    if not files:
        return session.createDataFrame([], columns)
    rows = read_files(session, files, schema)
    if window:
        rows = _known(rows, run, spec.tables[table].known_ahead)
        if table == spec.label.table:
            rows = _first_known(rows, run, window, snapshot)
    if run.settings.engine.kind == "spark":
        return rows  # it keeps what is read more than once
    # Gather the files once. The embedded engine keeps nothing, and reads a table for each grain. Reading 365 small files
    # each time costs 7 of 19 seconds of CPU of a year.
    gathered = _folder(run, f"inputs/{table}")
    with awaited(run.settings):
        rows.write.mode("overwrite").parquet(gathered)
    # Of no rows at all an engine may write no file, which would then say nothing of the columns.
    return session.read.schema(columns).parquet(gathered)


def _files(
    lake: Lake, name: str, window: Partitions | None, snapshot: int | None, earlier: Mapping[date, int]
) -> list[str]:
    """The files of a window: of the days in ``earlier`` those of their own snapshots."""
    if window is None or not earlier:
        return lake.files(name, window, snapshot)
    found = []
    for own in {snapshot, *earlier.values()}:
        days = as_ranges(day for day in window if earlier.get(day, snapshot) == own)
        found += [file for each in days for file in lake.files(name, each, own)]
    return found


def _known(rows: "DataFrame", run: StageRun[Options], known_ahead: bool) -> "DataFrame":
    from pyspark.sql import functions as F

    if not known_ahead:
        # A file of day D is complete when D is over. A row in it may claim to be known earlier. A long range could use
        # such a row, but a run for that day alone could not.
        rows = rows.withColumn(VISIBLE, F.greatest(F.col(VISIBLE), F.date_add(PARTITION, 1)))
    return rows.where(F.col(VISIBLE) <= F.lit(run.partitions.end))


def _first_known(rows: "DataFrame", run: StageRun[Options], window: Partitions, snapshot: int | None) -> "DataFrame":
    """Leave out the outcomes whose key has an earlier one. A file tells them to the engine, because they may be many."""
    from pyspark.sql.pandas.types import from_arrow_schema

    folder, found = UPath(_folder(run, "inputs/later_outcomes")), 0
    folder.mkdir(exist_ok=True)
    with (
        later_outcomes(run.lake, run.pipeline.spec, window, snapshot) as later,
        (folder / "rows.parquet").open("wb") as stream,
        pq.ParquetWriter(stream, later.schema) as writer,
    ):
        for batch in later:
            writer.write_batch(batch)
            found += len(batch)
    if not found:
        return rows
    keys = session_of(run.settings).read.schema(from_arrow_schema(later.schema)).parquet(str(folder))
    return rows.join(keys, on=later.schema.names, how="left_anti")


def _folder(run: StageRun[Options], name: str) -> str:
    folder = run.staging / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _write(run: StageRun[Options], built: "DataFrame", window: FeatureWindow, target: str) -> None:
    from pyspark.errors import AnalysisException, PySparkException
    from pyspark.sql import functions as F

    dataset = datasets.features(run.pipeline.spec)
    columns = dataset.columns
    with_cutoff = built.withColumn("cutoff_at", window.cutoff_at(F.col(PARTITION)))
    # Leave out columns that the spec does not list. The list in pipeline.yaml is what the model sees.
    typed = [named(name).cast("double") if column.type == "float" else named(name) for name, column in columns.items()]
    rows, folder = with_cutoff.select(*typed), _folder(run, target)
    try:
        if has_executors(run.settings.engine):
            write_final(rows, run.lake.field_ids(dataset), dataset.order, folder)
        else:
            with awaited(run.settings):
                rows.write.mode("overwrite").parquet(folder)
    except PySparkException as error:
        if memory := out_of_memory(error, run.settings):
            raise memory from error
        if not isinstance(error, AnalysisException):
            raise
        # Compare the columns only now. Naming the columns of a long plan takes half as long as a day's run.
        missing = [name for name in columns if name not in with_cutoff.columns]
        if not missing:
            raise
        raise SpecError(
            f"{run.pipeline.folder / 'features.py'}: build() returned no {', '.join(missing)}; pipeline.yaml lists them "
            "under features.columns. Nothing was published"
        ) from error
