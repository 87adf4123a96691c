"""The typed form of ``pipeline.yaml``: what a use case is, without any word on where it runs.

Nothing here reads data or the environment. Unknown keys are refused with the nearest valid name.
"""

import hashlib
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError

from contrail.config import expressions, rules
from contrail.config.model_spec import DriftSpec, GateSpec, RetentionSpec, RetrainSpec, ScoreSpec, TrainSpec
from contrail.config.names import Name, PipelineName
from contrail.config.problems import Problem, model_at, problems_of, said
from contrail.config.table_spec import LONGEST_DAYS, FeaturesSpec, LabelSpec, TableSpec
from contrail.config.tune_spec import TuneSpec
from contrail.config.yaml_file import YamlFile, read_yaml
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.partitions import FIRST_DAY, LAST_DAY

# Windows, time zones and Airflow's UTC reach past a day: none of them overflows within these years.
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]

# A feed may deliver a row again on one of the next days.
_REMEMBERED_DAYS = 3


def _local_time(value: Any) -> time:
    if isinstance(value, int | float):  # YAML reads 6:00 as a number of minutes, 360
        raise ValueError(f'YAML reads this as the number {value}; write the time in quotes, as "06:00"')
    found = time.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(found, time) and (found.tzinfo or found.second or found.microsecond):
        raise ValueError('write hours and minutes only, as "06:00"; timezone has the zone')
    return found


class ScheduleSpec(Frozen):
    """When the DAGs run (cron, in the pipeline's time zone) and how they behave on failure."""

    daily: str = Field(default="0 0 * * *", description="Cron of each day's run: once a day, at the cut-off or later.")
    train: str | None = Field(default=None, description="Cron of trainings. Empty: only by hand or by the governor.")
    maintain: str | None = Field(default="30 5 * * 0", description="Cron of upkeep, weekly. Empty: only by hand.")
    start_date: Day = Field(
        description="First day of the schedule, at first_partition or later. Earlier days need a backfill."
    )
    retries: int = Field(
        default=2, ge=0, le=100, description="How often a task runs again that failed for a passing reason."
    )
    retry_delay_seconds: int = Field(
        default=30, ge=1, le=86_400, description="Wait before the first retry. It doubles, up to fifteen minutes."
    )
    timeout_minutes: int = Field(
        default=60,
        ge=1,
        le=14 * 1_440,
        description="Limit of a task. A run has three times as long, plus the time of its remote jobs and its approver.",
    )
    late_days: int = Field(
        default=14, ge=1, le=LONGEST_DAYS, description="How far back each day's run looks for late files."
    )
    deadline_minutes: int = Field(default=120, ge=1, le=31 * 1_440, description="A run that takes longer is reported.")


class PipelineSpec(Frozen):
    """One use case. ``entities`` names the landed table with one row for each thing to predict."""

    name: PipelineName = Field(description="Name of the folder, too.")
    title: str = Field(description="What people read in Airflow and reports.")
    description: str = Field(description="What is predicted, for whom, from which data.")
    owner: str = Field(description="Who answers for it.")
    task: Literal["binary", "regression"] = Field(description="A probability, or a number.")
    timezone: str = Field(description="IANA zone of all local dates and times, as Europe/Berlin.")
    cutoff: Annotated[time, BeforeValidator(_local_time)] = Field(
        default=time(0), description="Local time at which predictions are made, in quotes."
    )
    first_partition: Day = Field(description="First day that has files. No window reaches before it.")
    last_partition: Day | None = Field(
        default=None, description="Last day of a feed that has ended. Empty: it goes on."
    )
    entities: str = Field(description="Table with one row for each thing to predict; known_ahead.")
    key: tuple[str, ...] = Field(
        description="Columns that tell entities apart: the key of the entities and of the label table."
    )
    sensitive: tuple[str, ...] = Field(
        default=(),
        description="Features, or columns of the entities table, whose groups the model card compares: rates, errors and "
        "calibration. The model need not read them.",
    )
    label: LabelSpec
    tables: dict[Name, TableSpec]
    features: FeaturesSpec
    train: TrainSpec
    tune: TuneSpec = TuneSpec()
    gate: GateSpec
    score: ScoreSpec = ScoreSpec()
    drift: DriftSpec = DriftSpec()
    retrain: RetrainSpec = RetrainSpec()
    retention: RetentionSpec = RetentionSpec()
    schedule: ScheduleSpec

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
    def personal(self) -> frozenset[str]:
        """Names of the columns, of any table, whose values are of persons."""
        return frozenset(name for table in self.tables.values() for name in table.personal)

    @property
    def prediction_column(self) -> str:
        """``probability`` for a binary task, ``prediction`` for a regression."""
        return "probability" if self.task == "binary" else "prediction"


class Examined(NamedTuple):
    """A file, the spec in it as far as it can be understood, and all that is wrong."""

    file: YamlFile
    spec: PipelineSpec | None
    problems: list[Problem]


def examine(path: Path, *, bind: bool = True) -> Examined:
    """Read a ``pipeline.yaml`` and find all that is wrong with it.

    Args:
        path: The file.
        bind: Whether to bind its expressions to its tables, which loads DuckDB.

    Raises:
        SpecError: when the file is no YAML, or no honest one.
    """
    file = read_yaml(path)
    spec, problems = _typed(file.values)
    if spec is not None:
        more = [*rules.problems(spec), *(expressions.problems(spec) if bind else [])]
        problems += [one for one in more if one.place not in {known.place for known in problems}]
    return Examined(file, spec, problems)


def _typed(values: dict[str, Any]) -> tuple[PipelineSpec | None, list[Problem]]:
    """The spec, and what the models refuse. What they refuse is left out, so that the rest can be looked at too."""
    try:
        return PipelineSpec.model_validate(values), []
    except ValidationError as error:
        problems = problems_of(error, PipelineSpec)
        kept: Any = values
        for place in {item["loc"] for item in error.errors()}:
            if model_at(PipelineSpec, place[:-1]) is None:
                return None, problems  # a named thing, such as a column: without it, others would seem wrong
            kept = _without(kept, place)
        try:
            return PipelineSpec.model_validate(kept), problems
        except ValidationError:  # something that must be there is not
            return None, problems


def _without(values: Any, place: tuple[int | str, ...]) -> Any:
    """The same values, without the key at ``place``."""
    if not isinstance(values, dict) or place[0] not in values:
        return values
    others = {key: value for key, value in values.items() if key != place[0]}
    return others if len(place) == 1 else {**others, place[0]: _without(values[place[0]], place[1:])}


def load_spec(path: Path, *, bind: bool = True) -> PipelineSpec:
    """Read and check a ``pipeline.yaml``.

    Raises:
        SpecError: naming the file and, for each thing that is wrong, the line, the key, the rule and the nearest name.
    """
    file, spec, problems = examine(path, bind=bind)
    if problems or spec is None:
        raise SpecError(said(path, problems, file))
    return spec


def spec_hash(folder: Path) -> str:
    """SHA-256 over every file that defines a pipeline: the YAML and the Python beside it."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
