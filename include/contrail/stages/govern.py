"""Decide for a day whether to retrain, from what the other stages published, and record the decision.

Nothing is trained here; an orchestrator acts on the decision. The rules are in ``contrail.methods.governor``.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from contrail.adapters import registry
from contrail.adapters.registry import CHAMPION
from contrail.config.training_windows import as_of_training
from contrail.errors import SpecError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.model_history import in_effect, read_moves
from contrail.methods.drift import WHOLE_DAY
from contrail.methods.governor import BY_HAND, MONITOR, RETRAIN, Asked, Decision, RetrainEvidence, Training, decide
from contrail.methods.label_drift import LABEL
from contrail.methods.metrics import HEADLINE
from contrail.partitions import Partitions
from contrail.stages.base import StageRun, result_of
from contrail.stages.changes import asked_by
from contrail.stages.options import GovernOptions as Options
from contrail.stages.results import GovernDetails, StageResult

_BY_DAY = ("drift", "label_drift", "improvements")
_MONTH = 31


@dataclass(frozen=True)
class _Row:
    """A row of ``governor``: the names of its fields are the columns."""

    partition_date: date
    asked: str
    decision: str
    trigger: str | None
    reasons: str
    evidence: str
    model_version: str | None
    person: str
    run_id: str
    decided_at: datetime
    training: str | None = None  # an older table lacks the column


@dataclass(frozen=True)
class _Measured:
    """Predictions of one day by one version, and how much better than the constant baseline they were."""

    day: date
    model_version: str
    rows: int
    labelled: int
    improvement: float | None


def execute(run: StageRun[Options]) -> StageResult[GovernDetails]:
    """Decide for one day and publish the decision to ``governor``.

    A decision to retrain is made once. The same day again, or the same training run, gives it back, because a training
    may have followed.

    Raises:
        SpecError: for more than one day.
    """
    if len(run.partitions) != 1:
        raise SpecError(f"the governor decides for one day at a time, not for {run.partitions}")
    asked, training = _asked(run), run.options.training
    earlier = _recorded(run)
    same = [row for row in earlier if (row.partition_date, row.asked) == (run.partitions.start, asked)]
    before = next((row for row in same if row.training == training), None)
    if before and before.decision == RETRAIN:
        run.progress("retrain, as decided before")
        return result_of(run, _details(before), rows=1, unchanged=True)
    # A decision by the schedule or by hand counts only if its training was made. The registry lists that training.
    pending = {row.partition_date for row in earlier if row.asked == MONITOR and row.decision == RETRAIN}
    evidence = _evidence(run, pending)
    decision = decide(evidence, run.pipeline.spec.retrain)
    row = _row(run, evidence, decision)
    for reason in decision.reasons:
        run.progress(f"{decision.decision}: {reason}")
    dataset = records.governor(run.pipeline.spec)
    rows = [asdict(each) for each in (*(other for other in same if other is not before), row)]
    inputs = {name: run.lake.snapshot_id(name) for name in ("drift", "performance", "model_history")}
    staged = pa.Table.from_pylist(rows, schema=dataset.arrow_schema())
    published = run.lake.publish(dataset, staged, run.partitions, run.provenance(inputs), {"asked": asked})
    return result_of(run, _details(row), rows=1, snapshots={"governor": published})


def _asked(run: StageRun[Options]) -> Asked:
    return run.options.asked or (BY_HAND if run.options.reason else MONITOR)


def _recorded(run: StageRun[Options]) -> list[_Row]:
    """The decisions near the day, as far as a cool-down or a month's budget reaches."""
    reach = max(run.pipeline.spec.retrain.cooldown_days, _MONTH)
    near = Partitions(run.partitions.start - timedelta(days=reach), run.partitions.end + timedelta(days=reach))
    rows = run.lake.scan("governor", near).to_pylist() if run.lake.exists("governor") else []
    return [_Row(**row) for row in rows]


def _details(row: _Row) -> GovernDetails:
    return GovernDetails.model_validate(
        {
            "decision": row.decision,
            "trigger": row.trigger,
            "model_version": row.model_version,
            "reasons": row.reasons.splitlines(),
            "evidence": json.loads(row.evidence),
        }
    )


def _row(run: StageRun[Options], evidence: RetrainEvidence, decision: Decision) -> _Row:
    plain = asdict(evidence)
    for name in _BY_DAY:
        plain[name] = {str(day): value for day, value in sorted(plain[name].items())}
    return _Row(
        partition_date=evidence.day,
        asked=evidence.asked,
        decision=decision.decision,
        trigger=decision.trigger,
        reasons="\n".join(decision.reasons),
        evidence=json.dumps(plain, default=str, allow_nan=False),
        model_version=evidence.champion,
        person=asked_by(run),
        training=run.options.training,
        run_id=run.run_id,
        decided_at=datetime.now(UTC),
    )


# ---- the evidence ----


def _evidence(run: StageRun[Options], pending: set[date]) -> RetrainEvidence:
    """What the tables say of the day. It reads nothing later, so a late decision is the same as a punctual one."""
    spec, day = run.pipeline.spec, run.partitions.start
    moves = read_moves(run.lake, CHAMPION)
    move = in_effect(moves, day)
    champion = move.version_after if move else registry.alias_version(run.settings, spec.name, CHAMPION)
    shown = [m.improvement for m in moves if m.version_after == champion and m.improvement is not None]
    measured, drift = _measured(run), _drift(run, champion)
    return RetrainEvidence(
        day=day,
        champion=champion,
        drift=drift[WHOLE_DAY],
        label_drift=drift[LABEL],
        improvements={
            each.day: each.improvement
            for each in measured
            if each.model_version == champion and each.improvement is not None
        },
        reference=shown[-1] if shown else None,
        labelled=sum(each.labelled for each in measured),
        rows=sum(each.rows for each in measured),
        trainings=_trainings(run, pending),
        asked=_asked(run),
        reason=run.options.reason or "",
        insist=run.options.insist,
    )


def _drift(run: StageRun[Options], champion: str | None) -> dict[str, dict[date, str]]:
    """The last days' verdicts on features and label, as far as they were measured against this champion."""
    found: dict[str, dict[date, str]] = {WHOLE_DAY: {}, LABEL: {}}
    if not run.lake.exists("drift"):
        return found
    days = run.partitions.reaching_back(run.pipeline.spec.retrain.drift_of_days - 1)
    rows = run.lake.scan("drift", days, [PARTITION, "feature", "verdict", "model_version"]).to_pylist()
    for row in rows:
        if row["feature"] in found and row["model_version"] == champion:
            found[row["feature"]][row[PARTITION]] = row["verdict"]
    return found


def _measured(run: StageRun[Options]) -> list[_Measured]:
    """Performance of the last days whose labels are mature on this day."""
    spec = run.pipeline.spec
    if not run.lake.exists("performance"):
        return []
    last = run.partitions.start - timedelta(days=spec.label.mature_after_days + 1)
    window = Partitions(last - timedelta(days=spec.retrain.performance_days - 1), last)
    metric = HEADLINE[spec.task]
    names = [PARTITION, "model_version", "rows", "labelled", metric, f"baseline_{metric}"]
    columns = run.lake.scan("performance", window, names).select(names).to_pydict().values()
    return [
        _Measured(day, version, rows, labelled, None if own is None or baseline is None else baseline - own)
        for day, version, rows, labelled, own, baseline in zip(*columns, strict=True)
    ]


def _trainings(run: StageRun[Options], pending: set[date]) -> tuple[Training, ...]:
    """The trainings in the registry, and those that the governor requested and the registry does not have (yet)."""
    spec = run.pipeline.spec
    windows = registry.training_windows_of(run.settings, spec.name)
    known = [
        Training(as_of_training(spec, Partitions.from_text(window).end), f"the training of version {version}")
        for version, window in windows.items()
    ]
    waiting = pending - {training.as_of for training in known} - {run.partitions.start}
    asked_for = [Training(day, "the training that the governor asked for") for day in waiting]
    return tuple(sorted([*known, *asked_for], key=lambda training: (training.as_of, training.what)))
