"""The tables that record what was measured and decided: drift, performance, aliases, retraining, corrections.

Their schemas only; no data are read here. The tables that rows pass through are in ``datasets``.
"""

from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION, PARTITION_COLUMN, Dataset, documented


def drift(_: PipelineSpec) -> Dataset:
    """``drift``: a row a feature and day, a verdict on the features in the row ``*``, one on the label in ``label``."""
    return Dataset(
        name="drift",
        doc="How unusual a day's features (verdict: feature *) and the newest mature labels (verdict: feature label) "
        "are against the model's training window.",
        columns={
            **PARTITION_COLUMN,
            "feature": documented(
                "string",
                "Feature; * for all of the day's; label for the labels of mature_after_days + 1 days before, the newest "
                "that were mature at the day's cut-off (no row until they are).",
            ),
            "statistic": documented(
                "string",
                "earth_mover (a feature), max_exceedance (*) or mean_residual (label: mean label minus mean prediction "
                "of the last raise_days days, each held to its usual range, as the distance from the usual).",
            ),
            "value": documented("float", "Its value on this day.", required=False),
            "threshold": documented("float", "Value that a usual day rarely passes, from the training window."),
            "unusual": documented("bool", "value > threshold."),
            "unusual_days": documented("int", "Unusual days among the last of_days (row *).", required=False),
            "verdict": documented("string", "ok, watch or drift (row *); ok or drift (row label).", required=False),
            "rows": documented("int", "Rows of the partition; labelled rows of the day measured (row label)."),
            "model_name": documented("string", "Model whose training window is the reference."),
            "model_version": documented("string", "Its version."),
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
            **PARTITION_COLUMN,
            "model_name": documented("string", "Model that predicted."),
            "model_version": documented("string", "Its version."),
            "rows": documented("int", "Predicted rows."),
            "labelled": documented("int", "Rows whose label is known."),
            "label_coverage": documented("float", "labelled / rows."),
            "label_mean": documented("float", "Mean label.", required=False),
            "prediction_mean": documented("float", "Mean prediction of the labelled rows.", required=False),
            **{name: documented("float", doc, required=False) for name, doc in metrics.items()},
            "shadow": documented("bool", "True for predictions that only predictions_shadow has.", required=False),
        },
        key=("model_version",),
    )


def model_history(_: PipelineSpec) -> Dataset:
    """``model_history``: a row each time an alias of the registry was moved."""
    return Dataset(
        name="model_history",
        doc="Moves of the registry's aliases: which version, from which partition on, when, by whom and why.",
        columns={
            PARTITION: documented("date", "First partition that the version is meant for."),
            "alias": documented("string", "champion or challenger."),
            "version_before": documented("string", "Version that the alias left.", required=False),
            "version_after": documented("string", "Version that it points at since."),
            "moved_at": documented("timestamp", "When, UTC."),
            "reason": documented("string", "Why."),
            "person": documented("string", "Who asked for it; pipeline when nobody did."),
            "run_id": documented("string", "Run that moved it."),
            "improvement": documented(
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
            PARTITION: documented("date", "Day that was decided for; nothing after it was looked at."),
            "asked": documented("string", "monitor (every day), schedule or by-hand."),
            "decision": documented("string", "retrain, hold or refused."),
            "trigger": documented(
                "string",
                "drift, label-drift, performance, schedule or by-hand; null when nothing asked.",
                required=False,
            ),
            "reasons": documented("string", "Sentences, one a line: what was found, then what refused it."),
            "evidence": documented("string", "What was looked at, as JSON."),
            "model_version": documented("string", "Champion of the day.", required=False),
            "person": documented("string", "Who asked; pipeline when nobody did."),
            "training": documented(
                "string",
                "Run of the DAG train that waited for this; the monitor starts governor__<day>.",
                required=False,
            ),
            "run_id": documented("string", "Run that decided."),
            "decided_at": documented("timestamp", "When, UTC."),
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
            PARTITION: documented("date", "Day whose rows became different."),
            "published": documented("string", "Table: features or predictions."),
            "corrected_at": documented("timestamp", "When, UTC."),
            "cause": documented("string", "Tables and days of the files that came late or anew."),
            "rows_changed": documented("int", "Rows that are different, new or gone."),
            "rows": documented("int", "Rows that the day has now."),
            "largest_shift": documented("float", "Largest change of a score; null for features.", required=False),
            "decisions_flipped": documented("int", "Decisions that became the other one."),
            "backfill": documented("string", "The report's name under reports/<pipeline>/backfills."),
            "run_id": documented("string", "Run that took in the files."),
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
            **PARTITION_COLUMN,
            "published": documented("string", "Table: predictions, performance or drift."),
            "lake_snapshot": documented("int", "Iceberg snapshot of the lake's table that the rows are from."),
            "row_count": documented("int", "Rows of the partition."),
            "checksum": documented("int", "Sum over the rows of the first 8 hex digits of the MD5 of all columns."),
            "job": documented("string", "BigQuery job that replaced the partition."),
            "run_id": documented("string", "Run that asked for it."),
            "published_at": documented("timestamp", "When, UTC."),
        },
        key=("published",),
    )


def all_datasets(spec: PipelineSpec) -> dict[str, Dataset]:
    """Every table of a pipeline, by name."""
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
                datasets.refusals,
                drift,
                performance,
                model_history,
                governor,
                corrections,
            )
        ),
    ]
    return {dataset.name: dataset for dataset in found}
