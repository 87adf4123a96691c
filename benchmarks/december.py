"""Whether December's error can be mended: by recent labels, by features of the level, or by more trainings.

Each remedy is measured twice on days that its model has not seen. The summer (trained on January to May, measured in July
and August) is for choosing; the autumn (trained on January to August, measured from October to December) for reporting.
A gain is that in log loss over the model as it is, on the same rows, with its interval over days.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.trainings import Floats, Year, load_year, trained_predictions

RECENT = (7, 14, 28)
# Of the likelihood's curvature. At a rate of .2, 2,000 are 12,500 flights: two weeks.
PRIORS = (0, 2000)
LEVELS = (3, 7, 28)
SEEDS = (0, 1, 2)

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class _Half:
    """A window to train on, the days to measure, and from when on predictions are needed for recent labels."""

    title: str
    trained: tuple[date, date]
    recent: date
    first: date
    last: date


SUMMER = _Half("Summer", (date(2013, 1, 1), date(2013, 5, 30)), date(2013, 6, 1), date(2013, 7, 1), date(2013, 8, 31))
AUTUMN = _Half("Autumn", (date(2013, 1, 1), date(2013, 8, 31)), date(2013, 9, 1), date(2013, 10, 1), date(2013, 12, 30))


def measure() -> str:
    """A table of remedies for each half. There is no timing."""
    year = load_year()
    lines = [
        "## Remedies for December's calibration",
        "",
        "Each gain is in log loss, over the model as it is, with its 95% interval over days. The calibration error is that "
        "of each month. Recent labels shift the log odds of a day by what the last mature days before its cut-off ask for; "
        "a prior holds the shift back. Features of the level are the share late of all outcomes known in the last 3, 7 and "
        "28 days. A training for each month has its gate between, as `__train` does, or none.",
        "",
    ]
    for half in (SUMMER, AUTUMN):
        lines += _table(year, half)
    return "\n".join(lines)


def _table(year: Year, half: _Half) -> list[str]:
    measured = year.between(half.first, half.last)
    days, labels = year.days[measured], year.labels[measured]
    months = np.unique(days.astype("datetime64[M]"))
    names = " | ".join(str(month.astype(object).strftime("%B")) for month in months)
    lines = [
        f"{half.title}: trained on {half.trained[0]} to {half.trained[1]}, measured on {half.first} to {half.last}.",
        "",
        f"| remedy | AUC | log loss | {names} | gain | gain in {months[-1].astype(object):%B} |",
        "|---" * (len(months) + 5) + "|",
    ]
    last = days.astype("datetime64[M]") == months[-1]
    for name, before, after in _remedies(year, half):
        print(f"  {half.title}: {name}", flush=True)
        cells = [*_metrics(labels, after), *_by_month(labels, after, days)]
        gains = [_gain(labels, before, after, days), _gain(labels[last], before[last], after[last], days[last])]
        lines.append(f"| {name} | {' | '.join([*cells, *gains])} |")
    return [*lines, ""]


def _remedies(year: Year, half: _Half) -> Iterator[tuple[str, Floats, Floats]]:
    """Each remedy with the predictions of the measured rows before and after it."""
    rows = year.between(half.recent, half.last)
    own = year.between(half.first, half.last)[rows]
    plain = [trained_predictions(year, half.trained, rows, {"seed": seed}) for seed in SEEDS]
    base = plain[0][own]
    yield "none", base, base
    for back in RECENT:
        for prior in PRIORS:
            name = f"recent labels, {back} days" + (", held back" if prior else "")
            yield name, base, recalibrated(year.days[rows], year.labels[rows], plain[0], back, prior)[own]
    levelled = with_levels(year)
    for seed in SEEDS:
        after = trained_predictions(levelled, half.trained, rows, {"seed": seed})
        yield f"features of the level, seed {seed}", plain[seed][own], after[own]
    for gate in (28, 0):
        name = "a training each month" + ("" if gate else ", no gate")
        yield name, base, _each_month(year, half, gate)


def recalibrated(days: Days, labels: Floats, predictions: Floats, back: int, prior: float) -> Floats:
    """Shift the log odds of each day by what the ``back`` days ask for whose labels were mature at its cut-off."""
    odds, found = np.log(predictions) - np.log1p(-predictions), predictions.copy()
    for day in np.unique(days):
        last = day - np.timedelta64(2, "D")
        recent = (days <= last) & (days > last - np.timedelta64(back, "D"))
        shift = 0.0
        for _ in range(8 if recent.any() else 0):
            p = 1 / (1 + np.exp(-(odds[recent] + shift)))
            shift -= (np.sum(p - labels[recent]) + prior * shift) / (np.sum(p * (1 - p)) + prior)
        own = days == day
        found[own] = 1 / (1 + np.exp(-(odds[own] + shift)))
    return found


def with_levels(year: Year) -> Year:
    """The same rows with the share late of all outcomes that became known in the last days before the cut-off."""
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake

    query = "SELECT partition_date, count(*) FILTER (arr_delay > 15), count(*) FROM validated_outcomes GROUP BY 1"
    with Lake(settings(), year.spec.name).connect(["validated_outcomes"]) as connection:
        landed = {day: (late, of) for day, late, of in connection.sql(query).fetchall()}
    rows, columns = year.rows, dict(year.spec.features.columns)
    known, codes = np.unique(year.days, return_inverse=True)
    for back in LEVELS:
        name, shares = f"all_late_{back}d", []
        for day in known.astype(object):
            found = [landed[d] for d in (day - timedelta(days=b) for b in range(1, back + 1)) if d in landed]
            shares.append(sum(late for late, _ in found) / sum(of for _, of in found) if found else np.nan)
        rows = rows.append_column(name, pa.array(np.array(shares)[codes], from_pandas=True))
        columns[name] = columns["all_delay_1d"]
    features = year.spec.features.model_copy(update={"columns": columns})
    return replace(year, spec=year.spec.model_copy(update={"features": features}), rows=rows)


def _each_month(year: Year, half: _Half, gate: int) -> Floats:
    """Predict each month by a model trained for it: its window ends before the month, the embargo and the gate's days."""
    found = []
    months = np.unique(year.days[year.between(half.first, half.last)].astype("datetime64[M]"))
    for month in months:
        first = max(month.astype("datetime64[D]").item(), half.first)
        last = min((month + 1).astype("datetime64[D]").item() - timedelta(days=1), half.last)
        embargo = year.spec.train.embargo_days
        end = first - timedelta(days=1 + gate + embargo)
        start = max(half.trained[0], end - timedelta(days=year.spec.train.window_days - 1))
        found.append(trained_predictions(year, (start, end), year.between(first, last), {}))
    return np.concatenate(found)


def _metrics(labels: Floats, predictions: Floats) -> list[str]:
    from contrail.methods.metrics import auc, log_loss

    return [f"{auc(labels, predictions):.4f}", f"{log_loss(labels, predictions):.4f}"]


def _by_month(labels: Floats, predictions: Floats, days: Days) -> list[str]:
    from contrail.methods.calibration import by_month

    return [f"{month.calibration_error:.4f}" for month in by_month("binary", labels, predictions, days)]


def _gain(labels: Floats, before: Floats, after: Floats, days: Days) -> str:
    from contrail.config.model_spec import GateSpec
    from contrail.methods.improvement import Pair, paired_improvement
    from contrail.methods.metrics import block_metric

    if after is before:
        return "–"
    known, blocks = np.unique(days, return_inverse=True)
    pair = Pair(len(known), *(block_metric("log_loss", labels, p, blocks) for p in (after, before)))
    found = paired_improvement(pair, GateSpec(metric="log_loss"))
    return f"{found.estimate:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
