"""Write a decision down: its record, as JSON and as a page, with the reports and with the model version."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, RegisteredModel
from contrail.config.model_spec import ScoreSpec
from contrail.config.validation_errors import parse_json
from contrail.files import scratch
from contrail.lake.labels import immature_days
from contrail.methods.checks import Check
from contrail.methods.decision_record import (
    REQUEST,
    DecisionProvenance,
    DecisionRecord,
    DecisionWindow,
    JudgedModel,
    TrainingRequest,
    segment_rows,
)
from contrail.methods.decisions import COST
from contrail.methods.gates import Evidence
from contrail.methods.metrics import METRICS, finite
from contrail.methods.model_package import MODEL
from contrail.methods.policies import weighing
from contrail.methods.verdict import judgement_of
from contrail.reports.decision import render_decision
from contrail.stages.base import StageRun
from contrail.stages.changes import asked_by
from contrail.stages.options import PromoteOptions
from contrail.stages.promotion.contest import Contest


def record_of(
    run: StageRun[PromoteOptions], contest: Contest, evidence: Evidence, checks: Sequence[Check]
) -> DecisionRecord:
    """The record of a decision; nothing is written yet."""
    spec = run.pipeline.spec
    may_shadow = spec.gate.shadow and contest.incumbent is not None and not contest.again
    usable = evidence.challenger.days.finite
    judgement = judgement_of(checks, contest.challenger.version, contest.against, may_shadow)
    return DecisionRecord(
        pipeline=spec.name,
        title=spec.title,
        version=contest.challenger.version,
        verdict=judgement.verdict,
        in_shadow=judgement.in_shadow,
        summary=judgement.summary,
        weighed=weighing(checks, spec.gate),
        reasons=judgement.reasons,
        decided_at=datetime.now(UTC).isoformat(timespec="seconds"),
        run_id=run.run_id,
        person=asked_by(run),
        reason=run.options.reason,
        request=_request(contest),
        window=DecisionWindow(
            start=run.partitions.start,
            end=run.partitions.end,
            days=evidence.days,
            rows=evidence.rows,
            immature=immature_days(run.lake, spec, run.partitions),
        ),
        gate=spec.gate,
        challenger=_judged(contest.challenger, spec.score),
        champion=_judged(contest.incumbent, spec.score) if contest.incumbent else None,
        checks=tuple(checks),
        metric_names=(*METRICS[spec.task], *([COST] if evidence.challenger.days.decides else [])),
        metrics={name: finite(values) for name, values in evidence.metrics().items()},
        intervals=evidence.intervals() if usable else {},
        calibration=evidence.calibration() if usable else (),
        shadow=evidence.shadow,
        segments={name: segment_rows(evidence, name) for name in evidence.challenger.groups},
        provenance=_provenance(run, contest),
    )


def keep_record(run: StageRun[PromoteOptions], contest: Contest, record: DecisionRecord) -> tuple[str, ...]:
    """Write the record with the reports and with the model version, and keep the snapshots that it names from expiring.

    Returns:
        The report files, the page first.
    """
    for name, snapshot in record.provenance.judged_on.items():
        if snapshot is not None:
            run.lake.tag(name, snapshot, f"decision-{snapshot}")
    stem = f"v{record.version}_{record.window.start}_{record.window.end}"
    contents = {
        f"{stem}.html": render_decision(record),
        f"{stem}.json": json.dumps(record.model_dump(mode="json"), indent=1, allow_nan=False) + "\n",
    }
    folder = run.report_folder("decisions")
    with scratch("contrail-decision-") as place:
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
            (place / name).write_text(text, encoding="utf-8")
        kept = registry.log_files(run.settings, contest.entry, place, "decisions")
    tags = {
        "decision": record.verdict,
        "decision_window": str(run.partitions),
        "decision_against": contest.against or "",
        registry.DECISION_RECORD: f"{kept}/{stem}.json",
        "decided_at": record.decided_at,
    }
    # Where an alias points, its move sets the status.
    status = {"status": "refused"} if record.verdict == "refused" and not _has_alias(run, contest) else {}
    registry.tag_version(run.settings, contest.entry, tags | status)
    return tuple(str(folder / name) for name in contents)


def _has_alias(run: StageRun[PromoteOptions], contest: Contest) -> bool:
    versions = (registry.alias_version(run.settings, contest.entry.name, alias) for alias in (CHAMPION, CHALLENGER))
    return contest.entry.version in versions


def _request(contest: Contest) -> TrainingRequest | None:
    kept = contest.entry.tags.get(REQUEST)
    return parse_json(TrainingRequest, kept, f"the tag {REQUEST}") if kept else None


def _judged(model: RegisteredModel, score: ScoreSpec) -> JudgedModel:
    card = model.package.card
    return JudgedModel(
        version=model.version,
        training_window=str(card.training.partitions),
        training_rows=card.training.rows,
        rounds=card.training.rounds,
        model_sha256=card.sha256[MODEL],
        decides_by=model.package.threshold_reason(score) if score.costs else None,
    )


def _provenance(run: StageRun[PromoteOptions], contest: Contest) -> DecisionProvenance:
    card, now = contest.challenger.package.card, run.provenance({})
    tables = ("features", f"validated_{run.pipeline.spec.label.table}")
    return DecisionProvenance(
        model=f"{contest.challenger.name} version {contest.challenger.version}",
        model_sha256=card.sha256[MODEL],
        mlflow_run=contest.entry.run_id,
        training_features_snapshot=card.training.feature_snapshot,
        training_set_md5=card.training.training_set_md5,
        training_code_revision=card.training.code_revision,
        judged_on={name: run.lake.snapshot_id(name) for name in tables},
        code_revision=now.code_revision,
        pipeline_hash=now.pipeline_hash,
        lock_hash=now.lock_hash,
    )
