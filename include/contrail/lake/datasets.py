"""The tables that rows pass through, from landed files to predictions, derived from a pipeline's spec.

With ``records`` the one source of every table's schema: the publisher's audit, Iceberg's column docs and the analysts'
docs all come from here. No data are read here.
"""

from dataclasses import dataclass, replace

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnSpec, ColumnType

_TYPES: dict[ColumnType, tuple[pa.DataType, type[PrimitiveType], str]] = {
    "string": (pa.string(), StringType, "VARCHAR"),
    "int": (pa.int64(), LongType, "BIGINT"),
    "float": (pa.float64(), DoubleType, "DOUBLE"),
    "bool": (pa.bool_(), BooleanType, "BOOLEAN"),
    "date": (pa.date32(), DateType, "DATE"),
    "timestamp": (pa.timestamp("us", "UTC"), TimestamptzType, "TIMESTAMPTZ"),
}

PARTITION = "partition_date"


def sql_type(kind: ColumnType) -> str:
    """DuckDB's name of a column type."""
    return _TYPES[kind][2]


@dataclass(frozen=True)
class Dataset:
    """A table of the lake: its columns, its key, and the columns that it is partitioned by.

    ``key`` is unique within a partition; the publisher's audit checks it. No ``partition_by``: replaced whole.
    """

    name: str
    doc: str
    columns: dict[str, ColumnSpec]
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = (PARTITION,)

    def arrow_schema(self) -> pa.Schema:
        """The schema of published rows."""
        return pa.schema([pa.field(n, _TYPES[c.type][0], nullable=not c.required) for n, c in self.columns.items()])

    def staged_schema(self) -> pa.Schema:
        """The schema that staged rows must have: whether required values are there is for the audit to say."""
        return pa.schema([field.with_nullable(True) for field in self.arrow_schema()])

    def iceberg_schema(self) -> Schema:
        """The same as an Iceberg schema, with each column's documentation."""
        return Schema(
            *(
                NestedField(i, name, _TYPES[column.type][1](), required=column.required, doc=column.doc)
                for i, (name, column) in enumerate(self.columns.items(), start=1)
            )
        )


def documented(kind: ColumnType, doc: str, required: bool = True) -> ColumnSpec:
    """A column that the project documents itself."""
    return ColumnSpec(type=kind, required=required, doc=doc)


PARTITION_COLUMN = {PARTITION: documented("date", "Daily partition, a local date of the pipeline.")}


def raw(spec: PipelineSpec, table: str) -> Dataset:
    """``raw_<table>``: every field as it was landed, as text, with the file and line that it came from."""
    source = spec.tables[table]
    daily = source.kind == "daily"
    columns = {name: documented("string", column.doc, required=False) for name, column in source.columns.items()}
    origin = {
        "_file": documented("string", "Landed file that the row came from."),
        "_line": documented("int", "Line in that file; the header is line 1."),
        "_sha256": documented("string", "SHA-256 of that file."),
    }
    return Dataset(
        name=f"raw_{table}",
        doc=f"{source.doc} As landed, all text.".strip(),
        columns={**(PARTITION_COLUMN if daily else {}), **columns, **origin},
        key=("_line",),
        partition_by=(PARTITION,) if daily else (),
    )


def validated(spec: PipelineSpec, table: str) -> Dataset:
    """``validated_<table>``: typed rows that keep their contract."""
    source = spec.tables[table]
    if source.kind == "reference":
        return Dataset(f"validated_{table}", source.doc, dict(source.columns), source.key, ())
    visible = {"visible_from": documented("date", "First partition whose cut-off may use the row.")}
    return Dataset(
        name=f"validated_{table}",
        doc=source.doc,
        columns={**PARTITION_COLUMN, **source.columns, **visible},
        key=source.key,
    )


def quarantine(_: PipelineSpec) -> Dataset:
    """``quarantine``: rows that broke a rule, as they were landed, with the reason."""
    return Dataset(
        name="quarantine",
        doc="Rows that broke a rule of their contract, kept as landed. Mend the file and land it again.",
        columns={
            **PARTITION_COLUMN,
            "table_name": documented("string", "Landed table of the row."),
            "rule": documented("string", "Name of the first rule that the row broke."),
            "detail": documented("string", "What was expected and what was found."),
            "row": documented("string", "The row as landed, as JSON."),
            "file": documented("string", "Landed file of the row."),
            "line": documented("int", "Line in that file."),
            "run_id": documented("string", "Run that set the row aside."),
            "quarantined_at": documented("timestamp", "When, UTC."),
        },
        key=("table_name", "file", "line"),
        partition_by=(PARTITION, "table_name"),
    )


def refusals(_: PipelineSpec) -> Dataset:
    """``refusals``: files and partitions that were refused whole; empty again once they are mended."""
    return Dataset(
        name="refusals",
        doc="Files and partitions refused whole, with the rule; a row goes away when a mended one is accepted.",
        columns={
            **PARTITION_COLUMN,
            "stage": documented("string", "Stage that refused: ingest or validate."),
            "table_name": documented("string", "Landed table."),
            "rule": documented("string", "Rule that was broken."),
            "detail": documented("string", "What was found, where, and what to do."),
            "file": documented("string", "Landed file.", required=False),
            "kept_uri": documented("string", "Where a copy of the refused file is kept.", required=False),
            "run_id": documented("string", "Run that refused."),
            "refused_at": documented("timestamp", "When, UTC."),
        },
        key=("stage", "table_name", "rule"),
        partition_by=(PARTITION, "stage", "table_name"),
    )


def features(spec: PipelineSpec) -> Dataset:
    """``features``: one row an entity, built from what was known at its partition's cut-off."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    feature_columns = {
        name: documented("string" if column.kind == "category" else "float", column.doc, required=False)
        for name, column in spec.features.columns.items()
        if name not in key_columns
    }
    return Dataset(
        name="features",
        doc="Features of each entity, from what was known before cutoff_at.",
        columns={
            **PARTITION_COLUMN,
            **key_columns,
            "cutoff_at": documented("timestamp", "Only rows known before this instant (UTC) were used."),
            **feature_columns,
        },
        key=spec.key,
    )


def predictions(spec: PipelineSpec) -> Dataset:
    """``predictions``: the analysts' table, one row an entity and partition."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    if spec.task == "binary":
        outcome = {
            "probability": documented("float", f"Probability that {spec.label.expression}, 0 to 1."),
            "decision": documented("bool", f"True when the probability is at least {spec.score.threshold}."),
        }
    else:
        outcome = {"prediction": documented("float", f"Predicted {spec.label.expression}.")}
    reasons: dict[str, ColumnSpec] = {}
    for rank in range(1, spec.score.reasons + 1):
        reasons |= {
            f"reason_{rank}": documented("string", f"Feature with contribution number {rank} by size.", required=False),
            f"reason_{rank}_value": documented("string", "Its value for this row; null when missing.", required=False),
            f"reason_{rank}_contribution": documented(
                "float", "Its part of the score (log-odds, or label units for a regression).", required=False
            ),
        }
    return Dataset(
        name="predictions",
        doc=f"{spec.title}: one prediction an entity, replaced a partition at a time in one atomic commit.",
        columns={
            **PARTITION_COLUMN,
            **key_columns,
            **outcome,
            **reasons,
            "model_name": documented("string", "Registered model."),
            "model_version": documented("string", "Its version in the registry."),
            "feature_snapshot": documented("int", "Iceberg snapshot of `features` that was scored."),
            "scoring_run": documented("string", "Run that wrote the row."),
            "scored_at": documented("timestamp", "When, UTC."),
        },
        key=spec.key,
    )


def predictions_shadow(spec: PipelineSpec) -> Dataset:
    """``predictions_shadow``: the challenger's predictions of the same entities; never the analysts'."""
    return replace(
        predictions(spec),
        name="predictions_shadow",
        doc="The challenger's predictions beside the champion's, to compare when labels arrive; not for use.",
    )
