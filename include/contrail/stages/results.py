"""The result of each verb: one frozen model a verb, and the JSON that an orchestrator passes on.

The module is light, because DAGs and notifiers read results with it. How a stage comes to its result belongs to the
stage.
"""

from collections.abc import Mapping, Sized
from datetime import date
from typing import Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, SerializeAsAny, ValidationError

from contrail.config.validation_errors import explain
from contrail.errors import DataError
from contrail.frozen import Frozen, Sparse
from contrail.methods.governor import Outcome, Trigger
from contrail.stages.details import StageDetails, TuneDetails
from contrail.stages.replayed import ReplayResult

Metrics = Mapping[str, float | None]


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: Sized | int) -> bool:
    return not value


class IngestDetails(StageDetails):
    """Counts of files; ``late`` and ``replaced`` name tables and partitions."""

    files: int
    unchanged_files: int
    late: tuple[str, ...]
    replaced: tuple[str, ...]


class ValidateDetails(StageDetails):
    """Rows in quarantine, by table and rule; ``unusual`` says what of a day is unlike its table's last days."""

    quarantined: Mapping[str, Mapping[str, int]]
    unusual: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)


class FeaturesDetails(StageDetails):
    """The engine's kind, and by table the partitions of the look-back that are not in the lake."""

    engine: str
    look_back_missing: Mapping[str, tuple[str, ...]]


class TrainDetails(StageDetails):
    """The trained model; ``model_version`` is None when it was not registered.

    ``immature`` names the partitions that were left out, because not all of their labels were known.
    """

    model_name: str
    model_version: str | None
    mlflow_run: str
    rounds: int
    device: str
    workers: int
    training_set_md5: str
    model_sha256: str
    immature: tuple[str, ...] = ()
    validation: Metrics
    baselines: Mapping[str, Metrics]


class PromoteDetails(StageDetails):
    """The gate's decision; ``record`` is its text for an approver, when it waits for one."""

    record: str | None = Field(default=None, exclude_if=_is_none)
    model_name: str
    model_version: str
    verdict: Literal["pass", "waits", "refused"]
    champion_before: str | None
    metrics: Mapping[str, Metrics]


class ShadowScoring(Sparse):
    """The challenger's rows, or why it was ``skipped``; empty without a challenger."""

    model_version: str | None = None
    rows: int | None = None
    skipped: str | None = None


class ScoreDetails(StageDetails):
    """The model and what it scored. ``model_version`` joins several with commas, if the champion changed.

    ``expected_value`` is what flagging would save over the range beside flagging none, by the probabilities and the
    spec's costs; None without costs. ``learned_from`` are days whose outcomes the model was trained on.
    """

    model_name: str
    model_version: str
    feature_snapshot: int | None
    without_entities: tuple[str, ...]
    learned_from: tuple[str, ...] = Field(default=(), exclude_if=lambda days: not days)
    predict_seconds: float
    expected_value: float | None = Field(default=None, exclude_if=_is_none)
    shadow: ShadowScoring


class DriftDetails(StageDetails):
    """Days with drift, and those on which it began; ``verdict`` is the last day's.

    ``unusually_flagged`` names the days up to which the share of flagged predictions left its usual range.
    ``prediction_drift_begins`` and ``reason_drift_begins`` name the days on which the predictions, or what their reasons
    name, began to differ from the days before.
    """

    model_name: str
    model_version: str
    unusual_days: int
    drift_days: int
    drift_begins: tuple[str, ...]
    verdict: str
    without_features: tuple[str, ...]
    label_drift_days: int
    label_drift_begins: tuple[str, ...]
    without_labels: tuple[str, ...]
    unusually_flagged: tuple[str, ...] = ()
    prediction_drift_begins: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    reason_drift_begins: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)


class PeriodCalibration(Frozen):
    """Whether predictions of a stretch of days meant what they said. ``interval`` is None for fewer than five days."""

    period: str
    rows: int
    label_mean: float
    prediction_mean: float
    calibration_error: float
    interval: tuple[float, float] | None


class PooledQuality(Frozen):
    """A version's quality over all measured days: metrics, their intervals over days, and calibration by month."""

    rows: int
    metrics: Metrics
    intervals: Mapping[str, tuple[float, float]]
    months: tuple[PeriodCalibration, ...]


class PerformanceDetails(StageDetails):
    """The number of measured days, and the partitions that were not measured.

    ``estimated`` counts the days whose quality was estimated before their labels. ``fell`` has a sentence for each segment
    whose quality was first seen to have fallen on the measured days. ``without_predictions`` is None when no day was
    measured. ``quality`` pools the published predictions of the measured
    days, by version. Fewer than five days are not pooled.
    """

    measured: int
    immature: tuple[str, ...]
    estimated: int = Field(default=0, exclude_if=_is_empty)
    fell: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    quality: Mapping[str, PooledQuality] = Field(default={}, exclude_if=_is_empty)
    without_predictions: tuple[str, ...] | None = Field(default=None, exclude_if=_is_none)


class RecordedTraining(Frozen):
    """A training, with the day whose cut-off it could have used; ``what`` names it for a person."""

    as_of: str
    what: str


class RecordedEvidence(Sparse):
    """The evidence of a decision, as the table ``governor`` keeps it: see ``RetrainEvidence``.

    Another version of Contrail may have written a row with fewer or more fields.
    """

    model_config = ConfigDict(extra="allow")

    day: str | None = None
    champion: str | None = None
    drift: Mapping[str, str] = {}
    label_drift: Mapping[str, str] = {}
    improvements: Mapping[str, float] = {}
    reference: float | None = None
    labelled: int | None = None
    rows: int | None = None
    trainings: tuple[RecordedTraining, ...] = ()
    asked: str | None = None
    reason: str | None = None
    insist: bool | None = None


class GovernDetails(StageDetails):
    """Whether to retrain, and why; ``reasons`` are sentences."""

    decision: Outcome
    trigger: Trigger | None
    model_version: str | None
    reasons: tuple[str, ...]
    evidence: RecordedEvidence


class CopiedTable(Frozen):
    """One table in the analysts' warehouse: the partitions that were replaced, and the snapshot that it holds now."""

    rows: int
    partitions: tuple[str, ...]
    lake_snapshot: int


class PublishDetails(StageDetails):
    """What was copied to the analysts' warehouse, by table."""

    tables: Mapping[str, CopiedTable]


class LateDetails(StageDetails):
    """What came late, and what became of it.

    ``files`` names tables and days. ``days`` are the days that are different now. ``too_old`` has a sentence about
    files of days before the look-back, with the command that takes them in.
    """

    files: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    decisions_flipped: int = 0
    backfill: str = ""
    reports: tuple[str, ...] = ()
    too_old: tuple[str, ...] = ()


class JobCost(Frozen):
    """What a remote job cost. ``amount`` is None when it is not known."""

    amount: float | None
    estimate: float | None
    currency: str


Details = TypeVar("Details", bound=StageDetails)


class StageResult(Frozen, Generic[Details]):
    """What a stage did, for a person and a scheduler.

    ``snapshots`` are those that it published, by table. Only the result of a remote job has a ``cost``.
    """

    stage: str
    pipeline: str
    partitions: str
    run_id: str
    rows: int = 0
    quarantined: int = 0
    unchanged: bool = False
    snapshots: Mapping[str, int] = {}
    details: SerializeAsAny[Details]
    reports: tuple[str, ...] = ()
    seconds: float = 0.0
    cost: JobCost | None = Field(default=None, exclude_if=_is_none)


class LateResult(Frozen):
    """What ``contrail late`` did."""

    details: LateDetails
    cost: JobCost | None = Field(default=None, exclude_if=_is_none)


class Removed(Frozen):
    """What upkeep removed of a place, or would remove. ``of`` is a table, or the place in words. ``size`` is in bytes."""

    of: str
    files: int
    size: int


class MaintainDetails(StageDetails):
    """What upkeep removed, place by place; with ``dry_run``, what it would remove.

    ``compacted`` has the tables whose small files it rewrote into fewer ones. They go once no snapshot has them.
    """

    dry_run: bool = False
    removed: tuple[Removed, ...] = ()
    compacted: tuple[Removed, ...] = ()


class MaintainResult(Frozen):
    """What ``contrail maintain`` did."""

    pipeline: str
    details: MaintainDetails


class RescoredDays(Frozen):
    """A range of days that a rollback scores again as one job, with its rows."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    rows: int


class RollbackModelResult(StageDetails):
    """What ``contrail rollback-model`` did; with ``dry_run``, what it would do. Only what was done has the last fields."""

    pipeline: str
    bad_version: str
    to_version: str
    effective_from: date
    partitions: int
    rows: int
    jobs: tuple[RescoredDays, ...]
    dry_run: bool
    run_id: str | None = Field(default=None, exclude_if=_is_none)
    person: str | None = Field(default=None, exclude_if=_is_none)
    reason: str | None = Field(default=None, exclude_if=_is_none)
    rescored_rows: int | None = Field(default=None, exclude_if=_is_none)

    @property
    def details(self) -> StageDetails:
        """The result has nothing but its own part."""
        return self


Result = StageResult[Any] | LateResult | MaintainResult | ReplayResult | RollbackModelResult
RESULTS: Mapping[str, type[Result]] = {
    "ingest": StageResult[IngestDetails],
    "validate": StageResult[ValidateDetails],
    "features": StageResult[FeaturesDetails],
    "train": StageResult[TrainDetails],
    "tune": StageResult[TuneDetails],
    "promote": StageResult[PromoteDetails],
    "score": StageResult[ScoreDetails],
    "drift": StageResult[DriftDetails],
    "performance": StageResult[PerformanceDetails],
    "govern": StageResult[GovernDetails],
    "publish": StageResult[PublishDetails],
    "late": LateResult,
    "maintain": MaintainResult,
    "replay": ReplayResult,
    "rollback-model": RollbackModelResult,
}


def parse_result(verb: str, values: Mapping[str, Any]) -> Result:
    """The result of a verb, from its JSON.

    Raises:
        DataError: naming each key that this version of Contrail does not know, or that is missing. A result lives as
            long as its DAG run, so only a change of version during a run can cause this.
    """
    model = RESULTS[verb]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise DataError(explain(f"the result of {verb}", error, model)) from error
