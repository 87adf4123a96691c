"""The promotion gate: what a challenger must show on rows after its training, before it becomes champion.

These are pure functions from evidence to checks. ``improvement`` computes how much better a model is, with an interval.
"""

from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Literal

import numpy as np
import numpy.typing as npt

from contrail.config.model_spec import GateSpec, SegmentFloor
from contrail.errors import SpecError
from contrail.methods.block_sums import BlockSums
from contrail.methods.calibration import Period, worst
from contrail.methods.checks import Check, passed
from contrail.methods.group_sums import ModelSums
from contrail.methods.improvement import Pair, paired_gains, pooled
from contrail.methods.intervals import FEWEST_DAYS, Interval, interval_of
from contrail.methods.metrics import HIGHER_IS_BETTER, Task, worse_than
from contrail.methods.policies import (
    AGAINST_CHAMPION,
    BEATS_CHAMPION,
    Gains,
    champion_checks,
    improvement_text,
    least_gain,
)

# A model whose bins lie apart by no more than this tells nothing.
_TELLS_APART = 1e-9
DEARER = "cost_beside_champion"
CONSTANT, RATE_TABLE = "constant", "rate table"
_BASELINE_TITLES = {
    CONSTANT: "Better than always predicting the training mean",
    RATE_TABLE: "Better than a table of group means",
}


Answer = Literal["approved", "refused"]


@dataclass(frozen=True)
class ShadowDay:
    """A day in shadow: the gate's metric of challenger and champion, on ``rows`` labelled rows."""

    day: date
    rows: int
    challenger: float
    champion: float


@dataclass(frozen=True)
class Evidence:
    """What every model predicted of the same labelled rows, as sums.

    ``challenger`` and ``champion`` have the groups of each segment feature too. ``champion`` is None when there is none to
    compare with; ``no_champion`` says why. ``integrity`` lists what is wrong with the challenger's package. ``shadow`` has
    the days on which both were scored, the challenger in shadow, after both trainings.
    """

    challenger: ModelSums
    champion: ModelSums | None
    constant: ModelSums
    rate_table: ModelSums | None
    integrity: tuple[str, ...] = ()
    no_champion: str = "there is no champion to compare with"
    shadow: tuple[ShadowDay, ...] = ()

    @property
    def task(self) -> Task:
        """Decides which metrics."""
        return self.challenger.days.task

    @property
    def rows(self) -> int:
        """The number of labelled rows."""
        return int(self.challenger.days.rows.sum())

    @property
    def days(self) -> int:
        """The number of days that have labelled rows."""
        return len(self.challenger.days.days)

    def models(self) -> dict[str, BlockSums]:
        """Return the sums by the name of their model, the challenger first."""
        found = {
            "challenger": self.challenger,
            "champion": self.champion,
            RATE_TABLE: self.rate_table,
            CONSTANT: self.constant,
        }
        return {name: sums.days for name, sums in found.items() if sums is not None}

    def metrics(self) -> dict[str, dict[str, float]]:
        """Compute every metric of every model."""
        return {name: sums.pooled()[0] for name, sums in self.models().items()}

    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Compute every defined metric of every model with its interval over days."""
        return {name: sums.pooled()[1] for name, sums in self.models().items()}

    def calibration(self) -> tuple[Period, ...]:
        """Measure the challenger's calibration in each period of the window."""
        return self.challenger.days.periods()


def check_metrics(task: Task, gate: GateSpec) -> None:
    """Refuse a gate whose metric does not fit the task.

    Raises:
        SpecError: with the metric, and those that fit.
    """
    allowed = ("auc", "log_loss") if task == "binary" else ("rmse", "mae")
    for where, metric in [("gate.metric", gate.metric), *(("gate.segments", s.metric) for s in gate.segments)]:
        if metric not in allowed:
            raise SpecError(f"{where} is {metric}; for a {task} task use {' or '.join(allowed)}")


def judge(evidence: Evidence, gate: GateSpec) -> list[Check]:
    """Make every check of the gate, in the order in which a person reads them."""
    checks = [_integrity(evidence), _enough_rows(evidence, gate)]
    if passed(checks):  # the others would measure noise, or an unusable package
        checks += [
            *_against_champion(evidence, gate),
            *([_in_shadow(evidence, gate)] if evidence.shadow else []),
            _against_baseline(evidence, gate, RATE_TABLE, evidence.rate_table),
            _against_baseline(evidence, gate, CONSTANT, evidence.constant),
            *_calibration(evidence, gate),
            *(_segment(evidence, floor) for floor in gate.segments),
        ]
    return checks


def worth_shadowing(checks: list[Check]) -> bool:
    """Say whether a refused challenger is sound: it failed only against the champion."""
    failed = {check.name for check in checks if check.passed is False}
    return bool(failed) and failed <= {*AGAINST_CHAMPION, DEARER}


def approval_check(answer: Answer | None, person: str, reason: str, failed: bool = False) -> Check:
    """Make the check that a person approves. Without an answer it has not failed: it waits, or another has ``failed``."""
    unanswered = "nobody is asked: the gate refused" if failed else "waits for an approver"
    detail = {"approved": f"approved by {person}", "refused": f"refused by {person}", None: unanswered}
    return Check(
        name="approval",
        title="Approved by a person",
        passed=None if answer is None else answer == "approved",
        comparison="=",
        detail=detail[answer] + (f": {reason}" if answer and reason else ""),
    )


def _integrity(evidence: Evidence) -> Check:
    finite = evidence.challenger.days.finite
    problems = [*evidence.integrity, *([] if finite else ["some predictions are not finite"])]
    return Check(
        name="package_integrity",
        title="The package is whole and fits the pipeline",
        passed=not problems,
        value=len(problems),
        comparison="=",
        bound=0,
        detail="; ".join(problems) or "hashes, features, label and predictions are as they should be",
    )


def _enough_rows(evidence: Evidence, gate: GateSpec) -> Check:
    rows, days = evidence.rows, evidence.days
    classes = evidence.challenger.days.classes if evidence.task == "binary" else 2
    return Check(
        name="enough_rows",
        title="Enough labelled rows",
        passed=rows >= gate.min_rows and days >= FEWEST_DAYS and classes > 1,
        value=rows,
        bound=gate.min_rows,
        detail=f"{rows:,} rows with a label, of {days} days (at least {FEWEST_DAYS})"
        + ("" if rows >= gate.min_rows else f"; gate.min_rows in pipeline.yaml asks for {gate.min_rows:,}")
        + ("" if classes > 1 else "; all have the same label"),
    )


def _gains(evidence: Evidence, gate: GateSpec, other: ModelSums) -> npt.NDArray[np.float64]:
    """The challenger's improvement on resamples of the days, that of all days first."""
    own, theirs = (sums.days.resampled(gate.metric) for sums in (evidence.challenger, other))
    return paired_gains(Pair(evidence.days, own, theirs), gate)


def _skill(evidence: Evidence, gate: GateSpec) -> float:
    """The challenger's improvement over the training mean, in the gate's metric."""
    return float(_gains(evidence, gate, evidence.constant)[0])


def _against_champion(evidence: Evidence, gate: GateSpec) -> list[Check]:
    if evidence.champion is None:
        title, detail = "Better than the champion", f"skipped: {evidence.no_champion}"
        return [Check(name=BEATS_CHAMPION, title=title, passed=None, detail=detail)]
    return champion_checks(Gains(_gains(evidence, gate, evidence.champion), _skill(evidence, gate)), gate)


def _in_shadow(evidence: Evidence, gate: GateSpec) -> Check:
    """Check that the days in shadow do not contradict the gate. Here the estimate counts, without an interval."""
    name, title, metric = "shadow", "Not worse than the champion in shadow", gate.metric
    days, rows = len(evidence.shadow), [day.rows for day in evidence.shadow]
    own, theirs = (
        pooled(metric, [getattr(day, who) for day in evidence.shadow], rows) for who in ("challenger", "champion")
    )
    gain = own - theirs if metric in HIGHER_IS_BETTER else theirs - own
    bound = least_gain(gate, _skill(evidence, gate))
    enough = days >= gate.min_shadow_days
    won = sum(not worse_than(metric, day.challenger, day.champion) for day in evidence.shadow)
    return Check(
        name=name,
        title=title,
        passed=gain >= bound if enough else None,
        value=gain,
        bound=bound,
        detail=f"{metric.replace('_', ' ')} {own:.4f} beside the champion's {theirs:.4f} on {sum(rows):,} labelled rows; "
        f"not worse on {won} of {days} days" + ("" if enough else f"; skipped: {gate.min_shadow_days} days are needed"),
    )


def _against_baseline(evidence: Evidence, gate: GateSpec, baseline: str, sums: ModelSums | None) -> Check:
    name, title = f"beats_{baseline.replace(' ', '_')}", _BASELINE_TITLES[baseline]
    if sums is None:
        return Check(name=name, title=title, passed=None, detail="skipped: train.rate_table names no features")
    interval, bound = interval_of(_gains(evidence, gate, sums), gate.confidence), gate.min_improvement_over_baseline
    return Check(
        name=name,
        title=title,
        passed=interval.low > bound,
        value=interval.low,
        comparison=">",
        bound=bound,
        interval=interval,
        detail=f"{improvement_text(gate.metric, interval)}; its lower end counts",
    )


def _calibration(evidence: Evidence, gate: GateSpec) -> list[Check]:
    """Check the calibration of all rows together and of each period, because errors of periods cancel.

    The bound is relative to how far the model tells rows apart. So a constant fails, whatever the rate of its labels.
    """
    apart, share = evidence.challenger.days.spread(), gate.max_calibration_share
    bound = min(share * apart, *([gate.max_calibration_error] if gate.max_calibration_error is not None else []), inf)
    stretches = evidence.calibration()
    pooled_error, period = evidence.challenger.days.pooled()[0]["calibration_error"], worst(stretches)
    assert period is not None  # there are enough rows
    limit = f"{share:g} of {apart:.4f}, by which the labels of the bins lie apart"
    means = f"predicted {period.prediction_mean:.4f}, found {period.label_mean:.4f}"
    return [
        Check(
            name="calibration",
            title="Predictions mean what they say",
            passed=apart > _TELLS_APART and pooled_error <= bound,
            value=pooled_error,
            comparison="<=",
            bound=bound,
            detail=f"expected calibration error {pooled_error:.4f} over ten bins of equal counts; at most {limit}",
        ),
        Check(
            name="calibration_by_period",
            title=f"Predictions mean what they say in every {gate.calibration_days} days",
            passed=apart > _TELLS_APART and period.calibration_error <= bound,
            value=period.calibration_error,
            comparison="<=",
            bound=bound,
            detail=f"the worst of {len(stretches)} periods is {period.start} to {period.end}: {means}; all days together "
            f"{pooled_error:.4f}",
        ),
    ]


def _segment(evidence: Evidence, floor: SegmentFloor) -> Check:
    """Check the worst group of a feature against its floor. A group with one class has no AUC, and is left out."""
    groups = evidence.challenger.groups[floor.feature].metrics(floor.min_rows)
    values = {name: own[floor.metric] for name, own in groups.items() if np.isfinite(own[floor.metric])}
    feature, metric = floor.feature.replace("_", " "), floor.metric.replace("_", " ")
    name, title = f"segment_{floor.feature}_{floor.metric}", f"Every {feature} keeps the floor of {metric}"
    comparison: Literal[">=", "<="] = ">=" if floor.metric in HIGHER_IS_BETTER else "<="
    if not values:
        detail = f"skipped: no {feature} has {floor.min_rows:,} rows and a defined {metric}"
        return Check(name=name, title=title, passed=None, comparison=comparison, bound=floor.floor, detail=detail)
    order = sorted(values, key=values.__getitem__, reverse=floor.metric not in HIGHER_IS_BETTER)
    below = [group for group in order if worse_than(floor.metric, values[group], floor.floor)]
    shown = ", ".join(f"{group} {values[group]:.4f}" for group in (below or order)[:3])
    return Check(
        name=name,
        title=title,
        passed=not below,
        value=values[order[0]],
        comparison=comparison,
        bound=floor.floor,
        detail=f"{len(below)} of {len(values)} groups with {floor.min_rows:,} rows or more are past the floor; "
        f"{'they are' if below else 'the worst are'} {shown}",
    )
