"""The messages to people: failures, refusals, unusual data, drift, fallen quality, changes of model, late data, deadlines.

Each message says what happened, what was kept, and what to do. Other modules deliver it.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

from contrail.errors import BudgetError, CommitConflictError, DataError, GateRefusedError
from contrail.frozen import Frozen
from contrail.stages.replayed import ReplayDetails
from contrail.stages.results import (
    DriftDetails,
    IngestDetails,
    LateDetails,
    PerformanceDetails,
    PromoteDetails,
    RollbackModelResult,
    ValidateDetails,
)
from contrail.stages.sentences import all_unusual


class Kind(StrEnum):
    """The kinds of messages, by which people can filter them."""

    failure = "failure"
    refusal = "refusal"
    unusual = "unusual data"
    drift = "drift"
    quality = "quality"
    promotion = "promotion"
    rollback = "rollback"
    late_data = "late data"
    deadline = "deadline"
    approval = "approval"


_SHOWN = 5
_KEPT = "what was published before stays readable; this run left nothing half published"


@dataclass(frozen=True)
class Message:
    """One message. ``where`` names the pipeline, the stage and the partitions."""

    kind: Kind
    where: str
    happened: str
    kept: str
    to_do: str
    link: str = ""

    @property
    def title(self) -> str:
        """One line."""
        return f"Contrail {self.kind}: {self.where}"

    def text(self) -> str:
        """The whole message, for a log, a chat or a mail."""
        parts = [
            self.title,
            f"What happened: {self.happened}",
            f"What was kept: {self.kept}",
            f"What to do: {self.to_do}",
        ]
        return "\n".join([*parts, *([self.link] if self.link else [])])

    def as_dict(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return {"title": self.title, **{name: str(value) for name, value in asdict(self).items()}}


def of_failure(where: str, code: int, said: str, link: str = "", again: str = "clear the task") -> Message:
    """The message about a stage that ended with an error.

    ``said`` is the last text that the stage printed, which names the place and the rule. ``again`` says how to start
    the stage again.
    """
    if code == GateRefusedError.exit_code:
        return Message(
            Kind.refusal, where, said, "the champion stays; the decision record is with the refused version",
            "read the record; train another candidate, or change the gate in pipeline.yaml with a reason", link,
        )  # fmt: skip
    if code == BudgetError.exit_code:
        return Message(
            Kind.refusal, where, said, "everything; no job was submitted, so this run cost nothing",
            f"wait for the next month, or change the budget or the stage's target as above; then {again}", link,
        )  # fmt: skip
    if code == DataError.exit_code:
        return Message(
            Kind.refusal, where, said, f"{_KEPT}; refused files and rows are in `refusals` and `quarantine`",
            f"mend what is named above, then {again}", link,
        )  # fmt: skip
    retried = code == CommitConflictError.exit_code or code < 0 or code > 128
    to_do = f"the retries are used up: read the log, then {again}" if retried else (
        f"mend what is named above, then {again}; before that it would fail again"
    )  # fmt: skip
    return Message(Kind.failure, where, said or f"exit code {code}", _KEPT, to_do, link)


def of_overtime(where: str, limit: timedelta | None, link: str = "") -> Message:
    """The message about a task that took too long, as did its retries."""
    took = f"it took longer than its {limit}" if limit else "what it waited for in the cloud took too long"
    return Message(
        Kind.failure, where, f"{took}, and was ended", _KEPT,
        "see in the task's log where the time went. If the machine was busy, clear the task; else give it longer "
        "(`schedule.timeout_minutes` in pipeline.yaml, `timeout_minutes` of a target in the cloud) or fewer days", link,
    )  # fmt: skip


def of_no_training(where: str, said: str, dag_id: str, link: str = "") -> Message:
    """The message about a training that the governor decided on and that did not start."""
    return Message(
        Kind.failure, where, f"the governor decided to retrain, but the training did not start: {said}",
        "the decision, in the table `governor`; the champion stays", f"clear the task, or trigger {dag_id} as of this day",
        link,
    )  # fmt: skip


def of_result(where: str, pipeline: str, details: Frozen, link: str = "") -> Message | None:
    """The message about a stage's result; None when people need none."""
    match details:
        case ValidateDetails():
            return _of_unusual(where, pipeline, details, link)
        case DriftDetails():
            return _of_drift(where, pipeline, details, link)
        case PerformanceDetails():
            return _of_quality(where, pipeline, details, link)
        case PromoteDetails(verdict="pass"):
            return _of_promotion(where, details, link)
        case RollbackModelResult(dry_run=False):
            return _of_rollback(where, details, link)
        case IngestDetails():
            return _of_late_files(where, pipeline, details, link)
        case LateDetails():
            return _of_corrections(where, pipeline, details, link)
        case ReplayDetails():
            return _of_mends(where, pipeline, details, link)
    return None


def _of_rollback(where: str, done: RollbackModelResult, link: str) -> Message:
    return Message(
        Kind.rollback, where,
        f"version {done.bad_version} is taken back: version {done.to_version} is champion for partitions "
        f"from {done.effective_from}, and {done.rescored_rows or 0:,} rows are scored again. Reason: {done.reason}",
        "the version that was taken back, and its predictions under their snapshot "
        f"(`contrail history predictions -p {done.pipeline}`)",
        f"nothing; performance of these days still measures the old predictions "
        f"(`contrail status -p {done.pipeline}` shows whether it is stale)", link,
    )  # fmt: skip


def _of_unusual(where: str, pipeline: str, details: ValidateDetails, link: str) -> Message | None:
    if not details.unusual:
        return None
    more = len(details.unusual) - _SHOWN
    happened = "; ".join(details.unusual[:_SHOWN]) + (f"; and {more} more days" if more > 0 else "")
    return Message(
        Kind.unusual, where, f"days are unlike their table's own last ones: {happened}",
        "the rows are published, because they keep their contract",
        "ask the feed whether the day is right. If not, land a mended file. "
        f"All of them: `{all_unusual(pipeline)}`", link,
    )  # fmt: skip


def _of_drift(where: str, pipeline: str, details: DriftDetails, link: str) -> Message | None:
    begun = {
        "the features began to differ from the days before": details.drift_begins,
        "the labels known by then began to differ from what the model expects": details.label_drift_begins,
        "the predictions began to differ from the days before": details.prediction_drift_begins,
        "the reasons of predictions began to differ from the days before": details.reason_drift_begins,
    }
    found = [f"{what} on {', '.join(days)}" for what, days in begun.items() if days]
    if not found:
        return None
    return Message(
        Kind.drift, where, "; ".join(found),
        "the predictions are published as always; each day's verdict is in `drift`",
        f"read the drift report and `contrail query -p {pipeline} \"SELECT * FROM drift WHERE unusual\"`", link,
    )  # fmt: skip


def _of_quality(where: str, pipeline: str, details: PerformanceDetails, link: str) -> Message | None:
    if not details.fell:
        return None
    return Message(
        Kind.quality, where, f"quality fell in {', '.join(details.fell)}",
        "the predictions are published as always; each segment's day is in `segment_quality`",
        "ask what changed for these rows, and look at their own charts in the view Predictions, or at "
        f"`contrail query -p {pipeline} \"SELECT * FROM segment_quality WHERE fell_since IS NOT NULL\"`", link,
    )  # fmt: skip


def _of_promotion(where: str, details: PromoteDetails, link: str) -> Message:
    before = details.champion_before
    return Message(
        Kind.promotion, where, f"version {details.model_version} is champion" + (
            f" in place of version {before}" if before else ", the first"
        ),
        "earlier versions and the predictions they made", "nothing; the next scoring run uses it", link,
    )  # fmt: skip


def _of_late_files(where: str, pipeline: str, details: IngestDetails, link: str) -> Message | None:
    if not (late := [*details.late, *details.replaced]):
        return None
    return Message(
        Kind.late_data, where, f"files came late or again: {', '.join(late)}",
        f"the files and the rows that they replaced (`contrail history raw_{late[0].split()[0]} -p {pipeline}`)",
        f"nothing, or see what is stale: `contrail status -p {pipeline}`", link,
    )  # fmt: skip


def _of_corrections(where: str, pipeline: str, details: LateDetails, link: str) -> Message | None:
    if not details.files:
        return None
    days, flipped = details.days, details.decisions_flipped
    changed = f"{len(days)} published days became different: {days[0]} to {days[-1]}" if days else "nothing changed"
    return Message(
        Kind.late_data, where, f"files came late: {', '.join(details.files)}; {changed}"
        + (f", {flipped} decisions flipped" if flipped else ""),
        f"what was published before, under its snapshot (`contrail history predictions -p {pipeline}`)",
        f"nothing, or see `contrail query -p {pipeline} \"SELECT * FROM corrections\"` and its reports", link,
    )  # fmt: skip


def _of_mends(where: str, pipeline: str, details: ReplayDetails, link: str) -> Message | None:
    days = details.different
    if not days:
        return None
    flipped = f", {details.decisions_flipped} decisions flipped" if details.decisions_flipped else ""
    return Message(
        Kind.late_data, where, f"rows of {details.table} were mended; {len(days)} published days became different: "
        f"{days[0]} to {days[-1]}{flipped}",
        f"what was published before, under its snapshot (`contrail history predictions -p {pipeline}`)",
        f"nothing, or see `contrail query -p {pipeline} \"SELECT * FROM mended\"`, and corrections", link,
    )  # fmt: skip


def of_deadline(where: str, minutes: int) -> Message:
    """The message about a DAG run that has not ended in time. The run goes on."""
    return Message(
        Kind.deadline, where, f"the run has not ended {minutes} minutes after it was queued",
        "everything; the run goes on", "see what it waits for: its page in Airflow, the pool `heavy`, the task's log",
    )  # fmt: skip


def of_question(where: str, question: str, limit: timedelta, link: str = "") -> Message:
    """The message about a task that waits for an approver."""
    hours = f"{limit.total_seconds() / 3600:g} hours"
    return Message(
        Kind.approval, where, question, "the champion, until an approver has answered",
        f"read the evidence, and approve or refuse there. Without an answer within {hours}, it counts as refused", link,
    )  # fmt: skip


def of_timeout(where: str, limit: timedelta, link: str = "") -> Message:
    """The message about a DAG run that Airflow ended because the whole run took too long."""
    return Message(
        Kind.failure, where, f"Airflow ended the run, because it took longer than {limit}",
        "what its tasks had published; Airflow set its unfinished tasks to skipped, so a candidate that waited for an "
        "approver was not promoted",
        "see in Airflow which task took so long, mend it, then clear the run's skipped tasks", link,
    )  # fmt: skip
