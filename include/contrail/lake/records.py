"""The tables that record measurements and decisions: performance, aliases, retraining, corrections.

This module has only their schemas, and reads no data. ``datasets`` has the tables that rows pass through.
"""

from contrail.config.spec import PipelineSpec
from contrail.lake import datasets, drift_records, forgotten, mended, quality_records
from contrail.lake.datasets import PARTITION, PARTITION_COLUMN, Dataset, documented


def performance(spec: PipelineSpec) -> Dataset:
    """``performance``: the quality of a partition's predictions, measured when its labels are mature."""
    metrics = (
        {
            "auc": "Area under the ROC curve. Null when the labels have only one class.",
            "log_loss": "Mean negative log-likelihood, in nats.",
            "brier": "Mean squared error of the probability (Brier score).",
            "calibration_error": "Expected calibration error, over 10 bins with equal counts.",
            "baseline_log_loss": "log_loss of the same rows when every prediction is the training label rate.",
        }
        if spec.task == "binary"
        else {
            "rmse": "Root mean squared error, in label units.",
            "mae": "Mean absolute error, in label units.",
            "bias": "Mean of prediction minus label, in label units.",
            "baseline_rmse": "rmse of the same rows when every prediction is the training mean.",
        }
    )
    if spec.score.costs is not None:
        unit = f", in {spec.score.costs.unit}" if spec.score.costs.unit else ""
        metrics |= {
            "cost_per_row": f"Mean cost of a labelled row's decision{unit}: false alarms and misses at the spec's costs.",
            "expected_value": f"What flagging would save on the labelled rows beside flagging none, by the probabilities{unit}.",
            "realised_value": f"What flagging saved beside flagging none, by the labels{unit}.",
        }
    if spec.score.interval is not None:
        metrics |= {
            "coverage": f"Share of labelled rows with an interval whose label lies in it; {spec.score.interval:g} is wanted.",
            "interval_width": "Mean distance of upper from lower, in label units.",
        }
    return Dataset(
        name="performance",
        doc="Quality of the predictions of each day and model version, computed when the day's labels are mature.",
        columns={
            **PARTITION_COLUMN,
            "model_name": documented("string", "Model that made the predictions."),
            "model_version": documented("string", "Version of that model."),
            "rows": documented("int", "Rows with a prediction."),
            "labelled": documented("int", "Rows with a known label."),
            "label_coverage": documented("float", "Share of rows with a known label: labelled / rows."),
            "label_mean": documented("float", "Mean label of the labelled rows.", required=False),
            "prediction_mean": documented("float", "Mean prediction of the labelled rows.", required=False),
            **{name: documented("float", doc, required=False) for name, doc in metrics.items()},
            "shadow": documented("bool", "True when the predictions are in predictions_shadow only.", required=False),
        },
        key=("model_version",),
        published_by=("performance",),
    )


def model_history(_: PipelineSpec) -> Dataset:
    """``model_history``: one row for each move of an alias in the registry."""
    return Dataset(
        name="model_history",
        doc="Moves of the registry's aliases: which version, from which partition on, when, by whom and why.",
        columns={
            PARTITION: documented("date", "First partition from which the alias means this version."),
            "alias": documented("string", "Alias that moved: champion or challenger."),
            "version_before": documented(
                "string", "Version that the alias pointed at before. Null when it is new.", required=False
            ),
            "version_after": documented("string", "Version that the alias points at after the move."),
            "moved_at": documented("timestamp", "Time of the move, UTC."),
            "reason": documented("string", "Reason for the move."),
            "person": documented("string", "Person who requested the move, or pipeline when no person did."),
            "run_id": documented("string", "Run that moved the alias."),
            "improvement": documented(
                "float",
                "Improvement over the constant baseline at its gate, in log_loss or rmse. Null without a gate.",
                required=False,
            ),
        },
        key=("alias",),
        partition_by=(PARTITION, "run_id"),
        published_by=("promote", "rollback-model"),
    )


def governor(_: PipelineSpec) -> Dataset:
    """``governor``: decisions on retraining, one row per day and one per training from the schedule or by hand."""
    return Dataset(
        name="governor",
        doc="Decisions of the retrain governor: what it saw on a day, what it decided, and why.",
        columns={
            PARTITION: documented("date", "Day of the decision. The decision uses no later data."),
            "asked": documented("string", "Who asked for the decision: monitor (every day), schedule or by-hand."),
            "decision": documented("string", "Decision: retrain, hold or refused."),
            "trigger": documented(
                "string",
                "Cause of a training: drift, label-drift, performance, schedule or by-hand. Null without a cause.",
                required=False,
            ),
            "reasons": documented(
                "string", "Reasons, one sentence per line: first the findings, then the rules that refused a training."
            ),
            "evidence": documented("string", "Measurements behind the decision, as JSON."),
            "model_version": documented("string", "Version of the champion on that day.", required=False),
            "person": documented("string", "Person who requested the training, or pipeline when no person did."),
            "training": documented(
                "string",
                "Run of the DAG train that waited for the decision. A training that the monitor starts is governor__<day>.",
                required=False,
            ),
            "run_id": documented("string", "Run that made the decision."),
            "decided_at": documented("timestamp", "Time of the decision, UTC."),
        },
        key=("asked", "training"),
        partition_by=(PARTITION, "asked"),
        published_by=("govern",),
    )


def corrections(_: PipelineSpec) -> Dataset:
    """``corrections``: published days that late data changed."""
    return Dataset(
        name="corrections",
        doc="Published days of features or predictions that late data changed.",
        columns={
            PARTITION: documented("date", "Day whose rows changed."),
            "published": documented("string", "Published table: features or predictions."),
            "corrected_at": documented("timestamp", "Time of the correction, UTC."),
            "cause": documented(
                "string",
                "Tables and days of the files that came late or again, or of the rows that were mended, with the replay.",
            ),
            "rows_changed": documented("int", "Rows that changed, appeared or disappeared."),
            "rows": documented("int", "Rows of the day after the correction."),
            "largest_shift": documented("float", "Largest change of a score. Null for features.", required=False),
            "decisions_flipped": documented("int", "Decisions that changed from true to false, or from false to true."),
            "backfill": documented("string", "Name of the report under reports/<pipeline>/backfills."),
            "run_id": documented("string", "Run that ingested the files."),
        },
        key=("published",),
        partition_by=(PARTITION, "backfill"),
        published_by=("late",),
    )


def publications(_: PipelineSpec) -> Dataset:
    """``publications``: the warehouse's record of what was copied there. The lake does not have it."""
    return Dataset(
        name="publications",
        doc="One row for each replacement of a partition in the warehouse, written in the same transaction. "
        "The newest row counts.",
        columns={
            **PARTITION_COLUMN,
            "published": documented("string", "Published table: predictions, performance or drift."),
            "lake_snapshot": documented("int", "Iceberg snapshot of the lake's table that the rows come from."),
            "row_count": documented("int", "Rows of the partition."),
            "checksum": documented(
                "int", "Sum over all rows. Each row adds the first 8 hex digits of the MD5 of its columns."
            ),
            "job": documented("string", "BigQuery job that replaced the partition."),
            "run_id": documented("string", "Run that requested the publication."),
            "published_at": documented("timestamp", "Time of the publication, UTC."),
        },
        key=("published",),
        published_by=("publish",),
    )


def profiles(_: PipelineSpec) -> Dataset:
    """``profiles``: what describes each day of each daily table, and what of it was unusual."""
    return Dataset(
        name="profiles",
        doc="Figures of each published day of each daily table, beside their usual ranges on the table's own last days.",
        columns={
            **PARTITION_COLUMN,
            "table_name": documented("string", "Landed table that the figure describes."),
            "figure": documented(
                "string",
                "What was measured: rows, or a kind and a column. Of the kinds, empty is the share without a value, share that "
                "of one value, varied that of different values, and link a correlation. The kinds hour, hours after and "
                "before say when rows were known.",
            ),
            "value": documented("float", "The figure on this day."),
            "usual_least": documented(
                "float", "Least value that is usual. Null until 14 days are known.", required=False
            ),
            "usual_most": documented("float", "Greatest value that is usual.", required=False),
            "unusual": documented("string", "What is unusual, in words. Null where nothing is.", required=False),
        },
        key=("table_name", "figure"),
        partition_by=(PARTITION, "table_name"),
        published_by=("validate",),
    )


def all_datasets(spec: PipelineSpec) -> dict[str, Dataset]:
    """Return every table of a pipeline, by name."""
    found = [
        *(datasets.raw(spec, table) for table in spec.tables),
        *(datasets.validated(spec, table) for table in spec.tables),
        *(
            make(spec)
            for make in (
                datasets.features,
                datasets.predictions,
                datasets.predictions_shadow,
                datasets.quarantine,
                mended.dataset,
                datasets.refusals,
                profiles,
                drift_records.drift_profiles,
                drift_records.drift,
                performance,
                quality_records.estimates,
                quality_records.segment_quality,
                model_history,
                governor,
                corrections,
                forgotten.forgotten,
                forgotten.marks,
            )
        ),
    ]
    return {dataset.name: dataset for dataset in found}
