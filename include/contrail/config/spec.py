"""The typed form of ``pipeline.yaml``: what a use case is, without any word on where it runs.

Nothing here reads data or the environment. Unknown keys are refused with the nearest valid name.
"""

import hashlib
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from contrail.config.validation_errors import explain
from contrail.errors import SpecError
from contrail.frozen import Frozen

ColumnType = Literal["string", "int", "float", "bool", "date", "timestamp"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class ColumnSpec(Frozen):
    """A column of a landed table. ``timestamp`` is UTC; an empty CSV field is null."""

    type: ColumnType
    required: bool = True
    doc: str = ""


class TableSpec(Frozen):
    """A landed table: ``daily`` (one file a day) or ``reference`` (one file, replaced whole).

    A daily table's partition is the local date on which its rows become known. So a cut-off at midnight of day D may
    read the partitions before D. It may also read D's own of a table that is ``known_ahead``.
    """

    kind: Literal["daily", "reference"] = "daily"
    doc: str = ""
    key: tuple[str, ...]
    known_at: str | None = None
    known_ahead: bool = False
    may_be_empty: bool = Field(
        default=False, description="A day without a file, or with a header alone, is an empty partition, not refused."
    )
    columns: dict[str, ColumnSpec]

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        named = [*self.key, *([self.known_at] if self.known_at else [])]
        if missing := [name for name in named if name not in self.columns]:
            raise ValueError(f"columns {missing} are named in key or known_at but not listed in columns")
        if self.kind == "daily" and not self.known_at:
            raise ValueError("a daily table needs known_at: the timestamp column from which a row was known")
        if self.known_at and self.columns[self.known_at].type != "timestamp":
            raise ValueError(f"known_at column {self.known_at} must have type timestamp")
        return self


class LabelSpec(Frozen):
    """What is predicted: a SQL expression over a validated table, joined to the entities by the pipeline's key.

    ``mature_after_days``: a partition's performance is final when so many later partitions are validated.
    """

    table: str
    expression: str
    mature_after_days: int = Field(default=1, ge=0)


class FeatureSpec(Frozen):
    """One feature column. A ``category`` is encoded by a table stored with the model."""

    kind: Literal["number", "category"] = "number"
    doc: str


class FeaturesSpec(Frozen):
    """``lookback_days`` bounds what a day's features may read, so that a day costs the same every day."""

    lookback_days: int = Field(ge=1, le=400)
    columns: dict[Name, FeatureSpec]

    @property
    def categories(self) -> list[str]:
        """Names of the categorical features."""
        return [name for name, column in self.columns.items() if column.kind == "category"]


class TrainSpec(Frozen):
    """How a model is fitted. The last ``validation_days`` stop the rounds early, after a gap of ``embargo_days``."""

    window_days: int = Field(default=243, ge=2, description="Partitions that a scheduled training run reads.")
    validation_days: int = Field(default=31, ge=1)
    embargo_days: int = Field(default=2, ge=0)
    rounds: int = Field(default=500, ge=1)
    early_stopping_rounds: int = Field(default=30, ge=1)
    checkpoint_rounds: int = Field(
        default=0,
        ge=0,
        description="An interrupted training continues after a multiple of these rounds; 0: it starts again.",
    )
    external_memory_rows: int = Field(
        default=0,
        ge=0,
        description="A training of more rows keeps their bins on disk (CPU) or in the host's memory (GPU). "
        "0: only when the bins do not fit into a GPU's memory.",
    )
    refit: bool = Field(default=True, description="Fit again on the whole window with the rounds found.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(
        default=1,
        ge=1,
        description="Executors of Apache Spark that grow each tree together, where the engine has executors. By default, "
        "and elsewhere, the stage's process grows them alone.",
    )
    seed: int = 0
    params: dict[str, int | float | str | bool] = Field(default={})
    rate_table: tuple[str, ...] = Field(default=(), description="Features whose group means are the simple baseline.")
    segments: tuple[str, ...] = Field(default=(), description="Features by which metrics are split.")


class SegmentFloor(Frozen):
    """In every group of ``feature`` with ``min_rows`` rows, ``metric`` may not be worse than ``floor``."""

    feature: str
    metric: Literal["auc", "log_loss", "rmse", "mae"]
    floor: float
    min_rows: int = Field(default=500, ge=1)


class GateSpec(Frozen):
    """What a challenger must show on rows after its training window."""

    window_days: int = Field(default=28, ge=1, description="Out-of-time partitions that both models are scored on.")
    metric: Literal["log_loss", "auc", "rmse", "mae"] = "log_loss"
    min_improvement: float = Field(default=0.0, description="Over the champion; negative allows non-inferiority.")
    min_improvement_over_baseline: float = 0.0
    max_calibration_error: float | None = None
    segments: tuple[SegmentFloor, ...] = ()
    bootstrap_samples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_rows: int = Field(default=1000, ge=1)
    approval: Literal["none", "person"] = Field(default="none", description="Whether a person must agree to a pass.")
    approval_hours: float = Field(default=24, gt=0, description="Without an answer by then, it is refused.")
    shadow: bool = Field(
        default=False,
        description="A version that fails only against the champion becomes challenger. It is scored in shadow.",
    )
    min_shadow_days: int = Field(default=7, ge=1, description="Labelled days in shadow from which they become a check.")


class ScoreSpec(Frozen):
    """How rows are scored; ``threshold`` turns a probability into a decision (binary tasks)."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    reasons: int = Field(default=3, ge=0, le=10)
    late_data: Literal["keep", "rescore"] = Field(
        default="keep", description="Whether days whose features changed after late data are scored again."
    )


class DriftSpec(Frozen):
    """Features of a day are unusual at ``false_alarm_rate``; drift is raised at ``raise_days`` of ``of_days`` such days.

    Drift of the label is raised when the mean residual of its last ``raise_days`` labelled days is unusual at
    ``label_false_alarm_rate``. At the defaults, days like those of the training window raise each less than once a
    quarter (``make bench``, drift).
    """

    false_alarm_rate: float = Field(
        default=0.05, gt=0, lt=0.5, description="Share of usual days that are called unusual by chance."
    )
    label_false_alarm_rate: float = Field(
        default=0.01, gt=0, lt=0.5, description="Share of usual runs of days that raise drift of the label by chance."
    )
    raise_days: int = Field(default=3, ge=1)
    of_days: int = Field(default=5, ge=1)
    clear_days: int = Field(default=1, ge=0, description="Drift is cleared at this number of unusual days, or fewer.")
    bins: int = Field(default=10, ge=2, le=50)

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if not self.clear_days < self.raise_days <= self.of_days:
            raise ValueError("hysteresis needs clear_days < raise_days <= of_days")
        return self


class RetrainSpec(Frozen):
    """When the governor retrains beside the schedule, and what forbids it. Days are partitions, not days of the clock."""

    drift_days: int = Field(default=3, ge=1, description="Days with the verdict drift that trigger a training …")
    drift_of_days: int = Field(default=5, ge=1, description="… among so many last days.")
    performance_days: int = Field(
        default=28,
        ge=1,
        description="Last labelled days whose median decides, once three quarters of them are measured.",
    )
    performance_margin: float | None = Field(
        default=None,
        ge=0,
        description="Loss of improvement over the baseline since the gate that triggers a training, in log_loss or "
        "rmse. Empty: performance never triggers one.",
    )
    min_label_coverage: float = Field(default=0.8, ge=0, le=1, description="Fewer labels refuse a training.")
    cooldown_days: int = Field(default=28, ge=0, description="Days after a training on which another one is refused.")
    monthly_trainings: int = Field(default=2, ge=0, description="Budget of a calendar month, scheduled ones included.")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.drift_days > self.drift_of_days:
            raise ValueError("retrain needs drift_days <= drift_of_days")
        return self


class ScheduleSpec(Frozen):
    """When the DAGs run (cron, in the pipeline's time zone) and how they behave on failure."""

    daily: str = "0 0 * * *"
    train: str | None = None
    start_date: date
    retries: int = Field(default=2, ge=0)
    retry_delay_seconds: int = Field(default=30, ge=1)
    timeout_minutes: int = Field(
        default=60,
        ge=1,
        description="Limit of a task. A run has three times as long, plus the time of its remote jobs and its approver.",
    )
    late_days: int = Field(default=14, ge=1, description="How far back each day's run looks for late files.")
    deadline_minutes: int = Field(default=120, ge=1, description="A run that takes longer is reported.")


class PipelineSpec(Frozen):
    """One use case. ``entities`` names the landed table with one row for each thing to predict."""

    name: Name
    title: str
    description: str
    owner: str
    task: Literal["binary", "regression"]
    timezone: str
    cutoff: Annotated[time, BeforeValidator(lambda v: time.fromisoformat(v) if isinstance(v, str) else v)] = time(0)
    first_partition: date
    last_partition: date | None = None
    entities: str
    key: tuple[str, ...]
    label: LabelSpec
    tables: dict[Name, TableSpec]
    features: FeaturesSpec
    train: TrainSpec
    gate: GateSpec
    score: ScoreSpec = ScoreSpec()
    drift: DriftSpec = DriftSpec()
    retrain: RetrainSpec = RetrainSpec()
    schedule: ScheduleSpec

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for role, table in (("entities", self.entities), ("label.table", self.label.table)):
            if table not in self.tables:
                raise ValueError(f"{role}: no table named '{table}'; tables: {', '.join(self.tables)}")
            if missing := [c for c in self.key if c not in self.tables[table].columns]:
                raise ValueError(f"key columns {missing} are not columns of {role} table '{table}'")
        if not self.tables[self.entities].known_ahead:
            raise ValueError(f"entities table '{self.entities}' must be known_ahead: it is read at its own cut-off")
        if self.tables[self.label.table].known_ahead:
            raise ValueError(f"label.table '{self.label.table}' cannot be known_ahead: that would be the future")
        named = [*self.train.rate_table, *self.train.segments, *(s.feature for s in self.gate.segments)]
        if missing := [name for name in named if name not in self.features.columns]:
            raise ValueError(f"{missing} are named in train or gate but are not in features.columns")
        return self

    @property
    def measured_again_days(self) -> int:
        """Mature days that each run checks for a change: those that late files reach and that the governor judges by."""
        return max(self.schedule.late_days, self.retrain.performance_days)

    @property
    def daily_tables(self) -> list[str]:
        """Names of the tables with one file a day."""
        return [name for name, table in self.tables.items() if table.kind == "daily"]

    @property
    def reference_tables(self) -> list[str]:
        """Names of the tables that are replaced whole."""
        return [name for name, table in self.tables.items() if table.kind == "reference"]

    @property
    def prediction_column(self) -> str:
        """``probability`` for a binary task, ``prediction`` for a regression."""
        return "probability" if self.task == "binary" else "prediction"


def load_spec(path: Path) -> PipelineSpec:
    """Read and check a ``pipeline.yaml``.

    Raises:
        SpecError: naming the file, the key path, the rule and the nearest valid name.
    """
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{path} does not exist. A pipeline is a folder with a pipeline.yaml.") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise SpecError(f"{path} must be a mapping with the keys {', '.join(PipelineSpec.model_fields)}")
    try:
        return PipelineSpec.model_validate(values)
    except ValidationError as error:
        raise SpecError(explain(path, error, PipelineSpec)) from error


def spec_hash(folder: Path) -> str:
    """SHA-256 over every file that defines a pipeline: the YAML and the Python beside it."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
