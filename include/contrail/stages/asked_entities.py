"""Whether a pipeline's ``build`` returned the entities that it was asked for: all of them, and no other.

A row that an inner join loses is a prediction that nobody misses.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION
from contrail.lake.parquet import read_folder
from contrail.methods.windows import VISIBLE
from contrail.stages.base import StageRun

_KEPT = "Nothing was published; features are as they were."


def check_asked(run: StageRun[Any], built: UPath, snapshot: int | None) -> None:
    """Compare the keys of built features with the entities that were known at their cut-off.

    Args:
        run: Names the pipeline and its partitions.
        built: Folder of the Parquet files that the engine wrote.
        snapshot: Of the validated entities.

    Raises:
        SpecError: with the numbers, an example, and what in ``features.py`` to look at.
    """
    spec = run.pipeline.spec
    keys = list(dict.fromkeys([PARTITION, *spec.key]))
    entities = run.lake.scan(f"validated_{spec.entities}", run.partitions, [*keys, VISIBLE], snapshot)
    asked = entities.filter(pc.less_equal(entities.column(VISIBLE), entities.column(PARTITION))).select(keys)
    try:
        returned = _keys(built, asked.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return  # the publisher's audit names every column of another type
    left_out = _without(asked, returned)
    if left_out.num_rows:
        raise SpecError(
            f"{_place(run)} left out {left_out.num_rows} of {asked.num_rows} rows of {spec.entities}, for example "
            f"{_first(left_out)}. "
            "Each needs a row of features, or nobody would notice that it has no prediction. A left join keeps the rows "
            f"whose other table has none. {_KEPT}"
        )
    not_asked = _without(returned, asked)
    if not_asked.num_rows:
        raise SpecError(
            f"{_place(run)} returned {not_asked.num_rows} rows that are no {spec.entities} of {run.partitions} known at "
            f"their cut-off, for example {_first(not_asked)}. Begin with contrail.api.asked_rows. {_KEPT}"
        )


def _place(run: StageRun[Any]) -> str:
    return f"{run.pipeline.folder / 'features.py'}: build()"


def _keys(built: UPath, schema: pa.Schema) -> pa.Table:
    try:
        return read_folder(built, schema.names).cast(schema)
    except FileNotFoundError:  # an engine writes no file of no rows
        return schema.empty_table()


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """The rows of the first table that the second lacks."""
    return rows.join(others, keys=rows.column_names, join_type="left anti")


def _first(rows: pa.Table) -> dict[str, str]:
    return {name: str(rows[name][0]) for name in rows.column_names}
