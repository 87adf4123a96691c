"""The DAG ``train``: a new candidate, and the gate that decides whether it becomes champion."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, Param

from contrail.config.pipeline import parse_pipeline
from contrail.config.spec import PipelineSpec
from contrail.config.training_windows import TrainingWindows, training_windows
from contrail.partitions import Partitions
from contrail_airflow.dags.policy import dag, limit, place, stage, start, use_what_is_rented
from contrail_airflow.operators.approval import PromoteOperator
from contrail_airflow.operators.day import DayOperator
from contrail_airflow.operators.ending import refusing
from contrail_airflow.operators.results import result_of
from contrail_airflow.operators.stage import NEW_RUN
from contrail_airflow.scheduling.timetables import UntilTimetable

_STAGES = ("train", "promote", "promote")  # the task `judge` also runs promote
# name=value, divided by spaces. The form marks anything else, and Airflow refuses it.
SETTINGS = r"^\s*([A-Za-z_]+=[^\s=]+(\s+[A-Za-z_]+=[^\s=]+)*)?\s*$"
_AS_OF = "params.as_of, dag_run.run_after"
_DAY = "{{ training_day(" + _AS_OF + ") }}"
_GATE: dict[str, Any] = {
    "partition_from": "{{ gate_window(" + _AS_OF + ").start }}",
    "partition_to": "{{ gate_window(" + _AS_OF + ").end }}",
}
_CANDIDATE = "{{ candidate(ti) }}"
# Without the check, the gate would judge the newest version, which another run may have trained.
_HAS_CANDIDATE = {
    "model": "This run has no candidate: the task `train` left no version. Clear `train`, so that it trains again."
}
# Who asked for the training. Without it, the command would name the account of the worker.
_BY_ITSELF = "run_id.startswith(('scheduled__', 'governor__'))"
_REQUEST = {
    "person": "{{ 'pipeline' if " + _BY_ITSELF + " else dag_run.triggering_user_name or 'unknown' }}",
    "reason": "{{ '' if " + _BY_ITSELF + " else params.why or '' }}",
}
_ALLOWED = "{{ 'yes' if is_allowed(ti) else '' }}"


def train(pipeline: str) -> DAG:
    """Govern → train → judge → promote, by schedule, by hand, or started by the DAG ``monitor``."""
    spec = parse_pipeline(pipeline).spec
    cron = spec.schedule.train
    with dag(
        spec, "train", stages=_STAGES,
        room=_room(spec), schedule=UntilTimetable(cron, timezone=spec.timezone, last=spec.last_partition) if cron else None,
        start_date=start(spec), max_active_runs=1,
        params=_params(spec), user_defined_macros={**Windows(spec).macros(), **MACROS},
    ) as made:  # fmt: skip
        govern = _govern(spec)
        trained = stage(
            spec, "train", skip_unless=_ALLOWED,
            trigger_rule="none_failed",  # in a run that the monitor started, govern is skipped
            partition_from="{{ train_window(" + _AS_OF + ").start }}",
            partition_to="{{ train_window(" + _AS_OF + ").end }}",
            options={"params": [*use_what_is_rented(spec, "train"), "{{ params.set or '' }}"], **_REQUEST},
            **place(spec, "train"),
        )  # fmt: skip
        judge = stage(
            spec, "promote", task_id="judge", skip_unless=_if_awaited(spec), **_GATE,
            options={"model": _CANDIDATE, "approval": "awaited"}, required=_HAS_CANDIDATE,
        )  # fmt: skip
        promote = stage(
            spec, "promote", operator=PromoteOperator, skip_unless=_if_promotable(spec), **_GATE,
            options={"model": _CANDIDATE}, required=_HAS_CANDIDATE,
            trigger_rule="none_failed",  # judge is skipped where the gate needs no person, or has refused the candidate
            ask_if=_if_awaited(spec),
            subject=f"{spec.title}: may version {_CANDIDATE} become champion?",
            body="{{ record(ti) }}",
            response_timeout=timedelta(hours=spec.gate.approval_hours),
        )  # fmt: skip
        govern >> trained >> judge >> promote
    return made


def _govern(spec: PipelineSpec) -> DayOperator:
    by_hand = "{{ '' if run_id.startswith('scheduled__') else "
    return DayOperator(
        task_id="govern", verb="govern", pipeline=spec.name, partition_from=_DAY, partition_to=_DAY,
        skip_unless="{{ '' if run_id.startswith('governor__') else 'yes' }}",
        options={
            "asked": "{{ 'schedule' if run_id.startswith('scheduled__') else 'by-hand' }}",
            "training": "{{ run_id }}",
            "person": by_hand + "dag_run.triggering_user_name or 'unknown' }}",
            "reason": by_hand + "params.why or '' }}",
            "insist": by_hand + "params.insist }}",
        },
    )  # fmt: skip


def _params(spec: PipelineSpec) -> dict[str, Param]:
    """The form of a training that a person starts."""
    return {
        "as_of": Param(
            None, type=["null", "string"], format="date", title="As of",
            description="Use only what was known at the cut-off of this day. Empty: the day of the run.",
        ),
        "approval": Param(
            spec.gate.approval == "person", type="boolean", title="Wait for an approver",
            description="A pipeline whose gate asks for a person always waits for one.",
        ),
        # As text: Airflow's form sends {} for an object whose JSON is wrong.
        "set": Param(
            None, type=["null", "string"], title="XGBoost parameters", pattern=SETTINGS,
            description=f"For example max_depth=8 eta=0.05. Empty: those of the pipeline, which are {_settings(spec)}.",
        ),
        # It is not called `reason`, because Airflow would fill the run's value into the approver's own form.
        "why": Param(
            None, type=["null", "string"], title="Reason", description="Why, for the record of the decision. It may be empty."
        ),
        "insist": Param(
            False, type="boolean", title="Train all the same",
            description="In spite of a cool-down or missing labels. The month's budget still refuses.",
        ),
    }  # fmt: skip


def _settings(spec: PipelineSpec) -> str:
    return " ".join(f"{name}={value}" for name, value in spec.train.params.items()) or "XGBoost's own"


def _if_awaited(spec: PipelineSpec) -> str:
    return "{{ 'yes' if " + _awaited(spec) + " else '' }}"


def _if_promotable(spec: PipelineSpec) -> str:
    """Where a person is asked, only with the record of a candidate that passed the other checks."""
    return "{{ 'yes' if is_allowed(ti) and (record(ti) or not (" + _awaited(spec) + ")) else '' }}"


def _awaited(spec: PipelineSpec) -> str:
    return f"{'true' if spec.gate.approval == 'person' else 'false'} or params.approval"


def _room(spec: PipelineSpec) -> timedelta:
    """The time of each stage, and the approver's time to answer: any training may wait for an approver."""
    stages = (limit(spec, verb) for verb in _STAGES)
    return sum(stages, timedelta(hours=spec.gate.approval_hours))


def is_allowed(ti: Any) -> bool:
    """Whether the governor allows this training. It allowed one that the monitor started before that run began."""
    decided: Any = result_of(ti, "govern")
    return decided is None or decided.details.decision == "retrain"


def candidate(ti: Any) -> str:
    """The version that this run has trained; empty where it has trained none."""
    trained: Any = result_of(ti, "train")
    return (trained and trained.details.model_version) or ""


def record(ti: Any) -> str:
    """The decision record that an approver reads; empty where the gate needs no person."""
    judged: Any = result_of(ti, "judge", "promote")
    return (judged and judged.details.record) or ""


MACROS = {"is_allowed": is_allowed, "candidate": candidate, "record": record}


@dataclass(frozen=True)
class Windows:
    """Template macros: the windows of a training run; ``verb`` is the task that days which cannot be are refused for."""

    spec: PipelineSpec
    verb: str = "train"

    def macros(self) -> dict[str, Any]:
        """The macros by their name in a template."""
        return {"train_window": self.train, "gate_window": self.gate, "training_day": self.day}

    def _both(self, as_of: str | None, run_after: datetime) -> TrainingWindows:
        today = run_after.astimezone(ZoneInfo(self.spec.timezone)).date()
        with refusing(self.verb, NEW_RUN):
            return training_windows(self.spec, Partitions.parse(as_of).start if as_of else today)

    def train(self, as_of: str | None, run_after: datetime) -> Partitions:
        """The days that a model is trained on."""
        return self._both(as_of, run_after).train

    def gate(self, as_of: str | None, run_after: datetime) -> Partitions:
        """The days that the gate judges it by."""
        return self._both(as_of, run_after).gate

    def day(self, as_of: str | None, run_after: datetime) -> date:
        """The day at whose cut-off the run trains. For a pipeline that has ended: the day after its last."""
        return self.gate(as_of, run_after).end + timedelta(days=1)
