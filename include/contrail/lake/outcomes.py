"""The view ``predictions_with_outcomes``: each prediction beside what came true.

An outcome is the label as ``labels`` defines it for training and measuring. How good the predictions are belongs to
``performance``.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import duckdb
import pyarrow as pa

from contrail.config.names import listed, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets, readers
from contrail.lake.datasets import PARTITION, Dataset, documented
from contrail.lake.labels import labels_sql, mature_days
from contrail.lake.lake import Lake
from contrail.lake.pseudonyms import Pseudonyms
from contrail.partitions import Partitions

NAME, SOURCE = "predictions_with_outcomes", "predictions"
_OUTCOME = "label"


def dataset(spec: PipelineSpec) -> Dataset:
    """Document the view's columns."""
    predictions = datasets.predictions(spec)
    column = documented(
        "float",
        f"What came true: {spec.label.expression}. Null until the labels of the day are mature, and where none has arrived "
        "until then.",
        required=False,
    )
    return replace(
        predictions,
        name=NAME,
        doc=f"{spec.title}: one prediction per entity, beside its outcome once it is known.",
        columns={**predictions.columns, _OUTCOME: column},
    )


def label_table(spec: PipelineSpec) -> str:
    """The table from which the outcomes come."""
    return f"validated_{spec.label.table}"


def tables(spec: PipelineSpec) -> list[str]:
    """The tables that the view reads."""
    return list(dict.fromkeys((SOURCE, f"validated_{spec.entities}", label_table(spec))))


def create_view(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    spec: PipelineSpec,
    tables: Mapping[str, tuple[pa.Schema, list[str]]],
    label_snapshot: int | None,
    pseudonyms: Pseudonyms | None,
) -> list[str]:
    """Make the view in a session, and return the files that it reads.

    Args:
        connection: Gets the view.
        lake: Has the tables.
        spec: Defines the label.
        tables: The schema and the files of each table that it reads.
        label_snapshot: The snapshot of the label table; None where it has none.
        pseudonyms: What is shown of persons; None for all.
    """
    # Named within the view alone. Outcomes are found by real keys, so the values of persons are hidden only after that.
    made = {name: readers.rows_sql(connection, rows, uris) for name, (rows, uris) in tables.items()}
    named = ", ".join(f"{quoted(name)} AS ({sql})" for name, (sql, _) in made.items())
    labels = labels_sql(spec, _mature(lake, spec, label_snapshot), None)
    # An outcome that is made of a personal column is of a person.
    hidden = pseudonyms and spec.tables[spec.label.table].personal & _words(spec.label.expression)
    rows = (
        f"SELECT p.*, {'CAST(NULL AS DOUBLE)' if hidden else 'l.label'} AS {_OUTCOME} FROM {SOURCE} p "
        f"LEFT JOIN ({labels}) l USING ({PARTITION}, {listed(spec.key)})"
    )
    schema = tables[SOURCE][0].append(pa.field(_OUTCOME, pa.float64()))
    select = pseudonyms.select(SOURCE, schema) if pseudonyms else "SELECT *"
    connection.execute(f"CREATE VIEW {NAME} AS WITH {named} {select} FROM ({rows})")
    return [path for _, paths in made.values() for path in paths]


def _words(expression: str) -> set[str]:
    return set(re.findall(r"\w+", expression))


def _mature(lake: Lake, spec: PipelineSpec, label_snapshot: int | None) -> list[date]:
    """The days whose labels are all known."""
    ranges = [found for name in tables(spec) if (found := lake.ends(name))]
    if label_snapshot is None or not ranges:
        return []
    days = Partitions(min(one.start for one in ranges), max(one.end for one in ranges))
    return mature_days(lake, spec, days, snapshot=label_snapshot)
