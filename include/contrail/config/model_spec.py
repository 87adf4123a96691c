"""The parts of a pipeline's spec that say how its model is trained, judged, used, watched and looked after."""

from typing import Annotated, Literal

from pydantic import Field

from contrail.config.table_spec import LONGEST_DAYS
from contrail.frozen import Frozen

Finite = Annotated[float, Field(allow_inf_nan=False)]
# Sums over many rows stay exact enough, and a cost of nothing leaves nothing to decide.
Cost = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
_MOST_ROUNDS = 1_000_000


class OffsetSpec(Frozen):
    """A feature that follows the level of the label. Each row's score starts from it, and trees of the others learn the rest."""

    feature: str = Field(
        description="A number: a recent share of the label (binary tasks), or a recent mean of it (regression)."
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="How far the start moves from the mean label of the training window to the feature's value.",
    )


class TrainSpec(Frozen):
    """How a model is fitted. The last ``validation_days`` stop the rounds early, after a gap of ``embargo_days``."""

    window_days: int = Field(
        default=243, ge=2, le=LONGEST_DAYS, description="Partitions that a scheduled training run reads."
    )
    validation_days: int = Field(
        default=31, ge=1, le=LONGEST_DAYS, description="Last days of the window, which stop the rounds."
    )
    embargo_days: int = Field(
        default=2,
        ge=0,
        le=LONGEST_DAYS,
        description="Days between fit, validation and gate, for labels that come late.",
    )
    rounds: int = Field(default=500, ge=1, le=_MOST_ROUNDS, description="Rounds of boosting at most.")
    early_stopping_rounds: int = Field(
        default=30, ge=1, le=_MOST_ROUNDS, description="Rounds without a better validation after which it stops."
    )
    checkpoint_rounds: int = Field(
        default=0,
        ge=0,
        description="An interrupted training continues after a multiple of these rounds; 0: it starts again.",
    )
    external_memory_rows: int = Field(
        default=0,
        ge=0,
        description="A training of more rows keeps their bins on disk (CPU) or in the host's memory (GPU). "
        "0: only when the bins do not fit into the memory that they may take.",
    )
    refit: bool = Field(default=True, description="Fit again on the whole window with the rounds found.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where trees grow. auto takes a GPU where the machine has one."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="Executors of Apache Spark that grow each tree together, where the engine has executors. By default, "
        "and elsewhere, the stage's process grows them alone.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Start of the random numbers of a training.")
    params: dict[str, int | float | str | bool] = Field(
        default={}, description="Parameters of XGBoost, by its own names."
    )
    calibration: Literal["none", "isotonic", "beta"] = Field(
        default="none",
        description="A step after the trees that makes probabilities mean what they say (binary tasks), fitted on rows "
        "that the trees had not seen. isotonic takes any shape; beta has three numbers.",
    )
    offset: OffsetSpec | None = Field(
        default=None,
        description="A feature that each row's score starts from, so that the model follows a level which its training "
        "window did not have. Empty: every row starts from one number.",
    )
    rate_table: tuple[str, ...] = Field(default=(), description="Features whose group means are the simple baseline.")
    segments: tuple[str, ...] = Field(default=(), description="Features by which metrics are split.")


class SegmentFloor(Frozen):
    """In every group of ``feature`` with ``min_rows`` rows, ``metric`` may not be worse than ``floor``."""

    feature: str = Field(description="Feature whose values make the groups.")
    metric: Literal["auc", "log_loss", "rmse", "mae"] = Field(description="Metric that each group must keep.")
    floor: Finite = Field(description="The worst value that passes.")
    min_rows: int = Field(default=500, ge=1, description="Labelled rows that a group needs to be judged.")


class GateSpec(Frozen):
    """What a challenger must show on rows after its training window."""

    window_days: int = Field(
        default=28, ge=1, le=LONGEST_DAYS, description="Out-of-time partitions that both models are scored on."
    )
    metric: Literal["log_loss", "auc", "rmse", "mae"] = Field(
        default="log_loss", description="What is compared: log_loss or auc (binary), rmse or mae (regression)."
    )
    policy: Literal["superior", "not_worse", "expected"] = Field(
        default="expected",
        description="What counts against the champion. Superior: the lower end of the gain must reach min_improvement. "
        "Not worse: it may fall short of 0 by a margin. Expected: the estimate must reach min_improvement, and the "
        "expected regret keep max_regret_share.",
    )
    min_improvement: Finite = Field(
        default=0.0,
        description="Gain over the champion that superior and expected ask for. For not_worse, a margin as a negative number.",
    )
    margin_share: Finite = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Margin of not_worse, as a share of the challenger's improvement over the training mean.",
    )
    max_regret_share: Finite = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Largest expected regret of expected: the mean over resamples of what the challenger is worse by, as "
        "a share of its improvement over the training mean.",
    )
    min_improvement_over_baseline: Finite = Field(
        default=0.0, description="Over the training mean, and over the rate table."
    )
    max_calibration_error: Finite | None = Field(
        default=None, gt=0, description="In label units. Empty: no such bound."
    )
    max_calibration_share: Finite = Field(
        default=1.0,
        gt=0,
        description="Largest calibration error, as a share of how far the labels of ten bins of predictions lie apart.",
    )
    calibration_days: int = Field(
        default=14, ge=1, le=LONGEST_DAYS, description="Days of a period that is judged on its own, too."
    )
    segments: tuple[SegmentFloor, ...] = Field(
        default=(), description="Features in whose every group a metric keeps a floor."
    )
    bootstrap_samples: int = Field(
        default=1000, ge=100, le=100_000, description="Resamples of whole days behind each interval."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Width of an interval. Its lower end counts, but for policy expected."
    )
    min_rows: int = Field(
        default=1000, ge=1, description="Labelled rows that the gate needs. A pipeline with few rows a day sets fewer."
    )
    approval: Literal["none", "person"] = Field(default="none", description="Whether a person must agree to a pass.")
    approval_hours: Finite = Field(
        default=24, gt=0, le=24 * 366, description="Without an answer by then, it is refused."
    )
    shadow: bool = Field(
        default=False,
        description="A version that fails only against the champion becomes challenger. It is scored in shadow.",
    )
    min_shadow_days: int = Field(
        default=7, ge=1, le=LONGEST_DAYS, description="Labelled days in shadow from which they become a check."
    )


class CostSpec(Frozen):
    """What a wrong decision costs, both in one unit. Each training then finds the threshold (binary tasks)."""

    false_alarm: Cost = Field(description="Cost of a flagged row whose label is false.")
    miss: Cost = Field(description="Cost of a row that is not flagged whose label is true.")
    unit: str = Field(default="", max_length=20, description="What people read behind an amount, as EUR.")

    @property
    def ratio(self) -> float:
        """The threshold that costs least where probabilities mean what they say, 0 to 1."""
        return self.false_alarm / (self.false_alarm + self.miss)

    def amount(self, value: float) -> str:
        """Say an amount with its unit."""
        return f"{value:,.6g} {self.unit}".rstrip()

    @property
    def sentence(self) -> str:
        """The costs in words."""
        return f"a miss costs {self.amount(self.miss)} and a false alarm {self.amount(self.false_alarm)}"


class ScoreSpec(Frozen):
    """How rows are scored. ``threshold`` or ``costs`` turns a probability into a decision (binary tasks)."""

    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="Probability from which on the decision is true (binary tasks)."
    )
    costs: CostSpec | None = Field(
        default=None, description="What a wrong decision costs, instead of a threshold. Each training finds it."
    )
    interval: float | None = Field(
        default=None,
        ge=0.5,
        le=0.99,
        description="Share of labels that shall lie between lower and upper, which each prediction then has "
        "(regression). Each training finds how wide that is.",
    )
    reasons: int = Field(default=3, ge=0, le=10, description="How many reasons each prediction has.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU of the machine for a range of 100,000 rows or more, else processors."
    )
    late_data: Literal["keep", "rescore"] = Field(
        default="keep", description="Whether days whose features changed after late data are scored again."
    )


class DriftSpec(Frozen):
    """Drift is raised when a feature is unusual on ``raise_days`` of ``of_days`` days, as seldom as ``false_alarm_rate`` says.

    Drift of the label is raised when the mean residual of its last ``raise_days`` labelled days is unusual at
    ``label_false_alarm_rate``. At the defaults, days like those of the training window raise each less than once a
    quarter (``make bench``, drift).
    """

    false_alarm_rate: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Share of usual runs of days that raise drift of the features by chance.",
    )
    label_false_alarm_rate: float = Field(
        default=0.01, gt=0, lt=0.5, description="Share of usual runs of days that raise drift of the label by chance."
    )
    raise_days: int = Field(
        default=3, ge=1, le=LONGEST_DAYS, description="So many unusual days of one feature raise drift…"
    )
    of_days: int = Field(default=5, ge=1, le=LONGEST_DAYS, description="… among so many last days.")
    clear_days: int = Field(default=1, ge=0, description="Drift is cleared at this number of unusual days, or fewer.")
    bins: int = Field(
        default=10, ge=2, le=50, description="Bins of a number, of about equal counts in the training window."
    )


class RetrainSpec(Frozen):
    """When the governor retrains beside the schedule, and what forbids it. Days are partitions, not days of the clock."""

    drift_days: int = Field(
        default=3, ge=1, le=LONGEST_DAYS, description="Days with the verdict drift that trigger a training …"
    )
    drift_of_days: int = Field(default=5, ge=1, le=LONGEST_DAYS, description="… among so many last days.")
    performance_days: int = Field(
        default=28,
        ge=1,
        le=LONGEST_DAYS,
        description="Last labelled days whose median decides, once three quarters of them are measured.",
    )
    performance_margin: Finite | None = Field(
        default=None,
        ge=0,
        description="Loss of improvement over the baseline since the gate that triggers a training, in log_loss or "
        "rmse. Empty: performance never triggers one.",
    )
    min_label_coverage: float = Field(default=0.8, ge=0, le=1, description="Fewer labels refuse a training.")
    cooldown_days: int = Field(
        default=28, ge=0, le=LONGEST_DAYS, description="Days after a training on which another one is refused."
    )
    monthly_trainings: int = Field(default=2, ge=0, description="Budget of a calendar month, scheduled ones included.")


Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]


class RetentionSpec(Frozen):
    """How many days `contrail maintain` keeps what nothing refers to any more. Empty: for ever.

    What a registered version, a decision, a backfill or a receipt refers to stays, whatever its age.
    """

    reports: Days | None = Field(
        default=365, description="Pages of validations, drift, differences and decisions. Their records stay."
    )
    logs: Days | None = Field(default=90, description="Logs of tasks, events of lineage, and files about errors.")
    trials: Days | None = Field(default=90, description="MLflow runs without a registered version.")
    differences: Days | None = Field(
        default=None, description="The snapshots that the difference of a backfill or of late files compares."
    )
    data_versions: Days | None = Field(
        default=90, description="Training sets and landed files in DVC that no run, version or .dvc file names."
    )
