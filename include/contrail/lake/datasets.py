"""The tables that rows pass through, from landed files to predictions, derived from a pipeline's spec.

This module and ``records`` define every table's schema. The publisher's audit, Iceberg's column docs and the analysts'
docs all come from here. This module reads no data.
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

_TYPES: dict[ColumnType, tuple[pa.DataType, type[PrimitiveType]]] = {
    "string": (pa.string(), StringType),
    "int": (pa.int64(), LongType),
    "float": (pa.float64(), DoubleType),
    "bool": (pa.bool_(), BooleanType),
    "date": (pa.date32(), DateType),
    "timestamp": (pa.timestamp("us", "UTC"), TimestamptzType),
}

PARTITION = "partition_date"


@dataclass(frozen=True)
class Dataset:
    """A table of the lake, with its columns, its key and its partition columns.

    ``key`` is unique within a partition, and the publisher's audit checks it. A table without ``partition_by`` is
    replaced whole. ``receipts`` are the columns that say who made a row and when; all others are its content.
    ``published_by`` has the commands that publish its rows.
    """

    name: str
    doc: str
    columns: dict[str, ColumnSpec]
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = (PARTITION,)
    receipts: tuple[str, ...] = ()
    published_by: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """The columns by which published rows are sorted: those of the partition, then the key."""
        return tuple(dict.fromkeys([*self.partition_by, *(self.key or self.columns)]))

    def arrow_schema(self) -> pa.Schema:
        """Return the schema of published rows."""
        return pa.schema([pa.field(n, _TYPES[c.type][0], nullable=not c.required) for n, c in self.columns.items()])

    def staged_schema(self) -> pa.Schema:
        """Return the schema of staged rows. Every column may be null here, because the audit checks required values."""
        return pa.schema([field.with_nullable(True) for field in self.arrow_schema()])

    def iceberg_schema(self) -> Schema:
        """Return the Iceberg schema, with each column's documentation."""
        return Schema(
            *(
                NestedField(i, name, _TYPES[column.type][1](), required=column.required, doc=column.doc)
                for i, (name, column) in enumerate(self.columns.items(), start=1)
            )
        )


def documented(
    kind: ColumnType, doc: str, required: bool = True, renamed_from: tuple[str, ...] = (), personal: bool = False
) -> ColumnSpec:
    """Make a column that Contrail defines, not the pipeline's spec."""
    return ColumnSpec(type=kind, required=required, doc=doc, renamed_from=renamed_from, personal=personal)


PARTITION_COLUMN = {PARTITION: documented("date", "Daily partition: a date in the pipeline's time zone.")}


def raw(spec: PipelineSpec, table: str) -> Dataset:
    """``raw_<table>``: every landed field as text, with the file and line that it came from."""
    source = spec.tables[table]
    daily = source.kind == "daily"
    columns = {
        name: documented("string", column.doc, False, column.renamed_from, column.personal)
        for name, column in source.columns.items()
    }
    origin = {
        "_file": documented("string", "Landed file that the row came from."),
        "_line": documented("int", "Line of the row in that file; its number in a Parquet file."),
        "_sha256": documented("string", "SHA-256 of that file, or of all that the partition came from."),
    }
    return Dataset(
        name=f"raw_{table}",
        doc=f"{source.doc} Rows as landed, all text.".strip(),
        columns={**(PARTITION_COLUMN if daily else {}), **columns, **origin},
        key=("_file", "_line") if source.file_names.several else ("_line",),
        partition_by=(PARTITION,) if daily else (),
        published_by=("ingest",),
    )


def validated(spec: PipelineSpec, table: str) -> Dataset:
    """``validated_<table>``: typed rows that meet their contract."""
    source = spec.tables[table]
    if source.kind == "reference":
        columns, made_by = dict(source.columns), ("validate",)
        return Dataset(f"validated_{table}", source.doc, columns, source.key, (), published_by=made_by)
    visible = {"visible_from": documented("date", "First partition whose features may use the row.")}
    return Dataset(
        name=f"validated_{table}",
        doc=source.doc,
        columns={**PARTITION_COLUMN, **source.columns, **visible},
        key=source.key,
        published_by=("validate",),
    )


def quarantine(_: PipelineSpec) -> Dataset:
    """``quarantine``: landed rows that broke a rule, with the reason."""
    return Dataset(
        name="quarantine",
        doc="Rows that broke a rule of their contract. Mend them with contrail replay, or correct the file and land it again.",
        columns={
            **PARTITION_COLUMN,
            "table_name": documented("string", "Landed table that the row belongs to."),
            "rule": documented("string", "Name of the first rule that the row broke."),
            "detail": documented("string", "What was expected and what was found."),
            "row": documented("string", "The row as landed, or as it was mended last, as JSON."),
            "file": documented("string", "Landed file that holds the row."),
            "line": documented("int", "Line of the row in that file."),
            "run_id": documented("string", "Run that quarantined the row."),
            "quarantined_at": documented("timestamp", "Time at which the row was quarantined, UTC."),
        },
        key=("table_name", "file", "line"),
        partition_by=(PARTITION, "table_name"),
        receipts=("run_id", "quarantined_at"),
        published_by=("validate",),
    )


def refusals(_: PipelineSpec) -> Dataset:
    """``refusals``: files and partitions that a stage refused whole. A corrected one leaves the table."""
    return Dataset(
        name="refusals",
        doc="Files and partitions that a stage refused whole, with the rule. A row disappears when a corrected file is accepted.",
        columns={
            **PARTITION_COLUMN,
            "stage": documented("string", "Stage that refused it: ingest or validate."),
            "table_name": documented("string", "Landed table that was refused."),
            "rule": documented("string", "Rule that the file or partition broke."),
            "detail": documented("string", "What was found, where, and what to do."),
            "file": documented("string", "Landed file that was refused.", required=False),
            "kept_uri": documented("string", "Place of a copy of the refused file.", required=False),
            "run_id": documented("string", "Run that refused it."),
            "refused_at": documented("timestamp", "Time of the refusal, UTC."),
        },
        key=("stage", "table_name", "rule", "file"),
        partition_by=(PARTITION, "stage", "table_name"),
        receipts=("run_id", "refused_at"),
        published_by=("ingest", "validate"),
    )


def features(spec: PipelineSpec) -> Dataset:
    """``features``: one row per entity, built from what was known at its partition's cut-off."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    feature_columns = {
        name: documented(
            "string" if column.kind == "category" else "float",
            column.doc,
            required=False,
            renamed_from=column.renamed_from,
            personal=name in spec.personal,
        )
        for name, column in spec.features.columns.items()
        if name not in key_columns
    }
    return Dataset(
        name="features",
        doc="Features of each entity, computed from rows known before cutoff_at.",
        columns={
            **PARTITION_COLUMN,
            **key_columns,
            "cutoff_at": documented("timestamp", "Cut-off (UTC). The features use only rows known before it."),
            **feature_columns,
        },
        key=spec.key,
        published_by=("features",),
    )


def predictions(spec: PipelineSpec) -> Dataset:
    """``predictions``: the analysts' table, with one row per entity and partition."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    if spec.task == "binary":
        least = "its model's threshold (see `contrail why`)"
        outcome = {
            "probability": documented("float", f"Probability that {spec.label.expression}, 0 to 1."),
            "decision": documented("bool", f"True when probability is at least {least}."),
        }
    else:
        outcome = {"prediction": documented("float", f"Predicted {spec.label.expression}.")}
    if spec.score.interval is not None:
        within = (
            f"The interval has a share of {spec.score.interval:g} of the labels, or what its model was trained with."
        )
        outcome |= {
            "lower": documented("float", f"Lower end. {within} Null for a model without intervals.", required=False),
            "upper": documented("float", "Upper end of the interval. Null where lower is.", required=False),
        }
    reasons: dict[str, ColumnSpec] = {}
    for rank in range(1, spec.score.reasons + 1):
        reasons |= {
            f"reason_{rank}": documented("string", f"Feature at rank {rank} by size of contribution.", required=False),
            f"reason_{rank}_value": documented(
                "string", f"Value of reason_{rank} in this row. Null when the value is missing.", required=False
            ),
            f"reason_{rank}_contribution": documented(
                "float",
                f"Contribution of reason_{rank} to the score, in log-odds (classification) or label units (regression).",
                required=False,
            ),
        }
    return Dataset(
        name="predictions",
        doc=f"{spec.title}: one prediction per entity. Each partition is replaced whole, in one atomic commit.",
        columns={
            **PARTITION_COLUMN,
            **key_columns,
            **outcome,
            **reasons,
            "model_name": documented("string", "Registered model that made the prediction."),
            "model_version": documented("string", "Version of the model in the registry."),
            "feature_snapshot": documented("int", "Iceberg snapshot of features that the model scored."),
            "scoring_run": documented("string", "Run that wrote the row."),
            "scored_at": documented("timestamp", "Time of scoring, UTC."),
        },
        key=spec.key,
        receipts=("feature_snapshot", "scoring_run", "scored_at"),
        published_by=("score",),
    )


def predictions_shadow(spec: PipelineSpec) -> Dataset:
    """``predictions_shadow``: the challenger's predictions of the same entities. Analysts never see them."""
    return replace(
        predictions(spec),
        name="predictions_shadow",
        doc="The challenger's predictions of the same entities, to compare with the champion's when labels arrive. "
        "Do not use them.",
    )
