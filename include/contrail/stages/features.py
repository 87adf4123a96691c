"""Build the features of every entity of a range from the validated tables, as one job on the engine.

This is the framework's part of the promise that nothing leaks. The stage reads only the look-back's partitions. No row
counts as known before its file can have been delivered. The pipeline receives only rows that the last cut-off of the
range may see.

The features themselves belong to the pipeline (``features.py``). ``contrail.methods.windows`` makes a window obey each
day's own cut-off.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from contrail.adapters.engine import spark_session
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError, SpecError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import later_outcomes
from contrail.lake.lake import Lake
from contrail.methods.windows import VISIBLE, FeatureWindow
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import FeaturesOptions as Options
from contrail.stages.results import FeaturesDetails, StageResult

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def execute(run: StageRun[Options]) -> StageResult[FeaturesDetails]:
    """Build and publish ``features`` for the range, in one commit.

    Raises:
        MissingInputError: naming the partitions whose entities are not validated. Nothing is published.
        EngineError: if the engine cannot be reached.
        InputsChangedError: when another run published a table meanwhile.
    """
    spec = run.pipeline.spec
    names = [f"validated_{table}" for table in spec.tables]
    snapshots = {name: run.lake.snapshot_id(name) for name in names}
    check_entities(run.pipeline, run.lake, run.partitions)
    holes = _holes(run)
    for table, ranges in holes.items():
        run.progress(f"{table} has no partition for {', '.join(ranges)}; windows that reach there have fewer rows")
    window = FeatureWindow(run.partitions, spec.features.lookback_days, spec.timezone, spec.cutoff)
    tables = {table: _read(run, table, snapshots[f"validated_{table}"]) for table in spec.tables}
    run.progress(f"building on {run.settings.engine.kind}")
    built = run.pipeline.function("features", "build")(tables, window)
    _write(run, built, window)
    run.progress("auditing and publishing")
    staged = run.staging / "features"
    for table in spec.tables:
        run.check_unchanged(
            f"validated_{table}", snapshots[f"validated_{table}"], reach_of(spec, table, run.partitions)
        )
    made_from = run.provenance(snapshots)
    published = run.lake.publish(
        datasets.features(spec), staged, run.partitions, made_from, each_partition=run.options.each_partition
    )
    rows = sum(state.rows for day, state in run.lake.partitions("features").items() if day in run.partitions)
    details = FeaturesDetails(engine=run.settings.engine.kind, look_back_missing=holes)
    return result_of(run, details, rows=rows, snapshots={"features": published})


def reach_of(spec: PipelineSpec, table: str, partitions: Partitions) -> Partitions:
    """The partitions of a table that the features of these partitions may read."""
    back = timedelta(days=spec.features.lookback_days)
    known = timedelta(days=0 if spec.tables[table].known_ahead else 1)
    return Partitions(partitions.start - back, partitions.end - known)


def check_entities(pipeline: Pipeline, lake: Lake, partitions: Partitions) -> None:
    """Check that every partition has its entities.

    Raises:
        MissingInputError: naming those that have none.
    """
    name = f"validated_{pipeline.spec.entities}"
    lake.table(name)
    published = lake.partitions(name)
    if missing := [day for day in partitions if day not in published]:
        ranges = ", ".join(str(days) for days in as_ranges(missing))
        raise MissingInputError(
            f"{pipeline.name}: {name} has no rows for {len(missing)} of {len(partitions)} partitions: {ranges}. "
            f"Nothing was built; features are as they were. Run ingest and validate for them, and see "
            f"contrail status --pipeline {pipeline.name}"
        )


def _holes(run: StageRun[Options]) -> dict[str, tuple[str, ...]]:
    """Missing partitions of the look-back, by table. Days before the first partition do not count."""
    spec = run.pipeline.spec
    found: dict[str, tuple[str, ...]] = {}
    for table in spec.daily_tables:
        if spec.tables[table].may_be_empty:
            continue
        published = run.lake.partitions(f"validated_{table}")
        reached = run.partitions.reaching_back(spec.features.lookback_days)
        missing: list[date] = [
            day for day in reached if spec.first_partition <= day < run.partitions.end and day not in published
        ]
        if missing:
            found[table] = tuple(str(days) for days in as_ranges(missing))
    return found


def _read(run: StageRun[Options], table: str, snapshot: int | None) -> "DataFrame":
    """The rows of a validated table that the range's last cut-off may see, as far back as a window may reach."""
    from pyspark.sql.pandas.types import from_arrow_schema

    spec = run.pipeline.spec
    session = spark_session(run.settings.engine)
    daily = spec.tables[table].kind == "daily"
    window = run.partitions.reaching_back(spec.features.lookback_days) if daily else None
    dataset = datasets.validated(spec, table)
    # Files older than a column lack it, and the engine would take the columns of one file for all files.
    schema = from_arrow_schema(run.lake.schema(dataset.name))
    files = run.lake.files(dataset.name, window, snapshot)
    if not files:
        return session.createDataFrame([], schema)
    rows = session.read.schema(schema).parquet(*files)
    if window:
        rows = _known(rows, run, spec.tables[table].known_ahead)
        if table == spec.label.table and (later := later_outcomes(run.lake, spec, window, snapshot)).num_rows:
            again = [tuple(row.values()) for row in later.to_pylist()]
            keys = session.createDataFrame(again, from_arrow_schema(later.schema))
            rows = rows.join(keys, on=later.column_names, how="left_anti")
    # Gather the files once. Feature code reads a table about 20 times. Reading 365 small files each time cost 5 s of
    # the 15 s of a year.
    gathered = _folder(run, f"inputs/{table}")
    rows.write.mode("overwrite").parquet(gathered)
    return session.read.parquet(gathered)


def _known(rows: "DataFrame", run: StageRun[Options], known_ahead: bool) -> "DataFrame":
    from pyspark.sql import functions as F

    if not known_ahead:
        # A file of day D is complete when D is over. A row in it may claim to be known earlier. A long range could use
        # such a row, but a run for that day alone could not.
        rows = rows.withColumn(VISIBLE, F.greatest(F.col(VISIBLE), F.date_add(PARTITION, 1)))
    return rows.where(F.col(VISIBLE) <= F.lit(run.partitions.end))


def _named(name: str) -> "Column":
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")


def _folder(run: StageRun[Options], name: str) -> str:
    folder = run.staging / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _write(run: StageRun[Options], built: "DataFrame", window: FeatureWindow) -> None:
    from pyspark.errors import AnalysisException
    from pyspark.sql import functions as F

    columns = datasets.features(run.pipeline.spec).columns
    with_cutoff = built.withColumn("cutoff_at", window.cutoff_at(F.col(PARTITION)))
    # Leave out columns that the spec does not list. The list in pipeline.yaml is what the model sees.
    typed = [
        _named(name).cast("double") if column.type == "float" else _named(name) for name, column in columns.items()
    ]
    try:
        with_cutoff.select(*typed).write.mode("overwrite").parquet(_folder(run, "features"))
    except AnalysisException as error:
        # Compare the columns only now. Naming the columns of a long plan takes half as long as a day's run.
        missing = [name for name in columns if name not in with_cutoff.columns]
        if not missing:
            raise
        raise SpecError(
            f"{run.pipeline.folder / 'features.py'}: build() returned no {', '.join(missing)}; pipeline.yaml lists them "
            "under features.columns. Nothing was published"
        ) from error
