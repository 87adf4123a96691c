"""Which policy of the gate serves best: a year of monthly trainings, replayed under each.

All policies see the same trainings and keep the gate's other checks. What differs is when a challenger takes the champion's
place. The policy and its numbers are chosen on the earlier part of each pipeline; the later part is reported beside it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.replays import BIKES, FLIGHTS, Model, Replay, replays
from benchmarks.trainings import Floats

SEEDS = (0, 1, 2)
_SUPERIOR, _CHOSEN = "superior, 97.5 % sure", "expected, regret 5 %"
_METRICS = {FLIGHTS: "log loss", BIKES: "rmse, rides"}
# The first day that no choice has seen.
LATER = {FLIGHTS: date(2013, 10, 1), BIKES: date(2016, 1, 1)}
_NEVER: Mapping[str, Any] = {"never": True}
_NEWEST: Mapping[str, Any] = {"newest": True}
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "never retrain": _NEVER,
    "newest": _NEWEST,
    _SUPERIOR: {"policy": "superior"},
    "not worse by 10 %": {"policy": "not_worse", "margin_share": 0.1},
    _CHOSEN: {"policy": "expected", "max_regret_share": 0.05},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "superior, 80 % sure": {"policy": "superior", "confidence": 0.6},
    "not worse by 5 %": {"policy": "not_worse", "margin_share": 0.05},
    "not worse by 20 %": {"policy": "not_worse", "margin_share": 0.2},
    "not worse by 50 %": {"policy": "not_worse", "margin_share": 0.5},
    "expected, regret 1 %": {"policy": "expected", "max_regret_share": 0.01},
    "expected, regret 2 %": {"policy": "expected", "max_regret_share": 0.02},
    "expected, regret 10 %": {"policy": "expected", "max_regret_share": 0.1},
    "expected, no bound": {"policy": "expected", "max_regret_share": 1e9},
}


@dataclass
class Year:
    """A replay with what its policies ask again and again."""

    replay: Replay
    sound: list[bool] = field(default_factory=list)
    _gains: dict[tuple[int, int], Any] = field(default_factory=dict)

    @cached_property
    def metric(self) -> str:
        """The gate's metric, which is also what is realised."""
        return str(self.replay.spec.gate.metric)

    @cached_property
    def refused(self) -> list[tuple[str, ...]]:
        """The gate's other checks that each model fails."""
        return [_failed(self.replay, model) for model in self.replay.models]

    def gains(self, new: int, old: int) -> Any:
        """The gains of one model over another on the new one's gate days."""
        from contrail.methods.improvement import Pair, paired_gains
        from contrail.methods.metrics import block_metric
        from contrail.methods.policies import Gains

        if (new, old) not in self._gains:
            r, model = self.replay, self.replay.models[new]
            own, gate = r.within(*model.gate), r.spec.gate
            known, blocks = np.unique(r.days[own], return_inverse=True)
            three = [model.predictions[own], r.models[old].predictions[own], np.full(len(blocks), model.mean)]
            new_, old_, constant = (block_metric(gate.metric, r.labels[own], each, blocks) for each in three)
            skill = paired_gains(Pair(len(known), new_, constant), gate)[0]
            self._gains[new, old] = Gains(paired_gains(Pair(len(known), new_, old_), gate), float(skill))
        return self._gains[new, old]

    def champions(self, policy: Mapping[str, Any]) -> list[int]:
        """Which model predicts each segment under a policy."""
        from contrail.methods.policies import champion_checks

        found = [0]
        for new in range(1, len(self.replay.models)):
            if policy is _NEVER or self.refused[new]:
                wins = False
            elif policy is _NEWEST:
                wins = True
            else:
                checks = champion_checks(
                    self.gains(new, found[-1]), self.replay.spec.gate.model_copy(update=dict(policy))
                )
                wins = all(check.passed for check in checks)
            found.append(new if wins else found[-1])
        return found

    def predictions(self, champions: Sequence[int]) -> Floats:
        """What the champions predict of all rows from the first segment on."""
        r = self.replay
        parts = [r.models[who].predictions[rows] for who, (rows, _, _) in zip(champions, r.segments, strict=True)]
        return np.concatenate(parts)

    @property
    def start(self) -> int:
        """The first row that a champion predicts."""
        return int(self.replay.segments[0][0].start)


def _failed(replay: Replay, model: Model) -> tuple[str, ...]:
    """The checks that a model fails on its gate days, without those against a champion."""
    from tests.judged import model_sums

    from contrail.methods.gates import Evidence, judge

    gate, own = replay.spec.gate, replay.within(*model.gate)
    days, labels = replay.days[own], replay.labels[own]
    count = own.stop - own.start
    groups = {
        floor.feature: np.array(replay.rows.column(floor.feature).slice(own.start, count).to_pylist(), object).astype(
            str
        )
        for floor in gate.segments
    }

    def sums(predictions: Floats, grouped: bool = False) -> Any:
        return model_sums(
            replay.spec.task, days, labels, predictions, groups if grouped else None, gate.calibration_days
        )

    evidence = Evidence(
        challenger=sums(model.predictions[own], grouped=True),
        champion=None,
        constant=sums(np.full(count, model.mean)),
        rate_table=sums(model.rate_table[own]),
    )
    return tuple(check.name for check in judge(evidence, gate) if check.passed is False)


# ---- what a policy brings ----


@dataclass(frozen=True)
class Played:
    """A policy on every year and seed: losses by day, shape (days,), and its months."""

    losses: Floats
    months: list[tuple[date, float]]
    alarms: list[date]
    changes: list[date]


def play(years: Sequence[Year], policy: Mapping[str, Any]) -> Played:
    """Replay a policy over all years of one seed."""
    from contrail.methods.metrics import ROW_LOSSES, calibration_error

    losses, months, alarms, changes = [], [], [], []
    for year in years:
        r, champions = year.replay, year.champions(policy)
        predictions, labels, days = year.predictions(champions), r.labels[year.start :], r.days[year.start :]
        _, codes = np.unique(days, return_inverse=True)
        losses.append(np.bincount(codes, ROW_LOSSES[year.metric](labels, predictions)))
        for rows, first, _ in r.segments:
            own = slice(rows.start - year.start, rows.stop - year.start)
            months.append((first, calibration_error(labels[own], predictions[own])))
        alarms += _alarms(year, champions)
        changes += [r.models[k].as_of for k in range(1, len(champions)) if champions[k] != champions[k - 1]]
    return Played(np.concatenate(losses), months, alarms, changes)


def _alarms(year: Year, champions: Sequence[int]) -> list[date]:
    """The days on which the governor's rule of performance begins to ask for a training."""
    from contrail.methods.metrics import ROW_LOSSES

    r, spec = year.replay, year.replay.spec
    loss, root = ROW_LOSSES[year.metric], year.metric == "rmse"

    def improvements(model: Model, rows: slice) -> dict[date, float]:
        days, codes = np.unique(r.days[rows], return_inverse=True)
        both = [
            np.bincount(codes, loss(r.labels[rows], p)) / np.bincount(codes)
            for p in (np.full(len(codes), model.mean), model.predictions[rows])
        ]
        constant, own = (np.sqrt(each) if root else each for each in both)
        return dict(zip(days.tolist(), (constant - own).tolist(), strict=True))

    found, raised, since = [], False, 0
    wanted, margin = spec.retrain.performance_days, spec.retrain.performance_margin
    for k, who in enumerate(champions):
        since = k if k == 0 or who != champions[k - 1] else since
        raised = raised and since != k
        model, gate = r.models[who], r.within(*r.models[who].gate)
        whole = [
            np.mean(loss(r.labels[gate], p))
            for p in (np.full(gate.stop - gate.start, model.mean), model.predictions[gate])
        ]
        reference = float(np.subtract(*np.sqrt(whole)) if root else np.subtract(*whole))
        known = [*improvements(model, slice(r.segments[since][0].start, r.segments[k][0].stop)).items()]
        for n in range(len(known)):
            if known[n][0] < r.segments[k][1]:
                continue
            last = [value for _, value in known[max(0, n + 1 - wanted) : n + 1]]
            now = len(last) >= 0.75 * wanted and median(last) < reference - margin
            found += [known[n][0]] if now and not raised else []
            raised = now
    return found


# ---- tables ----


@dataclass(frozen=True)
class Field:
    """All seeds of a pipeline: its years, and the days that champions predict with their rows."""

    name: str
    seeds: list[list[Year]]

    @cached_property
    def days(self) -> Any:
        """Each day and its rows."""
        every = np.concatenate([year.replay.days[year.start :] for year in self.seeds[0]])
        return np.unique(every, return_counts=True)

    def played(self, policy: Mapping[str, Any]) -> list[Played]:
        """A policy with each seed."""
        return [play(years, policy) for years in self.seeds]

    def part(self, later: bool) -> Callable[[date], bool]:
        """Whether a day belongs to the part that choices saw, or to the later one."""
        return lambda day: (day >= LATER[self.name]) == later


def measure() -> str:
    """Tables of the policies for both pipelines, of the earlier and the later part. There is no timing."""
    fields = [Field(name, [[Year(one) for one in replays(name, seed)] for seed in SEEDS]) for name in (FLIGHTS, BIKES)]
    return "\n".join([*_HEAD, *(line for found in fields for line in _section(found))])


def _section(found: Field) -> Iterable[str]:
    known = {name: found.played(policy) for name, policy in {**POLICIES, **VARIANTS}.items()}
    for later in (False, True):
        yield from _table(found, {name: known[name] for name in POLICIES}, known[_SUPERIOR], later)
    yield from _variants(found, known)
    yield from _hindsight(found)


def _table(found: Field, known: Mapping[str, list[Played]], superior: list[Played], later: bool) -> Iterable[str]:
    inside, metric = found.part(later), _METRICS[found.name]
    paid = mean(sum(inside(model.as_of) for year in years for model in year.replay.models) for years in found.seeds)
    first = sum(inside(years.replay.models[0].as_of) for years in found.seeds[0])
    yield from (_title(found, later), "")
    unit = "" if found.name == FLIGHTS else ", rides"
    yield (
        f"| policy | {metric} | gain over superior | worst month's calibration error{unit} | mean calibration error{unit} | "
        "alarms | trainings | changes |"
    )
    yield "|---" * 8 + "|"
    for name, played in known.items():
        realised, gain = _realised(found, played, superior, inside)
        errors = [[error for day, error in one.months if inside(day)] for one in played]
        alarms, changes = (mean(sum(map(inside, each)) for each in one) for one in
                           ([p.alarms for p in played], [p.changes for p in played]))  # fmt: skip
        trainings = first if name == "never retrain" else paid
        worst, usual = (mean(map(how, errors)) for how in (max, mean))
        cells = [f"{realised:.4g}", gain if name != _SUPERIOR else "–", f"{worst:.3g}", f"{usual:.3g}"]
        yield f"| {name} | {' | '.join(cells)} | {alarms:.1f} | {trainings:.0f} | {changes:.1f} |"
    yield ""


def _variants(found: Field, known: Mapping[str, list[Played]]) -> Iterable[str]:
    yield from (f"{found.name}, other numbers: gain over superior at 97.5 %, and champions changed.", "")
    yield from ("| policy | earlier | changes | later | changes |", "|---|---|---|---|---|")
    for name in VARIANTS:
        cells = []
        for later in (False, True):
            inside = found.part(later)
            cells.append(_realised(found, known[name], known[_SUPERIOR], inside)[1])
            cells.append(f"{mean(sum(map(inside, one.changes)) for one in known[name]):.1f}")
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _hindsight(found: Field) -> Iterable[str]:
    """Whether the gate's estimate tells the month after, and whether being newer is worth more than it says."""
    from contrail.methods.metrics import METRICS

    cases = []
    for years in found.seeds:
        for year in years:
            r, who = year.replay, year.champions(POLICIES[_CHOSEN])
            metric = METRICS[r.spec.task][year.metric]
            for new in range(1, len(who)):
                rows, old = r.segments[new][0], who[new - 1]
                lost = [metric(r.labels[rows], r.models[one].predictions[rows]) for one in (old, new)]
                cases.append((who[new] == new, year.gains(new, old).estimate, lost[0] - lost[1]))
    yield f"{found.name}, challengers under `expected`, all years: the gain that the gate saw, and that of the month after."
    yield from (
        "",
        "| | challengers | gain at the gate | gain in the month after | better in that month |",
        "|---" * 5 + "|",
    )
    for name, accepted in (("accepted", True), ("refused, also by other checks", False)):
        own = [case for case in cases if case[0] == accepted]
        if own:
            means, won = [mean(case[n] for case in own) for n in (1, 2)], mean(case[2] > 0 for case in own)
            yield f"| {name} | {len(own)} | {means[0]:+.3g} | {means[1]:+.3g} | {won:.0%} |"
    yield ""


def _realised(
    found: Field, played: list[Played], superior: list[Played], inside: Callable[[date], bool]
) -> tuple[float, str]:
    """What the champions lost on all days of a part, and the gain over superior policy with its interval over days."""
    from contrail.methods.intervals import day_weights, interval_of
    from contrail.methods.metrics import resampled_mean

    days, rows = found.days
    own = np.array([inside(day) for day in days.tolist()])
    metric = found.seeds[0][0].metric
    weights = day_weights(int(own.sum()), 1000)
    ours, theirs = (
        resampled_mean(metric, np.mean([one.losses for one in each], axis=0)[own], rows[own].astype(float))(weights)
        for each in (played, superior)
    )
    gain = interval_of(theirs - ours, 0.95)
    digits = 5 if found.name == FLIGHTS else 3  # without an exponent, and as many in each row
    return float(ours[0]), f"{gain.estimate:+.{digits}f} [{gain.low:+.{digits}f}, {gain.high:+.{digits}f}]"


def _title(found: Field, later: bool) -> str:
    days = [day for day in found.days[0].tolist() if found.part(later)(day)]
    what = "not looked at before the choice" if later else "where the choice was made"
    return f"{found.name}, {days[0]} to {days[-1]}, {what}:"


_HEAD = (
    "## Policies of the gate",
    "",
    "A year of monthly trainings, as `__train` makes them on the first of a month, replayed under each policy. The champion of a "
    "year begins with a model trained for its first day. Each number is that of three seeds. A gain is positive when a policy "
    "loses less than superior at 97.5 %; its 95% interval is over days, paired. Shares are of the challenger's improvement "
    "over the training mean. Every policy but the first keeps the gate's other checks. The calibration error is that of a month, "
    "in the label's unit: a probability, or rides an hour. An alarm is a beginning of the governor's rule of performance.",
    "",
)
