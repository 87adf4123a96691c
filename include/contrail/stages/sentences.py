"""A stage's result in words, the same on the command line, in a task's log and in a message. It reads results alone."""

from contrail.stages.details import StageDetails, TuneDetails
from contrail.stages.replayed import ReplayDetails, ReplayResult
from contrail.stages.results import (
    GovernDetails,
    LateDetails,
    LateResult,
    MaintainDetails,
    MaintainResult,
    PerformanceDetails,
    PromoteDetails,
    PublishDetails,
    Result,
    RollbackModelResult,
    ScoreDetails,
    TrainDetails,
)


def sentence(verb: str, result: Result) -> str:
    """Say what a stage did, for which partitions, and how long it took."""
    if isinstance(result, LateResult):
        return f"{verb}: {_late(result.details)}"
    if isinstance(result, MaintainResult):
        return f"{verb}: {_maintained(result.details)}"
    if isinstance(result, ReplayResult):
        return f"{verb}: {_replayed(result.details)}"
    if isinstance(result, RollbackModelResult):
        return f"{verb}: {_rolled_back(result)}"
    quarantined = f", {result.quarantined:,} in quarantine" if result.quarantined else ""
    done = _done(result.details, result.rows) or ("unchanged" if result.unchanged else f"{result.rows:,} rows")
    return f"{result.stage} {result.partitions}: {done}{quarantined} in {result.seconds:.1f} s"


def _done(details: StageDetails, rows: int) -> str:
    match details:
        case TrainDetails():
            version = f"version {details.model_version}" if details.model_version else "a model that is not registered"
            return f"{version} of {details.model_name}, {details.rounds} rounds on {details.device}"
        case TuneDetails():
            return _tuned(details)
        case PromoteDetails(verdict="pass"):
            before = details.champion_before
            return f"version {details.model_version} is champion" + (f" in place of version {before}" if before else "")
        case PromoteDetails():
            waits = "waits for an approver" if details.verdict == "waits" else "is refused"
            return f"version {details.model_version} {waits}"
        case PerformanceDetails(measured=0) if details.estimated:
            days = "1 day" if details.estimated == 1 else f"{details.estimated:,} days"
            return f"no day measured, {days} estimated before labels"
        case GovernDetails():
            return f"{details.decision}; {'; '.join(details.reasons)}" if details.reasons else str(details.decision)
        case ScoreDetails(learned_from=(_, *_)):
            return f"{rows:,} rows; the model has learned from {', '.join(details.learned_from)}"
        case PublishDetails():
            replaced = {name: len(one.partitions) for name, one in details.tables.items() if one.partitions}
            return ", ".join(f"{name} {days:,} days" for name, days in replaced.items()) or "unchanged"
    return ""


def _tuned(details: TuneDetails) -> str:
    tried = f"{details.trials} of {details.wanted} trials"
    if details.failed:
        tried += f", of which {details.failed} failed"
    if details.trials == 1:
        return f"{tried}; only today's parameters were tried, {details.metric} {details.today:.4f}"
    if not details.best:
        return f"{tried}; none is better than today's parameters, {details.metric} {details.today:.4f}"
    estimate, low, high = details.gain
    found = (
        f"{tried}; trial {details.best} is the best, {details.metric} {details.value:.4f}, better than today's parameters by "
        f"{estimate:.4f} [{low:.4f}, {high:.4f}]"
    )
    return f"{found}; version {details.model_version} is trained with it" if details.model_version else found


def _late(details: LateDetails) -> str:
    if not details.files:
        return "no file came late"
    changed = f"{len(details.days):,} days are different now" if details.days else "nothing changed"
    return f"{len(details.files):,} files came late; {changed}"


def _replayed(details: ReplayDetails) -> str:
    if not details.mended:
        again = f"; {', '.join(details.days)} was validated again" if details.days and not details.dry_run else ""
        return f"no row of {details.table} is mended otherwise than before{again}"
    noun, would = "row" if details.mended == 1 else "rows", "would be " if details.dry_run else ""
    kept = ", ".join(f"{count:,} for {rule}" for rule, count in details.kept.items())
    staying = f", {sum(details.kept.values()):,} still in quarantine ({kept})" if kept else ""
    days = f"; {len(details.different):,} published days are different now" if details.different else ""
    return f"{details.mended:,} {noun} of {details.table} {would}mended, {details.passed:,} good{staying}{days}"


def _maintained(details: MaintainDetails) -> str:
    found = [one for one in details.removed if one.files]
    compacted = [
        f"; {one.files:,} small files of {one.of} {'would become' if details.dry_run else 'became'} fewer"
        for one in details.compacted
    ]
    if not found:
        return "".join(["nothing would go" if details.dry_run else "there was nothing to remove", *compacted])
    files, size = sum(one.files for one in found), sum(one.size for one in found)
    largest_first = sorted(found, key=lambda one: -one.size)
    parts = ", ".join(f"{one.of} {counted(one.files, one.size)}" for one in largest_first)
    return "".join([f"{counted(files, size)} {'would go' if details.dry_run else 'went'}: {parts}", *compacted])


def _rolled_back(done: RollbackModelResult) -> str:
    would = "would take" if done.dry_run else "takes"
    again = f"{done.rows:,} rows of {done.partitions:,} days {'would be' if done.dry_run else 'are'} scored again"
    return (
        f"version {done.to_version} {would} over from version {done.bad_version} for days from {done.effective_from} on; "
        f"{again if done.rows else 'no day is left to score again'}"
    )


def counted(files: int, size: int) -> str:
    """Say how many files, and how many bytes they have.

    >>> counted(1, 2_500_000), counted(1_200, 45)
    ('1 file (2.5 MB)', '1,200 files (45 bytes)')
    """
    amount = f"{size / 1e6:,.1f} MB" if size >= 50_000 else f"{size:,} bytes"
    return f"{files:,} {'file' if files == 1 else 'files'} ({amount})"


def all_unusual(pipeline: str) -> str:
    """Return the command that shows every unusual figure, of which a result names the newest."""
    return f'contrail query -p {pipeline} "SELECT * FROM profiles WHERE unusual IS NOT NULL"'
