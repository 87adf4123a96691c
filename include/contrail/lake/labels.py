"""Labels and training rows: features, joined to the outcomes that were known at a cut-off."""

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


def _label_query(spec: PipelineSpec, as_of: date | None) -> str:
    keys = ", ".join(spec.key)
    selected = ", ".join(f"e.{key}" for key in spec.key)
    known = f"AND visible_from <= DATE '{as_of}'" if as_of else ""
    # Without this limit, a range of days would see labels that a single day does not see.
    mature = f"o.{PARTITION} <= e.{PARTITION} + {spec.label.mature_after_days}"
    return f"""
        SELECT e.{PARTITION}, {selected}, CAST(({spec.label.expression}) AS DOUBLE) AS label
        FROM (SELECT {PARTITION}, {keys} FROM validated_{spec.entities}) e
        JOIN (SELECT * FROM validated_{spec.label.table} WHERE true {known}) o USING ({keys})
        WHERE ({spec.label.expression}) IS NOT NULL AND {mature}"""


def _tables(lake: Lake, spec: PipelineSpec, partitions: Partitions) -> dict[str, Partitions]:
    """Return the tables to read, and the partitions of each. A label may arrive until its partition is mature."""
    mature = timedelta(days=spec.label.mature_after_days)
    wanted = {
        f"validated_{spec.entities}": partitions,
        f"validated_{spec.label.table}": Partitions(partitions.start, partitions.end + mature),
        "features": partitions,
    }
    for name in list(wanted)[:2]:
        lake.table(name)
    return wanted


def mature_days(lake: Lake, spec: PipelineSpec, partitions: Partitions) -> list[date]:
    """List the entity partitions whose labels are all known.

    The label table then has every partition up to the one in which the labels are mature.

    Raises:
        MissingInputError: if the label table does not exist.
    """
    later = range(spec.label.mature_after_days + 1)
    window = Partitions(partitions.start, partitions.end + timedelta(days=spec.label.mature_after_days))
    there = set(pc.unique(lake.scan(f"validated_{spec.label.table}", window, [PARTITION]).column(0)).to_pylist())
    return [day for day in partitions if all(day + timedelta(days=after) in there for after in later)]


def read_labels(lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None) -> pa.Table:
    """Read the labels of the entities of these partitions.

    The columns are ``partition_date``, the key and ``label`` (float, never null). A label that became known only after
    its partition was mature is left out.

    Args:
        lake: Has the validated tables.
        spec: Defines the label, and until when it may arrive.
        partitions: Entity partitions.
        as_of: Use only labels that the cut-off of this partition may see; None uses all.

    Raises:
        MissingInputError: if a validated table does not exist.
    """
    tables = _tables(lake, spec, partitions)
    with lake.connect(tables, tables) as connection:
        order = ", ".join([PARTITION, *spec.key])
        return connection.sql(f"{_label_query(spec, as_of)} ORDER BY {order}").to_arrow_table()


def read_training_rows(lake: Lake, spec: PipelineSpec, partitions: Partitions, as_of: date | None = None) -> pa.Table:
    """Read the feature rows that have a label. Partition and key sort them, so the same inputs give the same bytes.

    The columns are those of ``features`` and ``label``. See ``read_labels`` for ``as_of``.

    Raises:
        MissingInputError: if ``features`` or a validated table does not exist.
    """
    tables = _tables(lake, spec, partitions)
    lake.table("features")
    with lake.connect(tables, tables) as connection:
        columns = ", ".join([PARTITION, *spec.key])
        query = f"""
            SELECT f.*, l.label FROM features f
            JOIN ({_label_query(spec, as_of)}) l USING ({columns}) ORDER BY {columns}"""
        return connection.sql(query).to_arrow_table()
