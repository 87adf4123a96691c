"""Decide whether a candidate may become champion, on rows after its training, and write down why.

Both models score the same rows again; the stage never compares stored metrics. Every decision leaves one record, as
JSON and as a page for an approver. The champion changes only on a pass. A version that fails only against the champion
may stay as challenger, which scores in shadow. The steps are in ``contrail.stages.promotion``.
"""

from contrail.errors import GateRefusedError
from contrail.lake.labels import immature_days, labelled_rows
from contrail.methods.checks import Check, passed
from contrail.methods.cost_checks import cost_checks
from contrail.methods.decision_record import DecisionRecord
from contrail.methods.gates import approval_check, check_metrics, judge
from contrail.reports.decision import decision_text
from contrail.stages.base import StageRun, result_of
from contrail.stages.changes import Changing, asked_by, changing
from contrail.stages.judged_rows import judged_rows
from contrail.stages.model_cards import keep_card
from contrail.stages.options import PromoteOptions as Options
from contrail.stages.promotion.aliases import after_refusal, make_champion
from contrail.stages.promotion.contest import Contest, check_inputs, check_out_of_time, contest_of
from contrail.stages.promotion.evidence import evidence_of, predict_rows, segment_features, shadow_days
from contrail.stages.promotion.record import keep_record, record_of
from contrail.stages.results import PromoteDetails, StageResult


def execute(run: StageRun[Options]) -> StageResult[PromoteDetails]:
    """Judge a version on the labelled rows of the range, record the decision, and move the aliases on a pass.

    A second judgement on the same rows gives the same decision, because a champion meets the champion that it replaced.

    Where the gate needs a person's approval, it refuses a pass without an answer.

    Raises:
        GateRefusedError: with each failed check and its numbers, after everything is recorded; the champion stays.
        MissingInputError: when features or labels of the range are missing, or there is no model.
        DataError: when the range is not after the training windows of both models.
        EngineError: while another process changes the pipeline's models. A later retry may pass.
    """
    check_metrics(run.pipeline.spec.task, run.pipeline.spec.gate)
    # The champion that a version is judged against must be the one that it replaces.
    with changing(run, asked_by(run)) as held:
        return _decide(run, held)


def _decide(run: StageRun[Options], held: Changing) -> StageResult[PromoteDetails]:
    spec = run.pipeline.spec
    contest = contest_of(run)
    check_out_of_time(run, contest)
    check_inputs(run)
    with judged_rows(run.settings, spec.task, segment_features(spec)) as judged:
        with labelled_rows(run.lake, spec, run.partitions) as rows:
            against = f"version {contest.against}" if contest.against else "no champion"
            run.progress(f"version {contest.challenger.version} against {against} on {len(rows):,} labelled rows")
            predict_rows(spec, contest, rows.stream(), judged)
        immature = immature_days(run.lake, spec, run.partitions)
        if immature:
            run.progress(f"left out {', '.join(immature)}: not all of their labels are known yet")
        evidence = evidence_of(spec, contest, judged, shadow_days(run, contest))
    checks = judge(evidence, spec.gate)
    checks += cost_checks(evidence, spec.gate, spec.score.costs, checks)
    record = record_of(run, contest, evidence, [*checks, *_approval(run, checks)])
    reports = keep_record(run, contest, record)
    if record.verdict == "refused":
        after_refusal(held, run, contest, record)
        keep_card(run, record.version)
        run.progress(f"refused: {len(record.reasons)} of {len(record.checks)} checks failed")
        raise GateRefusedError(_refusal(record, page=reports[0]))
    if record.verdict == "waits":
        run.progress(f"version {record.version} passed every other check and waits for an approver")
    else:
        make_champion(held, run, contest, record)
        run.progress(f"passed: version {record.version} is champion")
    keep_card(run, record.version, contest.against)
    return result_of(run, rows=evidence.rows, details=_details(contest, record), reports=reports)


def _approval(run: StageRun[Options], checks: list[Check]) -> list[Check]:
    answer = run.options.approval
    if answer == "none" and run.pipeline.spec.gate.approval == "none":
        return []
    if answer == "awaited":
        return [approval_check(None, "", "", failed=not passed(checks))]
    return [approval_check("refused" if answer == "none" else answer, *_answered(run))]


def _answered(run: StageRun[Options]) -> tuple[str, str]:
    if run.options.approval == "none":
        name = run.pipeline.name
        return (
            "rule",
            f"no person has approved it; use the DAG {name}__train, or contrail promote --pipeline {name} --model …",
        )
    return asked_by(run), run.options.reason or ""


def _refusal(record: DecisionRecord, page: str) -> str:
    reasons = "\n".join(f"  - {reason}" for reason in record.reasons)
    return (
        f"{record.pipeline} version {record.version} is refused on {record.window.start} to "
        f"{record.window.end}. {record.summary}\n{reasons}\nThe record: {page}"
    )


def _details(contest: Contest, record: DecisionRecord) -> PromoteDetails:
    return PromoteDetails(
        record=decision_text(record) if record.verdict == "waits" else None,
        model_name=contest.challenger.name,
        model_version=record.version,
        verdict=record.verdict,
        champion_before=contest.against,
        metrics=record.metrics,
    )
