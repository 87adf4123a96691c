"""For the tests of pipelines: the features of a handful of rows, without a lake.

It is no part of ``contrail.api``, because no stage may use it.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from contrail.config.pipeline import function_of
from contrail.config.settings import EngineSettings
from contrail.config.spec import PipelineSpec, load_spec
from contrail.partitions import Partitions

Row = Mapping[str, Any]


def features_of(folder: Path, tables: Mapping[str, Sequence[Row]], day: date) -> list[dict[str, Any]]:
    """Build the features of a day from rows, as the stage ``features`` would after ``validate``.

    Args:
        folder: The pipeline's folder.
        tables: Rows of its tables. Columns that are left out are null, and so are tables without rows. A row of a table
            known ahead lies in the partition ``day``, or in its own ``partition_date``.
        day: The partition.

    Returns:
        The rows that ``build`` returns, by their key.

    Raises:
        SpecError: The pipeline is not valid.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    from contrail.adapters.engine import spark_session
    from contrail.lake import datasets
    from contrail.methods.windows import FeatureWindow

    spec = load_spec(folder / "pipeline.yaml")
    session = spark_session(EngineSettings())
    frames = {}
    for name in spec.tables:
        schema = from_arrow_schema(datasets.validated(spec, name).staged_schema())
        known = [_known(spec, name, row, day) for row in tables.get(name, ())]
        rows = [tuple(row.get(column) for column in schema.names) for row in known]
        frames[name] = session.createDataFrame(rows, schema)
    window = FeatureWindow(Partitions(day, day), spec.features.lookback_days, spec.timezone, spec.cutoff)
    found = function_of(folder, "features", "build")(frames, window).collect()
    return sorted((row.asDict() for row in found), key=lambda row: [str(row[name]) for name in spec.key])


def _known(spec: PipelineSpec, name: str, row: Row, day: date) -> Row:
    """The row with its partition, and the first day whose cut-off may use it."""
    table = spec.tables[name]
    if table.kind == "reference" or not table.known_at:
        return row
    local = row[table.known_at].astimezone(ZoneInfo(spec.timezone))
    cutoff = datetime.combine(local.date(), spec.cutoff, local.tzinfo)
    visible = local.date() if local < cutoff else local.date() + timedelta(days=1)
    partition = day if table.known_ahead else local.date()
    return {"partition_date": partition, "visible_from": visible, **row}
