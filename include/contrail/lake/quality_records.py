"""The tables of quality before labels, and by segment: ``estimates`` and ``segment_quality``. Only their schemas."""

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION_COLUMN, Dataset, documented


def estimates(_: PipelineSpec) -> Dataset:
    """``estimates``: the quality of a day, estimated at its cut-off, before its labels."""
    return Dataset(
        name="estimates",
        doc="Quality of a day's predictions, estimated from what was known at the day's cut-off. A row stays as it was when "
        "the labels come: performance has the truth.",
        columns={
            **PARTITION_COLUMN,
            "model_name": documented("string", "Model that made the predictions."),
            "model_version": documented("string", "Version of that model."),
            "metric": documented("string", "Column of performance that the row estimates."),
            "rows": documented("int", "Rows with a prediction."),
            "expected": documented(
                "float",
                "What the day's probabilities promise of the metric, if labels come true as they say. Of a regression: the mean "
                "prediction for label_mean, and 0 for errors, because predictions promise none.",
            ),
            "scale": documented(
                "float",
                "Standard deviation that chance alone gives the metric, if labels come true as the probabilities say. Of a "
                "regression: root mean square of the predictions, in which errors of days are compared.",
            ),
            "estimate": documented(
                "float",
                "Estimate of the metric: what is expected, moved by how earlier days strayed from it. Null where nothing tells "
                "it yet.",
                required=False,
            ),
            "low": documented(
                "float",
                "Lower end of the interval that shall hold the metric on 90 % of days. Null until enough days have labels.",
                required=False,
            ),
            "high": documented("float", "Upper end of the interval.", required=False),
            "days": documented("int", "Days with known labels that estimate and interval rest on."),
            "known_until": documented(
                "date", "Newest day whose labels were mature at the day's cut-off. Later ones do not count."
            ),
            "made_of": documented("string", "SHA-256 over the names of the data files of the day's predictions."),
            "labels_known": documented(
                "bool",
                "Whether the day's labels were there already when the row was made, as in a backfill. The row uses none of "
                "them. Null in rows of an earlier version.",
                required=False,
            ),
        },
        key=("model_version", "metric"),
        published_by=("performance",),
    )


def segment_quality(_: PipelineSpec) -> Dataset:
    """``segment_quality``: the realised quality of each segment's day, and where it fell."""
    return Dataset(
        name="segment_quality",
        doc="Realised quality of each segment on each day: the values of train.segments with twenty labelled rows or more. It "
        "says in which of them quality fell.",
        columns={
            **PARTITION_COLUMN,
            "model_name": documented("string", "Model that made the predictions."),
            "model_version": documented("string", "Version of that model."),
            "feature": documented("string", "Feature that makes the segments."),
            "value": documented("string", "Value of the feature; (missing) where there is none."),
            "labelled": documented("int", "Rows with a known label."),
            "label_mean": documented("float", "Mean label of these rows."),
            "prediction_mean": documented("float", "Mean prediction of these rows."),
            "loss": documented("float", "Mean log loss of these rows; mean absolute error of a regression."),
            "excess": documented(
                "float",
                "Mean loss above the one that the probabilities promise, less that of the day's other rows. Null without other "
                "rows. A regression promises no loss.",
                required=False,
            ),
            "noise": documented(
                "float", "Standard deviation that chance alone gives excess; 0 where nothing tells it.", required=False
            ),
            "worse": documented(
                "float",
                "How far excess lies above its usual value of the segment's last 56 days, in its usual distances. Null until "
                "enough days are known.",
                required=False,
            ),
            "fall": documented(
                "float",
                "Sum of worse over the segment's last three days, each held to -3..3, over the root of three.",
                required=False,
            ),
            "threshold": documented(
                "float", "What fall seldom passes, with so many segments looked at.", required=False
            ),
            "fell_since": documented(
                "date",
                "First day of the fall that is on; else null. One begins when fall passes threshold, and ends at half of it.",
                required=False,
            ),
        },
        key=("model_version", "feature", "value"),
        published_by=("performance",),
    )
