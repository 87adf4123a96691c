"""The tables of drift: its verdicts, and the counts of days that they rest on. Only their schemas; no data are read here."""

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION, PARTITION_COLUMN, Dataset, documented

_FEATURE = (
    "Name of a feature, *, label, (scores) or (reasons). Row * judges all features of the day. Row label judges the "
    "newest labels that were mature at the day's cut-off: those of mature_after_days + 1 days before. Rows "
    "(scores) and (reasons) judge the published predictions. A row is absent until its labels, or enough days with "
    "predictions, exist."
)
_STATISTIC = (
    "earth_mover (a feature), max_exceedance (*), mean_residual (label), quantile_distance ((scores)) or "
    "share_distance ((reasons)). mean_residual is the mean label minus the mean prediction over the last raise_days "
    "days, as the distance from its usual value. Each day counts at most as its usual range allows. "
    "The quantile distance is the mean distance of the predictions' quantiles from those of the days before. "
    "The share distance is the share of the reasons' contributions that moved to other features."
)


def drift(_: PipelineSpec) -> Dataset:
    """``drift``: one row per feature and day. Row ``*`` has the features' verdict, row ``label`` the label's."""
    return Dataset(
        name="drift",
        doc="Drift of a day from the days before it: one row for each feature, one for all of them "
        "(feature *), and one for the newest mature labels (feature label). Rows (scores) and (reasons) are of the published "
        "predictions.",
        columns={
            **PARTITION_COLUMN,
            "feature": documented("string", _FEATURE),
            "statistic": documented("string", _STATISTIC),
            "value": documented(
                "float",
                "Value of the statistic on this day. earth_mover is the distance of the feature's distribution from that of the "
                "days before. Its unit is a rank of the training window. max_exceedance is how far the feature that stands "
                "out most is from its usual distances.",
                required=False,
            ),
            "threshold": documented("float", "Value that usual days rarely pass."),
            "effect": documented(
                "float",
                "Distance of the feature's contributions to predictions from those of the days before, in standard deviations "
                "of the predictions. Null in rows * and label, and of days measured before Contrail knew effects.",
                required=False,
            ),
            "effect_threshold": documented("float", "Effect that usual days rarely pass.", required=False),
            "from_window": documented(
                "float",
                "Distance of the feature's distribution from that of the whole training window, in its ranks.",
                required=False,
            ),
            "from_window_threshold": documented("float", "Distance that usual days rarely pass.", required=False),
            "unusual": documented(
                "bool",
                "A feature: value, effect and from_window are all above their thresholds. Row *: a feature is unusual. Row "
                "label: value is above threshold.",
            ),
            "unusual_days": documented(
                "int",
                "The most unusual days that one feature has among the last of_days. Null in the rows of features and label.",
                required=False,
            ),
            "verdict": documented(
                "string",
                "ok, watch or drift in the rows *, (scores) and (reasons); ok or drift in row label; null in the others.",
                required=False,
            ),
            "rows": documented("int", "Rows of the partition. In row label: labelled rows of the measured day."),
            "model_name": documented("string", "Model whose training window says what is usual."),
            "model_version": documented("string", "Version of that model."),
        },
        key=("feature",),
        published_by=("drift",),
    )


def drift_profiles(_: PipelineSpec) -> Dataset:
    """``drift_profiles``: a day counted in the bins of a model's drift reference. Drift reads it, not the day's rows."""
    return Dataset(
        name="drift_profiles",
        doc="What drift needs of a day, counted once for each model: a histogram of each feature, the decisions, and the "
        "residuals of the labels. A row that was made of other data files than are published is counted again before use.",
        columns={
            **PARTITION_COLUMN,
            "model": documented(
                "string",
                "SHA-256 that identifies the model's trees and drift reference; * for counts of every model's.",
            ),
            "kind": documented("string", "features, decisions, label or predictions."),
            "feature": documented("string", "Name of a feature; decision, label or (scores) in the rows of these."),
            "rows": documented("int", "Rows that were counted. In the row of the labels: rows with a label."),
            "counts": documented(
                "string",
                "Rows in each bin of the model's drift reference, as a JSON list; the last bin has missing values. Of "
                "decisions: those not flagged and those flagged. Of (scores): the model's version, and 19 quantiles of its "
                "predictions. Null in the row of the labels, and of a feature that is a reason.",
                required=False,
            ),
            "residual": documented(
                "float",
                "Sum of label minus prediction over the rows, in the row of the labels. Of a feature that is a reason of "
                "predictions: sum of the sizes of its contributions.",
                required=False,
            ),
            "made_of": documented(
                "string",
                "SHA-256 over the names of the data files that were read, which have the digests of their bytes.",
            ),
        },
        key=("feature",),
        partition_by=(PARTITION, "model", "kind"),
        published_by=("score", "drift"),
    )
