"""What people are told of: a failure, a refusal, drift, a promotion, late data, a missed deadline.

Each message says what happened, what was kept, and what to do. How it reaches a person is not decided here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from contrail.errors import BudgetError, CommitConflictError, DataError, GateRefusedError


class Kind(StrEnum):
    """Kinds of messages, for those who filter them."""

    failure = "failure"
    refusal = "refusal"
    drift = "drift"
    promotion = "promotion"
    late_data = "late data"
    deadline = "deadline"


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


def of_failure(where: str, code: int, said: str, link: str = "") -> Message:
    """A stage that ended with an error; ``said`` is the last thing that it printed, which names the place and rule."""
    kept = "what was published before stays readable; this run published nothing half"
    if code == GateRefusedError.exit_code:
        return Message(
            Kind.refusal, where, said, "the champion stays; the decision record is with the refused version",
            "read the record; train another candidate, or change the gate in pipeline.yaml with a reason", link,
        )  # fmt: skip
    if code == BudgetError.exit_code:
        return Message(
            Kind.refusal, where, said, "everything; no job was submitted, so that this run has cost nothing",
            "wait for the next month, or change the budget or the stage's target as said above; then clear the task", link,
        )  # fmt: skip
    if code == DataError.exit_code:
        return Message(
            Kind.refusal, where, said, f"{kept}; refused files and rows are in `refusals` and `quarantine`",
            "mend what is named above, then clear the task", link,
        )  # fmt: skip
    retried = code == CommitConflictError.exit_code or code < 0 or code > 128
    to_do = "the retries are used up: read the task's log, then clear the task" if retried else (
        "mend what is named above; clearing the task before that would fail again"
    )  # fmt: skip
    return Message(Kind.failure, where, said or f"exit code {code}", kept, to_do, link)


def of_result(where: str, stage: str, pipeline: str, details: Mapping[str, Any], link: str = "") -> Message | None:
    """What a stage's result says to people; None when it is everyday news."""
    if stage == "drift" and (found := _drift_found(details)):
        return Message(
            Kind.drift, where, "; ".join(found),
            "the predictions are published as always; each day's verdict is in `drift`",
            f"read the drift report and `contrail query -p {pipeline} \"SELECT * FROM drift WHERE unusual\"`", link,
        )  # fmt: skip
    if stage == "promote" and details.get("verdict") == "pass":
        before = details.get("champion_before")
        return Message(
            Kind.promotion, where, f"version {details['model_version']} is champion" + (
                f" in place of version {before}" if before else ", the first"
            ),
            "earlier versions and the predictions they made", "nothing; the next scoring run uses it", link,
        )  # fmt: skip
    if stage == "ingest" and (late := [*details.get("late", ()), *details.get("replaced", ())]):
        return Message(
            Kind.late_data, where, f"files came late or were delivered anew: {', '.join(late)}",
            "the files and the rows that they replaced (`contrail history`)",
            f"nothing, or see what is stale: `contrail status -p {pipeline}`", link,
        )  # fmt: skip
    if stage == "late" and details.get("files"):
        days = details.get("days") or []
        changed = f"{len(days)} published days became different: {days[0]} to {days[-1]}" if days else "nothing changed"
        flipped = details.get("decisions_flipped", 0)
        return Message(
            Kind.late_data, where, f"files came late: {', '.join(details['files'])}; {changed}"
            + (f", {flipped} decisions flipped" if flipped else ""),
            "what was published before, under its snapshot (`contrail history`)",
            f"nothing, or see `contrail query -p {pipeline} \"SELECT * FROM corrections\"` and its reports", link,
        )  # fmt: skip
    return None


def _drift_found(details: Mapping[str, Any]) -> list[str]:
    begun = {
        "the features began to differ from the training window": details.get("drift_begins"),
        "the labels known by then began to differ from what the model expects": details.get("label_drift_begins"),
    }
    return [f"{what} on {', '.join(days)}" for what, days in begun.items() if days]


def of_deadline(where: str, minutes: int) -> Message:
    """A DAG run that has not ended in time; it goes on."""
    return Message(
        Kind.deadline, where, f"the run has not ended {minutes} minutes after it was queued",
        "everything; the run goes on", "see what it waits for: its page in Airflow, the pool `heavy`, the task's log",
    )  # fmt: skip


def of_timeout(where: str, limit: timedelta, link: str = "") -> Message:
    """A DAG run that Airflow has ended because it took too long as a whole."""
    return Message(
        Kind.failure, where, f"the run was ended: it had not come to its end in {limit}",
        "what its tasks had published; those that had not ended were ended and set to skipped, so that a candidate "
        "that waited for an approver was not promoted",
        "see in Airflow which task took so long, mend that, then clear the run's skipped tasks", link,
    )  # fmt: skip
