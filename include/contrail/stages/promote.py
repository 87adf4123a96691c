"""Decide whether a candidate may become champion, on rows after its training, and write down why.

Both models are scored anew on the same rows; stored metrics are never compared. Every decision leaves one record, as
JSON and as a page for an approver. The champion changes only on a pass; a version that fails against it alone may be
kept as challenger, to be scored in shadow.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, RegisteredModel, VersionInfo
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, GateRefusedError, MissingInputError
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import read_training_rows
from contrail.methods.gates import (
    CONSTANT,
    Check,
    Evidence,
    ShadowDay,
    approval_check,
    check_metrics,
    judge,
    passed,
    worth_shadowing,
)
from contrail.methods.metrics import HEADLINE, METRICS, by_group, finite
from contrail.methods.splits import out_of_time_window
from contrail.partitions import Partitions, as_ranges
from contrail.reports.decision import decision_text, render_decision
from contrail.stages.alias_moves import asked_by, move_aliases
from contrail.stages.base import StageResult, StageRun, result_of
from contrail.stages.options import PromoteOptions as Options

WAITS = "waits"
# Groups shown on the page, the largest; the gate's own floors look at all.
_SHOWN_GROUPS = 15
_SHOWN_ROWS = 20


@dataclass(frozen=True)
class _Contest:
    """Who is judged against whom; no incumbent when the registry has no champion.

    ``again``: the challenger is champion already, and is judged against the champion that it replaced.
    """

    challenger: RegisteredModel
    entry: VersionInfo
    incumbent: RegisteredModel | None
    again: bool = False


def execute(run: StageRun[Options]) -> StageResult:
    """Judge a version on the labelled rows of the range, record the decision, and move the aliases on a pass.

    Judging a version again on the same rows gives the same decision: once it is champion it is compared with the
    champion that it replaced.

    Where the gate asks for a person, a pass without an answer is refused.

    Raises:
        GateRefusedError: with each failed check and its numbers, after everything is recorded; the champion stays.
        MissingInputError: when features or labels of the range are missing, or there is no model.
        DataError: when the range is not after the training windows of both models.
    """
    spec = run.pipeline.spec
    check_metrics(spec.task, spec.gate)
    contest = _contest(run)
    _check_out_of_time(run, contest)
    _check_inputs(run)
    rows = read_training_rows(run.lake, spec, run.partitions)
    against = f"version {contest.incumbent.version}" if contest.incumbent else "no champion"
    run.progress(f"version {contest.challenger.version} against {against} on {rows.num_rows:,} labelled rows")

    evidence = _evidence(spec, contest, rows, _shadow_days(run, contest))
    checks = [*judge(evidence, spec.gate), *_approval(run)]
    record = _record(run, contest, evidence, checks)
    reports = _keep(run, contest, record)
    if not passed(checks):
        _after_refusal(run, contest, kept=record["in_shadow"])
        run.progress(f"refused: {len(record['reasons'])} of {len(checks)} checks failed")
        raise GateRefusedError(_refusal(record, reports))
    if record["verdict"] == WAITS:
        run.progress(f"version {contest.challenger.version} passed every other check and waits for an approver")
    else:
        _move_aliases(run, contest, record)
        run.progress(f"passed: version {contest.challenger.version} is champion")
    return result_of(
        run,
        rows=rows.num_rows,
        details={
            **({"record": decision_text(record)} if record["verdict"] == WAITS else {}),
            "model_name": contest.challenger.name,
            "model_version": contest.challenger.version,
            "verdict": record["verdict"],
            "champion_before": contest.incumbent.version if contest.incumbent else None,
            "metrics": record["metrics"],
        },
        reports=reports,
    )


def _approval(run: StageRun[Options]) -> list[Check]:
    answer = run.options.approval
    if answer == "none" and run.pipeline.spec.gate.approval == "none":
        return []
    if answer == "awaited":
        return [approval_check(None, "", "")]
    return [approval_check("refused" if answer == "none" else answer, *_answered(run))]


def _answered(run: StageRun[Options]) -> tuple[str, str]:
    if run.options.approval == "none":
        name = run.pipeline.name
        return "rule", f"nobody was asked; use the DAG {name}__train, or contrail promote --pipeline {name} --model …"
    return asked_by(run), run.options.reason or ""


# ---- who and on what ----


def _contest(run: StageRun[Options]) -> _Contest:
    name, settings = run.pipeline.name, run.settings
    challenger = registry.resolve(settings, name, run.options.model)
    entry = registry.describe_version(settings, name, challenger.version)
    champion = registry.alias_version(settings, name, CHAMPION)
    again = champion == challenger.version
    if again:
        # It has passed before: what it was compared with then is what it must be compared with now.
        champion = entry.tags.get("decision_against") or None
    incumbent = registry.resolve(settings, name, champion) if champion else None
    return _Contest(challenger, entry, incumbent, again)


def _check_out_of_time(run: StageRun[Options], contest: _Contest) -> None:
    spec = run.pipeline.spec
    for model in filter(None, (contest.challenger, contest.incumbent)):
        training = model.package.card.training
        earliest = out_of_time_window(training.end, training.embargo_days, spec.gate.window_days)
        if run.partitions.start < earliest.start:
            raise DataError(
                f"{model.name} version {model.version} was trained on {training.partitions} with an embargo of "
                f"{training.embargo_days} days: judging it on {run.partitions} would be judging it on what it has "
                f"seen. Nothing was decided. Judge on partitions from {earliest.start}, for example: contrail "
                f"promote --pipeline {spec.name} --from {earliest.start} --to {earliest.end}"
            )


def _check_inputs(run: StageRun[Options]) -> None:
    """Every day with entities needs features, and the label's table must reach to the last day."""
    spec, name = run.pipeline.spec, run.pipeline.name
    entities = run.lake.partitions(f"validated_{spec.entities}")
    features = run.lake.partitions("features")
    missing = [day for day in run.partitions if day in entities and day not in features]
    if missing or not any(day in features for day in run.partitions):
        ranges = ", ".join(str(days) for days in as_ranges(missing or run.partitions))
        raise MissingInputError(
            f"{name}: no features for {ranges}. Nothing was decided. Run: contrail features --pipeline {name} "
            f"--from {run.partitions.start} --to {run.partitions.end}"
        )
    last = max(run.lake.partitions(f"validated_{spec.label.table}"), default=None)
    if last is None or last < run.partitions.end:
        raise MissingInputError(
            f"{name}: labels come from validated_{spec.label.table}, whose last partition is {last or 'none'}; "
            f"{run.partitions.end} is not labelled yet. Nothing was decided. Validate {spec.label.table} up to "
            f"{run.partitions.end + timedelta(days=spec.label.mature_after_days)}, or end the range earlier."
        )


def _evidence(spec: PipelineSpec, contest: _Contest, rows: pa.Table, shadow: tuple[ShadowDay, ...] = ()) -> Evidence:
    package = contest.challenger.package
    problems = package.differences(spec)
    if problems:
        # A package that cannot read the rows is refused for that, not for its predictions.
        predictions = np.full(rows.num_rows, package.card.label_mean)
    else:
        predictions = package.predict(rows)
    incumbent = contest.incumbent.package if contest.incumbent else None
    outdated = incumbent.differences(spec) if incumbent else []
    features = dict.fromkeys([*spec.train.segments, *(floor.feature for floor in spec.gate.segments)])
    table = package.card.rate_table
    return Evidence(
        task=spec.task,
        days=rows.column(PARTITION).to_numpy(),
        labels=rows.column("label").to_numpy(),
        challenger=predictions,
        champion=incumbent.predict(rows) if incumbent and not outdated else None,
        constant=np.full(rows.num_rows, package.card.label_mean),
        rate_table=table.predict(rows) if table.features else None,
        groups={name: _texts(rows.column(name)) for name in features},
        integrity=tuple(problems),
        shadow=shadow,
        **({"no_champion": f"the champion no longer fits the pipeline ({'; '.join(outdated)})"} if outdated else {}),
    )


def _shadow_days(run: StageRun[Options], contest: _Contest) -> tuple[ShadowDay, ...]:
    """The measured days on which the challenger was scored beside this champion, after both of their trainings."""
    measured = run.lake.partitions("performance")
    if not (contest.incumbent and measured and "shadow" in run.lake.table("performance").schema().column_names):
        return ()
    trainings = [model.package.card.training for model in (contest.challenger, contest.incumbent)]
    first = max(out_of_time_window(training.end, training.embargo_days, 1).start for training in trainings)
    if first > max(measured):
        return ()
    metric = run.pipeline.spec.gate.metric
    names = [PARTITION, "model_version", "labelled", "shadow", metric]
    rows = run.lake.scan("performance", Partitions(first, max(measured)), names).to_pylist()
    rows = [row for row in rows if row[metric] is not None]
    theirs = {r[PARTITION]: r for r in rows if r["model_version"] == contest.incumbent.version and not r["shadow"]}
    ours = {r[PARTITION]: r for r in rows if r["model_version"] == contest.challenger.version and r["shadow"]}
    return tuple(
        ShadowDay(day, ours[day]["labelled"], ours[day][metric], theirs[day][metric])
        for day in sorted(ours.keys() & theirs.keys())
    )


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    return np.array(pc.cast(column, pa.string()).to_pylist(), object)


# ---- the record ----


def _record(run: StageRun[Options], contest: _Contest, evidence: Evidence, checks: list[Check]) -> dict[str, Any]:
    spec, challenger = run.pipeline.spec, contest.challenger
    failed = [check for check in checks if check.passed is False]
    incumbent = f"version {contest.incumbent.version}" if contest.incumbent else "no champion"
    in_shadow = bool(spec.gate.shadow and contest.incumbent and not contest.again and worth_shadowing(checks))
    unseen = f" Version {challenger.version} is scored beside it, unseen by analysts." if in_shadow else ""
    waits = any(check.name == "approval" and check.passed is None for check in checks)
    summary = (
        f"It passed every other check and waits for an approver to take the place of {incumbent}."
        if waits and not failed
        else f"It becomes champion in place of {incumbent}; every check passed."
        if not failed
        else f"{len(failed)} of {len(checks)} checks failed. {_stays(contest)}{unseen}"
    )
    return {
        "format": 1,
        "pipeline": spec.name,
        "title": spec.title,
        "version": challenger.version,
        "verdict": "refused" if failed else WAITS if waits else "pass",
        "in_shadow": in_shadow,
        "summary": summary,
        "reasons": [f"{check.title}: {_explain(check)}" for check in failed],
        "decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_id": run.run_id,
        "person": asked_by(run),
        "reason": run.options.reason,
        "window": {
            "start": str(run.partitions.start),
            "end": str(run.partitions.end),
            "days": len(np.unique(evidence.days)),
            "rows": len(evidence.labels),
        },
        "gate": spec.gate.model_dump(mode="json"),
        "challenger": _about(challenger),
        "champion": _about(contest.incumbent) if contest.incumbent else None,
        "checks": [check.model_dump(mode="json") for check in checks],
        "metric_names": list(METRICS[spec.task]),
        "metrics": {name: finite(values) for name, values in evidence.metrics().items()},
        "shadow": [asdict(day) | {"day": str(day.day)} for day in evidence.shadow],
        "segments": {name: _segment_rows(evidence, name) for name in evidence.groups},
        "provenance": _provenance(run, contest),
    }


def _stays(contest: _Contest) -> str:
    return (
        f"Version {contest.incumbent.version} stays champion." if contest.incumbent else "There is still no champion."
    )


def _explain(check: Check) -> str:
    if check.value is None or check.bound is None:
        return check.detail
    sign = {">=": "≥", "<=": "≤"}.get(check.comparison, check.comparison)
    return f"{_short(check.value)} where {sign} {_short(check.bound)} is needed ({check.detail})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}"


def _about(model: RegisteredModel) -> dict[str, Any]:
    training = model.package.card.training
    return {
        "version": model.version,
        "training_window": str(training.partitions),
        "training_rows": training.rows,
        "rounds": training.rounds,
        "model_sha256": model.package.card.sha256["model.ubj"],
    }


def _segment_rows(evidence: Evidence, feature: str) -> list[dict[str, Any]]:
    """The largest groups of a feature with both models' metrics."""
    groups = evidence.groups[feature]
    ours = by_group(evidence.task, evidence.labels, evidence.challenger, groups, _SHOWN_ROWS)
    theirs = (
        by_group(evidence.task, evidence.labels, evidence.champion, groups, _SHOWN_ROWS)
        if evidence.champion is not None
        else {}
    )
    return [
        {
            "group": group,
            "rows": int(own["rows"]),
            "label_mean": own["label_mean"],
            "challenger": finite({name: own[name] for name in METRICS[evidence.task]}),
            "champion": finite({name: theirs[group][name] for name in METRICS[evidence.task]}) if theirs else {},
        }
        for group, own in list(ours.items())[:_SHOWN_GROUPS]
    ]


def _provenance(run: StageRun[Options], contest: _Contest) -> dict[str, Any]:
    training = contest.challenger.package.card.training
    now = run.provenance({})
    tables = ("features", f"validated_{run.pipeline.spec.label.table}")
    return {
        "model": f"{contest.challenger.name} version {contest.challenger.version}",
        "model_sha256": contest.challenger.package.card.sha256["model.ubj"],
        "mlflow_run": contest.entry.run_id,
        "training_features_snapshot": training.feature_snapshot,
        "training_set_md5": training.training_set_md5,
        "training_code_revision": training.code_revision,
        **{f"judged_on_{name}_snapshot": run.lake.snapshot_id(name) for name in tables},
        "code_revision": now.code_revision,
        "pipeline_hash": now.pipeline_hash,
        "lock_hash": now.lock_hash,
    }


def _keep(run: StageRun[Options], contest: _Contest, record: dict[str, Any]) -> list[str]:
    """Write the record with the reports and with the model version; returns the report files."""
    stem = f"v{record['version']}_{record['window']['start']}_{record['window']['end']}"
    contents = {
        f"{stem}.html": render_decision(record),
        f"{stem}.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
    }
    folder = run.report_folder("decisions")
    with tempfile.TemporaryDirectory(prefix="contrail-decision-") as place:
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
            (Path(place) / name).write_text(text, encoding="utf-8")
        kept = registry.log_files(run.settings, contest.entry, Path(place), "decisions")
    tags = {
        "decision": record["verdict"],
        "decision_window": str(run.partitions),
        "decision_against": contest.incumbent.version if contest.incumbent else "",
        "decision_record": f"{kept}/{stem}.json",
        "decided_at": record["decided_at"],
    }
    if record["verdict"] == "refused":
        tags["status"] = "challenger" if record["in_shadow"] else "refused"
    registry.tag_version(run.settings, contest.entry, tags)
    return [str(folder / name) for name in contents]


def _refusal(record: dict[str, Any], reports: list[str]) -> str:
    reasons = "\n".join(f"  - {reason}" for reason in record["reasons"])
    return (
        f"{record['pipeline']} version {record['version']} is refused on {record['window']['start']} to "
        f"{record['window']['end']}. {record['summary']}\n{reasons}\nThe record: {reports[0]}"
    )


def _after_refusal(run: StageRun[Options], contest: _Contest, kept: bool) -> None:
    """Keep a sound version as challenger; take one that is no longer sound out of the shadow."""
    settings, entry = run.settings, contest.entry
    champion = registry.alias_version(settings, entry.name, CHAMPION)
    if champion is None:
        return
    since, said = run.partitions.end + timedelta(days=1), f"version {entry.version} was refused on {run.partitions}"
    if kept:
        move_aliases(run, entry, (CHALLENGER,), since, f"{said} against the champion alone: scored in shadow")
    elif registry.alias_version(settings, entry.name, CHALLENGER) == entry.version:
        move_aliases(run, registry.describe_version(settings, entry.name, str(champion)), (CHALLENGER,), since, said)


def _move_aliases(run: StageRun[Options], contest: _Contest, record: dict[str, Any]) -> None:
    """The challenger's alias first: should the second call fail, the champion is still the old one."""
    settings, entry = run.settings, contest.entry
    aliases = (CHAMPION,) if contest.again else (CHALLENGER, CHAMPION)
    move_aliases(run, entry, aliases, _first_partition(run), _reason(run), _improvement(run.pipeline.spec, record))
    if contest.again:
        return
    registry.tag_version(settings, entry, {"status": "champion", "champion_from": record["decided_at"]})
    if contest.incumbent:
        before = registry.describe_version(settings, entry.name, contest.incumbent.version)
        registry.tag_version(settings, before, {"status": "former champion", "champion_until": record["decided_at"]})


def _reason(run: StageRun[Options]) -> str:
    return run.options.reason or f"passed the gate on {run.partitions}"


def _improvement(spec: PipelineSpec, record: dict[str, Any]) -> float | None:
    """Over the constant baseline, in the metric that performance compares with it every day."""
    own, constant = (record["metrics"][name].get(HEADLINE[spec.task]) for name in ("challenger", CONSTANT))
    return None if own is None or constant is None else float(constant - own)


def _first_partition(run: StageRun[Options]) -> date:
    """The first partition that a version promoted now is champion for: the next whose cut-off comes.

    A pipeline that ended long ago is replayed: there, now is the day after the rows that the decision rests on.
    """
    spec = run.pipeline.spec
    if spec.last_partition:
        return run.partitions.end + timedelta(days=1)
    now = datetime.now(ZoneInfo(spec.timezone))
    return now.date() if now.time() <= spec.cutoff else now.date() + timedelta(days=1)
