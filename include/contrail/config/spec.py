"""The typed form of ``pipeline.yaml``: what a use case is, without any word on where it runs.

Nothing here reads data or the environment. Unknown keys are refused with the nearest valid name.
"""

import hashlib
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from contrail.config.model_spec import DriftSpec, GateSpec, RetrainSpec, ScoreSpec, TrainSpec
from contrail.config.table_spec import FeaturesSpec, LabelSpec, Name, TableSpec
from contrail.config.validation_errors import explain
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.partitions import FIRST_DAY, LAST_DAY

# Windows, time zones and Airflow's UTC reach past a day: none of them overflows within these years.
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]

# A feed may deliver a row again on one of the next days.
_REMEMBERED_DAYS = 3


class ScheduleSpec(Frozen):
    """When the DAGs run (cron, in the pipeline's time zone) and how they behave on failure."""

    daily: str = "0 0 * * *"
    train: str | None = None
    start_date: Day
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
    first_partition: Day
    last_partition: Day | None = None
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
            if set(own := self.tables[table].key) != set(self.key):
                raise ValueError(
                    f"{role}: table '{table}' has the key {list(own)}, the pipeline {list(self.key)}. They must be the same: "
                    "one row for each thing to predict, and one outcome"
                )
        if not self.tables[self.entities].known_ahead:
            raise ValueError(f"entities table '{self.entities}' must be known_ahead: it is read at its own cut-off")
        if self.tables[self.label.table].kind == "reference":
            raise ValueError(f"label.table '{self.label.table}' must be daily: an outcome counts once it is known")
        if self.tables[self.label.table].known_ahead:
            raise ValueError(f"label.table '{self.label.table}' cannot be known_ahead: that would be the future")
        named = [*self.train.rate_table, *self.train.segments, *(s.feature for s in self.gate.segments)]
        if missing := [name for name in named if name not in self.features.columns]:
            raise ValueError(f"{missing} are named in train or gate but are not in features.columns")
        return self

    def remembered_days(self, table: str) -> int:
        """In how many partitions before a row's own its key is looked for. An outcome's key is, until it is mature."""
        return max(_REMEMBERED_DAYS, self.label.mature_after_days if table == self.label.table else 0)

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
