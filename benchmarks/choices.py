"""What makes flight_delay better out of time: each change chosen on January to September, and judged once by the autumn.

Three folds choose. Each trains on the months before, and measures two months that begin a month later. A gain is that in
log loss over the model as it was, on the same rows. Its interval resamples days and seeds. Of the changes whose gain surely
lies above zero, the one with the smallest calibration error wins. October to December are measured after that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks import policies
from benchmarks.december import recalibrated
from benchmarks.replays import Model, Replay
from benchmarks.trainings import Floats, Rows, Year, load_year, trained_predictions

if TYPE_CHECKING:
    from contrail.partitions import Partitions

SEEDS, AUTUMN_SEEDS = (0, 1), (0, 1, 2, 3, 4)
ROUNDS = 160  # the middle of what early stopping finds in the folds
AUC, ERROR = 0.69, 0.03  # the goals for one model: a mean over seeds, and at most so much in each month
RETRAINED = (0.02, 0.02, 0.04)  # the same with a training for each month: October, November, December
MONTHS = (date(2013, 10, 1), date(2013, 11, 1), date(2013, 12, 1))
LEVEL = "all_late_14d"
ONE_HOT = {"max_cat_to_onehot": 200}
_SAMPLES = 2000

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Stretch:
    """A window to train on, the days to measure, and from when on predictions are needed for recent labels."""

    trained: tuple[date, date]
    recent: date
    first: date
    last: date


def _fold(months: int) -> Stretch:
    end = date(2013, months + 1, 1) - timedelta(days=1)
    last = date(2013, months + 4, 1) - timedelta(days=1)
    return Stretch((date(2013, 1, 1), end), date(2013, months + 1, 3), date(2013, months + 2, 1), last)


FOLDS = tuple(map(_fold, (4, 5, 6)))
AUTUMN = Stretch((date(2013, 1, 1), date(2013, 8, 31)), date(2013, 9, 3), date(2013, 10, 1), date(2013, 12, 30))


@dataclass(frozen=True)
class Change:
    """What is tried: parameters of XGBoost, the weight of the level that scores start from, and what trees see of it.

    ``stopped`` trains as the stage does, with early stopping by the last days. ``shift`` recalibrates by 14 mature days,
    held back by a prior.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 0.0
    seen: bool = False
    stopped: bool = False
    shift: float = 0.0


BEFORE = "as it was: early stopping by the last 31 days"
_FEW = {**ONE_HOT, "colsample_bytree": 0.15}
CHANGES = {
    BEFORE: Change(stopped=True),
    f"{ROUNDS} rounds": Change(),
    f"{ROUNDS} rounds, shifted by recent labels": Change(shift=4000),
    "and one-hot categories": Change(ONE_HOT),
    "and rates that may only raise the score": Change({**ONE_HOT, "monotone_constraints": "rates"}),
    "and 15 % of the features for each tree": Change(_FEW),
    "and an offset of 0.3": Change(ONE_HOT, weight=0.3),
    "and an offset of 0.5": Change(ONE_HOT, weight=0.5),
    "and an offset of 0.7": Change(ONE_HOT, weight=0.7),
    "and an offset of 0.7, 15 % of the features": Change(_FEW, weight=0.7),
}


@dataclass(frozen=True)
class Measured:
    """Days and labels of the measured rows, and their predictions by each seed."""

    days: Days
    labels: Floats
    predictions: list[Floats]


def measure() -> str:
    """The table of choices, and one of the autumn for the change that won. There is no timing."""
    year = load_year()
    before = [_measured(year, CHANGES[BEFORE], fold, SEEDS) for fold in FOLDS]
    lines = [
        "## Better models, chosen on January to September",
        "",
        "Trained on January to April, May and June; measured on the two months that begin a month later. Two seeds. The "
        "calibration error is the mean of that of the six months. A gain is in log loss over the model as it was, with its "
        "95% interval over days and seeds. Each line from one-hot categories on has 160 rounds and these. "
        "An offset is the share late of "
        "the last 14 days, from which each score starts.",
        "",
        "| change | AUC | log loss | calibration error | gain |",
        "|---|---|---|---|---|",
    ]
    best, least = BEFORE, np.inf
    for name, change in CHANGES.items():
        print(f"  {name}", flush=True)
        found = before if name == BEFORE else [_measured(year, change, fold, SEEDS) for fold in FOLDS]
        estimate, low, high = _gain(found, before)
        error = float(np.mean([error for part in found for _, error in _errors(part)]))
        if low > 0 and error < least:
            best, least = name, error
        gain = "–" if name == BEFORE else f"{estimate:+.4f} [{low:+.4f}, {high:+.4f}]"
        lines.append(f"| {name} | {_mean('auc', found):.4f} | {_mean('log_loss', found):.4f} | {error:.4f} | {gain} |")
    return "\n".join([*lines, "", *_autumn(year, best)])


def _autumn(year: Year, best: str) -> list[str]:
    found = {name: _measured(year, CHANGES[name], AUTUMN, AUTUMN_SEEDS) for name in dict.fromkeys((BEFORE, best))}
    lines = [
        f"Of the changes whose gain surely lies above zero, this one has the smallest calibration error: {best}. Trained on "
        "January to August, five seeds, measured once:",
        "",
        "| change | AUC | log loss | October | November | December | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in found.items():
        estimate, low, high = _gain([part], [found[BEFORE]])
        gain = "–" if name == BEFORE else f"{estimate:+.4f} [{low:+.4f}, {high:+.4f}]"
        months = " | ".join(f"{error:.4f}" for _, error in _errors(part))
        lines.append(f"| {name} | {_mean('auc', [part]):.4f} | {_mean('log_loss', [part]):.4f} | {months} | {gain} |")
    lines += ["", *(_goals(name, part) for name, part in found.items()), ""]
    return [*lines, *_retrained(year, tuple(found))]


def _goals(name: str, part: Measured) -> str:
    """Whether the goals for one model are kept: a mean AUC over the seeds, and the calibration error of each month."""
    missed = [
        f"{date.fromisoformat(f'{month}-01'):%B} ({error:.4f})" for month, error in _errors(part) if error > ERROR
    ]
    auc = _mean("auc", [part])
    kept = f"a mean AUC of {AUC:g} is {'kept' if auc >= AUC else f'**missed** ({auc:.4f})'}"
    months = f"**missed** in {' and '.join(missed)}" if missed else "kept"
    return f"- Goals, {name}: {kept}; a calibration error of {ERROR:g} in each month is {months}."


def _retrained(year: Year, names: tuple[str, ...]) -> list[str]:
    """A table of the calibration of the same changes with a training for each month, taken as the gate's policy says."""
    ordered = replace(year, rows=year.rows.sort_by("partition_date").combine_chunks())
    lines = [
        f"Trained anew for the first of each month, and taken as champion where the gate's policy (`{year.spec.gate.policy}`) "
        f"says so; {len(SEEDS)} seeds:",
        "",
        "| change | October | November | December | champions changed |",
        "|---|---|---|---|---|",
    ]
    goals = []
    for name in names:
        print(f"  trained each month: {name}", flush=True)
        part, changed = _by_policy(ordered, CHANGES[name])
        errors = [error for _, error in _errors(part)]
        lines.append(f"| {name} | {' | '.join(f'{error:.4f}' for error in errors)} | {changed:.1f} |")
        missed = [
            f"{error:.4f} where {most:g} is wanted"
            for error, most in zip(errors, RETRAINED, strict=True)
            if error > most
        ]
        goals.append(f"- Goals, {name}: {'**missed**, ' + ' and '.join(missed) if missed else 'kept'}.")
    return [*lines, "", *goals, ""]


def _by_policy(year: Year, change: Change) -> tuple[Measured, float]:
    """What the champion of each month predicted of it, by each seed, and how often another became champion."""
    from contrail.config.training_windows import training_windows

    windows = [training_windows(year.spec.model_copy(update={"last_partition": None}), day) for day in MONTHS]
    rows = year.between(windows[0].gate.start, AUTUMN.last)
    found, changed = [], []
    for seed in SEEDS:
        models = tuple(
            _model(year, change, rows, seed, (day, each.train, each.gate))
            for day, each in zip(MONTHS, windows, strict=True)
        )
        replay = Replay(year.spec, year.rows.filter(pa.array(rows)), year.days[rows], year.labels[rows], models)
        judged = policies.Year(replay)
        champions = judged.champions({})  # the policy of the spec
        found.append(judged.predictions(champions))
        changed.append(len(set(champions)) - 1)
    start = judged.start
    return Measured(replay.days[start:], replay.labels[start:], found), float(np.mean(changed))


def _model(year: Year, change: Change, rows: Rows, seed: int, of: "tuple[date, Partitions, Partitions]") -> Model:
    """A training for a day: its window, and the days that judge it as far as its cut-off sees their labels."""
    from contrail.methods.baselines import fit_rate_table

    day, window, gate = of
    mature = timedelta(days=year.spec.label.mature_after_days)
    trained = (window.start, window.end)
    own = year.between(window.start, window.end - mature)
    table = fit_rate_table([(year.rows.filter(pa.array(own)), year.labels[own])], year.spec.train.rate_table)
    made = _predictions(year, change, Stretch(trained, gate.start, gate.start, AUTUMN.last), rows, seed)
    judges = (gate.start, min(gate.end, day - mature - timedelta(days=1)))
    return Model(day, judges, table.overall, made, table.predict(year.rows.filter(pa.array(rows))))


def _measured(year: Year, change: Change, stretch: Stretch, seeds: tuple[int, ...]) -> Measured:
    rows = year.between(stretch.recent, stretch.last)
    own = year.between(stretch.first, stretch.last)[rows]
    days, labels = year.days[rows], year.labels[rows]
    predictions = []
    for seed in seeds:
        made = _predictions(year, change, stretch, rows, seed)
        if change.shift:
            made = recalibrated(days, labels, made, 14, change.shift)
        predictions.append(made[own])
    return Measured(days[own], labels[own], predictions)


def _predictions(year: Year, change: Change, stretch: Stretch, rows: Rows, seed: int) -> Floats:
    from contrail.methods.encoded_rows import EveryRow
    from contrail.methods.fit import booster_params, fit_unseen
    from contrail.methods.matrices import encode_window, predict

    year = _with_level(year, change)
    train = year.spec.train
    if change.stopped:
        return trained_predictions(year, stretch.trained, rows, {"seed": seed})
    last = stretch.trained[1] - timedelta(days=year.spec.label.mature_after_days)
    data = encode_window(year.rows.filter(pa.array(year.between(stretch.trained[0], last))), year.spec)
    params = {**train.params, **change.params}
    if "monotone_constraints" in params:
        params["monotone_constraints"] = _only_up(data.names)
    train = train.model_copy(update={"seed": seed, "params": params})
    booster = fit_unseen(data, EveryRow(), {**booster_params("binary", train), "device": "cpu"}, ROUNDS)
    later = encode_window(year.rows.filter(pa.array(rows)), year.spec, categories=data.categories)
    return predict(booster, replace(later, offset=data.offset), EveryRow())


def _only_up(names: tuple[str, ...]) -> str:
    rates = (str(int(name.endswith(("_late_28d", "_delay_28d")))) for name in names)
    return f"({','.join(rates)})"


def _with_level(year: Year, change: Change) -> Year:
    """The year as it was before any of these changes, with the level of 14 days where the change uses it."""
    from contrail.config.model_spec import OffsetSpec

    spec, columns = year.spec, dict(year.spec.features.columns)
    columns.pop(LEVEL, None)
    rows = year.rows.drop_columns([LEVEL]) if LEVEL in year.rows.column_names else year.rows
    if change.weight or change.seen:
        columns[LEVEL] = columns["all_delay_1d"]
        rows = rows.append_column(LEVEL, pa.array(_level(year), from_pandas=True))
    was = {"rounds": 1000, "early_stopping_rounds": 40, "offset": None}
    params = {name: value for name, value in spec.train.params.items() if name not in ONE_HOT}
    train = spec.train.model_copy(update={**was, "params": params})
    if change.weight:
        train = train.model_copy(update={"offset": OffsetSpec(feature=LEVEL, weight=change.weight)})
    features = spec.features.model_copy(update={"columns": columns})
    return replace(year, spec=spec.model_copy(update={"features": features, "train": train}), rows=rows)


def _level(year: Year) -> Floats:
    """The share late of all outcomes that became known in the 14 days before each row's cut-off."""
    if LEVEL in year.rows.column_names:
        return year.rows[LEVEL].to_numpy()
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake

    query = "SELECT partition_date, count(*) FILTER (arr_delay > 15), count(*) FROM validated_outcomes GROUP BY 1"
    with Lake(settings(), year.spec.name).connect(["validated_outcomes"]) as connection:
        landed = {day: (late, of) for day, late, of in connection.sql(query).fetchall()}
    known, codes = np.unique(year.days, return_inverse=True)
    shares = []
    for day in known.astype(object):
        found = [landed[d] for d in (day - timedelta(days=back) for back in range(1, 15)) if d in landed]
        shares.append(sum(late for late, _ in found) / sum(of for _, of in found) if found else np.nan)
    return np.array(shares)[codes]


def _mean(metric: str, parts: list[Measured]) -> float:
    from contrail.methods import metrics

    measure = {"auc": metrics.auc, "log_loss": metrics.log_loss}[metric]
    return float(np.mean([measure(part.labels, own) for part in parts for own in part.predictions]))


def _errors(part: Measured) -> Iterator[tuple[str, float]]:
    """The calibration error of each month, the mean over seeds."""
    from contrail.methods.metrics import calibration_error

    months = part.days.astype("datetime64[M]")
    for month in np.unique(months):
        own = months == month
        yield str(month), float(np.mean([calibration_error(part.labels[own], p[own]) for p in part.predictions]))


def _gain(found: list[Measured], before: list[Measured]) -> tuple[float, float, float]:
    """The gain in log loss with its interval. A day that two folds measure counts once, with its rows of both."""
    from contrail.methods.metrics import log_losses

    known = np.unique(np.concatenate([part.days for part in found]))
    sums, rows = np.zeros((len(found[0].predictions), len(known))), np.zeros(len(known))
    for part, old in zip(found, before, strict=True):
        codes = np.searchsorted(known, part.days)
        rows += np.bincount(codes, minlength=len(known))
        for seed, (own, other) in enumerate(zip(part.predictions, old.predictions, strict=True)):
            gains = log_losses(part.labels, other) - log_losses(part.labels, own)
            sums[seed] += np.bincount(codes, gains, len(known))
    draw = np.random.default_rng(0)
    days = draw.multinomial(len(known), np.full(len(known), 1 / len(known)), _SAMPLES)
    seeds = draw.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), _SAMPLES) / len(sums)
    values = ((seeds @ sums) * days).sum(axis=1) / (days @ rows)
    low, high = np.quantile(values, [0.025, 0.975])
    return float(sums.mean(axis=0).sum() / rows.sum()), float(low), float(high)
