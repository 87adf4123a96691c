"""A stage's result in words, the same on the command line, in a task's log and in a message. It reads results alone."""

from typing import Any

from contrail.stages.results import (
    GovernDetails,
    LateDetails,
    LateResult,
    PromoteDetails,
    PublishDetails,
    StageDetails,
    StageResult,
    TrainDetails,
)


def sentence(verb: str, result: StageResult[Any] | LateResult) -> str:
    """Say what a stage did, for which partitions, and how long it took."""
    if isinstance(result, LateResult):
        return f"{verb}: {_late(result.details)}"
    quarantined = f", {result.quarantined:,} in quarantine" if result.quarantined else ""
    done = _done(result.details) or ("unchanged" if result.unchanged else f"{result.rows:,} rows")
    return f"{result.stage} {result.partitions}: {done}{quarantined} in {result.seconds:.1f} s"


def _done(details: StageDetails) -> str:
    match details:
        case TrainDetails():
            version = f"version {details.model_version}" if details.model_version else "a model that is not registered"
            return f"{version} of {details.model_name}, {details.rounds} rounds on {details.device}"
        case PromoteDetails(verdict="pass"):
            before = details.champion_before
            return f"version {details.model_version} is champion" + (f" in place of version {before}" if before else "")
        case PromoteDetails():
            waits = "waits for an approver" if details.verdict == "waits" else "is refused"
            return f"version {details.model_version} {waits}"
        case GovernDetails():
            return f"{details.decision}; {'; '.join(details.reasons)}" if details.reasons else str(details.decision)
        case PublishDetails():
            replaced = {name: len(one.partitions) for name, one in details.tables.items() if one.partitions}
            return ", ".join(f"{name} {days:,} days" for name, days in replaced.items()) or "unchanged"
    return ""


def _late(details: LateDetails) -> str:
    if not details.files:
        return "no file came late"
    changed = f"{len(details.days):,} days are different now" if details.days else "nothing changed"
    return f"{len(details.files):,} files came late; {changed}"


def all_unusual(pipeline: str) -> str:
    """Return the command that shows every unusual figure, of which a result names the newest."""
    return f'contrail query -p {pipeline} "SELECT * FROM profiles WHERE unusual IS NOT NULL"'
