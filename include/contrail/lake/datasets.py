"""What tables a pipeline has, with types and documentation, derived from its spec.

The one source of every table's schema: the publisher's audit, Iceberg's column docs and the analysts' docs all
come from here. No data are read here.
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

from contrail.config.spec import ColumnSpec, ColumnType, PipelineSpec

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


def _column(kind: ColumnType, doc: str, required: bool = True) -> ColumnSpec:
    return ColumnSpec(type=kind, required=required, doc=doc)


_PARTITION_COLUMN = {PARTITION: _column("date", "Daily partition, a local date of the pipeline.")}


def raw(spec: PipelineSpec, table: str) -> Dataset:
    """``raw_<table>``: every field as it was landed, as text, with the file and line that it came from."""
    source = spec.tables[table]
    daily = source.kind == "daily"
    columns = {name: _column("string", column.doc, required=False) for name, column in source.columns.items()}
    origin = {
        "_file": _column("string", "Landed file that the row came from."),
        "_line": _column("int", "Line in that file; the header is line 1."),
        "_sha256": _column("string", "SHA-256 of that file."),
    }
    return Dataset(
        name=f"raw_{table}",
        doc=f"{source.doc} As landed, all text.".strip(),
        columns={**(_PARTITION_COLUMN if daily else {}), **columns, **origin},
        key=("_line",),
        partition_by=(PARTITION,) if daily else (),
    )


def validated(spec: PipelineSpec, table: str) -> Dataset:
    """``validated_<table>``: typed rows that keep their contract."""
    source = spec.tables[table]
    if source.kind == "reference":
        return Dataset(f"validated_{table}", source.doc, dict(source.columns), source.key, ())
    visible = {"visible_from": _column("date", "First partition whose cut-off may use the row.")}
    return Dataset(
        name=f"validated_{table}",
        doc=source.doc,
        columns={**_PARTITION_COLUMN, **source.columns, **visible},
        key=source.key,
    )


def quarantine(_: PipelineSpec) -> Dataset:
    """``quarantine``: rows that broke a rule, as they were landed, with the reason."""
    return Dataset(
        name="quarantine",
        doc="Rows that broke a rule of their contract, kept as landed. Mend the file and land it again.",
        columns={
            **_PARTITION_COLUMN,
            "table_name": _column("string", "Landed table of the row."),
            "rule": _column("string", "Name of the first rule that the row broke."),
            "detail": _column("string", "What was expected and what was found."),
            "row": _column("string", "The row as landed, as JSON."),
            "file": _column("string", "Landed file of the row."),
            "line": _column("int", "Line in that file."),
            "run_id": _column("string", "Run that set the row aside."),
            "quarantined_at": _column("timestamp", "When, UTC."),
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
            **_PARTITION_COLUMN,
            "stage": _column("string", "Stage that refused: ingest or validate."),
            "table_name": _column("string", "Landed table."),
            "rule": _column("string", "Rule that was broken."),
            "detail": _column("string", "What was found, where, and what to do."),
            "file": _column("string", "Landed file.", required=False),
            "kept_uri": _column("string", "Where a copy of the refused file is kept.", required=False),
            "run_id": _column("string", "Run that refused."),
            "refused_at": _column("timestamp", "When, UTC."),
        },
        key=("stage", "table_name", "rule"),
        partition_by=(PARTITION, "stage", "table_name"),
    )


def features(spec: PipelineSpec) -> Dataset:
    """``features``: one row an entity, built from what was known at its partition's cut-off."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    feature_columns = {
        name: _column("string" if column.kind == "category" else "float", column.doc, required=False)
        for name, column in spec.features.columns.items()
        if name not in key_columns
    }
    return Dataset(
        name="features",
        doc="Features of each entity, from what was known before cutoff_at.",
        columns={
            **_PARTITION_COLUMN,
            **key_columns,
            "cutoff_at": _column("timestamp", "Only rows known before this instant (UTC) were used."),
            **feature_columns,
        },
        key=spec.key,
    )


def predictions(spec: PipelineSpec) -> Dataset:
    """``predictions``: the analysts' table, one row an entity and partition."""
    key_columns = {name: spec.tables[spec.entities].columns[name] for name in spec.key}
    if spec.task == "binary":
        outcome = {
            "probability": _column("float", f"Probability that {spec.label.expression}, 0 to 1."),
            "decision": _column("bool", f"True when the probability is at least {spec.score.threshold}."),
        }
    else:
        outcome = {"prediction": _column("float", f"Predicted {spec.label.expression}.")}
    reasons: dict[str, ColumnSpec] = {}
    for rank in range(1, spec.score.reasons + 1):
        reasons |= {
            f"reason_{rank}": _column("string", f"Feature with contribution number {rank} by size.", required=False),
            f"reason_{rank}_value": _column("string", "Its value for this row; null when missing.", required=False),
            f"reason_{rank}_contribution": _column(
                "float", "Its part of the score (log-odds, or label units for a regression).", required=False
            ),
        }
    return Dataset(
        name="predictions",
        doc=f"{spec.title}: one prediction an entity, replaced a partition at a time in one atomic commit.",
        columns={
            **_PARTITION_COLUMN,
            **key_columns,
            **outcome,
            **reasons,
            "model_name": _column("string", "Registered model."),
            "model_version": _column("string", "Its version in the registry."),
            "feature_snapshot": _column("int", "Iceberg snapshot of `features` that was scored."),
            "scoring_run": _column("string", "Run that wrote the row."),
            "scored_at": _column("timestamp", "When, UTC."),
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


def drift(_: PipelineSpec) -> Dataset:
    """``drift``: a row a feature and day, a verdict on the features in the row ``*``, one on the label in ``label``."""
    return Dataset(
        name="drift",
        doc="How unusual a day's features (verdict: feature *) and the newest mature labels (verdict: feature label) "
        "are against the model's training window.",
        columns={
            **_PARTITION_COLUMN,
            "feature": _column(
                "string",
                "Feature; * for all of the day's; label for the labels of mature_after_days + 1 days before, the newest "
                "that were mature at the day's cut-off (no row until they are).",
            ),
            "statistic": _column(
                "string",
                "earth_mover (a feature), max_exceedance (*) or mean_residual (label: mean label minus mean prediction "
                "of the last raise_days days, each held to its usual range, as the distance from the usual).",
            ),
            "value": _column("float", "Its value on this day.", required=False),
            "threshold": _column("float", "Value that a usual day rarely passes, from the training window."),
            "unusual": _column("bool", "value > threshold."),
            "unusual_days": _column("int", "Unusual days among the last of_days (row *).", required=False),
            "verdict": _column("string", "ok, watch or drift (row *); ok or drift (row label).", required=False),
            "rows": _column("int", "Rows of the partition; labelled rows of the day measured (row label)."),
            "model_name": _column("string", "Model whose training window is the reference."),
            "model_version": _column("string", "Its version."),
        },
        key=("feature",),
    )


def performance(spec: PipelineSpec) -> Dataset:
    """``performance``: realised quality of a partition's predictions, once its labels are mature."""
    metrics = (
        {
            "auc": "Area under the ROC curve; null with one class.",
            "log_loss": "Mean negative log-likelihood, nats.",
            "brier": "Mean squared error of the probability.",
            "calibration_error": "Expected calibration error, 10 equal-count bins.",
            "baseline_log_loss": "The same rows with the training label rate as prediction.",
        }
        if spec.task == "binary"
        else {
            "rmse": "Root mean squared error, label units.",
            "mae": "Mean absolute error, label units.",
            "bias": "Mean of prediction minus label.",
            "baseline_rmse": "The same rows with the training mean as prediction.",
        }
    )
    return Dataset(
        name="performance",
        doc="Realised quality a day and model version, computed when the day's labels are mature.",
        columns={
            **_PARTITION_COLUMN,
            "model_name": _column("string", "Model that predicted."),
            "model_version": _column("string", "Its version."),
            "rows": _column("int", "Predicted rows."),
            "labelled": _column("int", "Rows whose label is known."),
            "label_coverage": _column("float", "labelled / rows."),
            "label_mean": _column("float", "Mean label.", required=False),
            "prediction_mean": _column("float", "Mean prediction of the labelled rows.", required=False),
            **{name: _column("float", doc, required=False) for name, doc in metrics.items()},
            "shadow": _column("bool", "True for predictions that only predictions_shadow has.", required=False),
        },
        key=("model_version",),
    )


def model_history(_: PipelineSpec) -> Dataset:
    """``model_history``: a row each time an alias of the registry was moved."""
    return Dataset(
        name="model_history",
        doc="Moves of the registry's aliases: which version, from which partition on, when, by whom and why.",
        columns={
            PARTITION: _column("date", "First partition that the version is meant for."),
            "alias": _column("string", "champion or challenger."),
            "version_before": _column("string", "Version that the alias left.", required=False),
            "version_after": _column("string", "Version that it points at since."),
            "moved_at": _column("timestamp", "When, UTC."),
            "reason": _column("string", "Why."),
            "person": _column("string", "Who asked for it; pipeline when nobody did."),
            "run_id": _column("string", "Run that moved it."),
            "improvement": _column(
                "float",
                "log_loss or rmse that it was better by than the constant baseline at its gate.",
                required=False,
            ),
        },
        key=("alias",),
        partition_by=(PARTITION, "run_id"),
    )


def governor(_: PipelineSpec) -> Dataset:
    """``governor``: whether to retrain, a row a day and a row a training that was asked for otherwise."""
    return Dataset(
        name="governor",
        doc="Decisions of the retrain governor: what it saw on a day, what it decided, and why.",
        columns={
            PARTITION: _column("date", "Day that was decided for; nothing after it was looked at."),
            "asked": _column("string", "monitor (every day), schedule or by-hand."),
            "decision": _column("string", "retrain, hold or refused."),
            "trigger": _column(
                "string",
                "drift, label-drift, performance, schedule or by-hand; null when nothing asked.",
                required=False,
            ),
            "reasons": _column("string", "Sentences, one a line: what was found, then what refused it."),
            "evidence": _column("string", "What was looked at, as JSON."),
            "model_version": _column("string", "Champion of the day.", required=False),
            "person": _column("string", "Who asked; pipeline when nobody did."),
            "training": _column(
                "string",
                "Run of the DAG train that waited for this; the monitor starts governor__<day>.",
                required=False,
            ),
            "run_id": _column("string", "Run that decided."),
            "decided_at": _column("timestamp", "When, UTC."),
        },
        key=("asked", "training"),
        partition_by=(PARTITION, "asked"),
    )


def corrections(_: PipelineSpec) -> Dataset:
    """``corrections``: published days that late data made different."""
    return Dataset(
        name="corrections",
        doc="Days of features or predictions that became different after they were published, because data came late.",
        columns={
            PARTITION: _column("date", "Day whose rows became different."),
            "published": _column("string", "Table: features or predictions."),
            "corrected_at": _column("timestamp", "When, UTC."),
            "cause": _column("string", "Tables and days of the files that came late or anew."),
            "rows_changed": _column("int", "Rows that are different, new or gone."),
            "rows": _column("int", "Rows that the day has now."),
            "largest_shift": _column("float", "Largest change of a score; null for features.", required=False),
            "decisions_flipped": _column("int", "Decisions that became the other one."),
            "backfill": _column("string", "The report's name under reports/<pipeline>/backfills."),
            "run_id": _column("string", "Run that took in the files."),
        },
        key=("published",),
        partition_by=(PARTITION, "backfill"),
    )


def publications(_: PipelineSpec) -> Dataset:
    """``publications``: the warehouse's own record of what was copied there; it is not in the lake."""
    return Dataset(
        name="publications",
        doc="Each replacement of a partition in the warehouse, in the transaction that made it; the newest one counts.",
        columns={
            **_PARTITION_COLUMN,
            "published": _column("string", "Table: predictions, performance or drift."),
            "lake_snapshot": _column("int", "Iceberg snapshot of the lake's table that the rows are from."),
            "row_count": _column("int", "Rows of the partition."),
            "checksum": _column("int", "Sum over the rows of the first 8 hex digits of the MD5 of all columns."),
            "job": _column("string", "BigQuery job that replaced the partition."),
            "run_id": _column("string", "Run that asked for it."),
            "published_at": _column("timestamp", "When, UTC."),
        },
        key=("published",),
    )


def all_datasets(spec: PipelineSpec) -> dict[str, Dataset]:
    """Every table of a pipeline, by name."""
    found = [
        *(raw(spec, table) for table in spec.tables),
        *(validated(spec, table) for table in spec.tables),
        *(
            make(spec)
            for make in (
                features,
                predictions,
                predictions_shadow,
                quarantine,
                refusals,
                drift,
                performance,
                model_history,
                governor,
                corrections,
            )
        ),
    ]
    return {dataset.name: dataset for dataset in found}
