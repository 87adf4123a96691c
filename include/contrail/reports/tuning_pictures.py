"""The pictures of a search's report, as SVG within the page: what mattered, the trials, their learning curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from contrail.config.tune_spec import Searched, Value
from contrail.methods.study import TODAY, FoldRecord, TrialRecord
from contrail.reports.plot import Plot, joined, markup

if TYPE_CHECKING:
    from markupsafe import Markup

_LEFT = 68  # room for the numbers of a metric, and its name beside them
Point = tuple[float, float]
_WIDE, _CURVE = (920, 230), (250, 150)
_NAMES, _BARS = 170, 640  # widths: of parameters' names, and of the longest bar


def importance(found: Mapping[str, float]) -> "Markup":
    """A bar for each parameter, the longest first."""
    ranked = sorted(found.items(), key=lambda one: -one[1])
    most = ranked[0][1] or 1.0
    parts = []
    for at, (name, share) in enumerate(ranked):
        y, wide = 24 * at, _BARS * share / most
        parts += [
            markup('<text class="end" x="{}" y="{}">{}</text>', _NAMES - 8, y + 16, name),
            markup('<rect class="bar" x="{}" y="{}" width="{}" height="15"/>', _NAMES, y + 4, f"{max(wide, 1):.1f}"),
            markup('<text x="{}" y="{}">{}</text>', f"{_NAMES + wide + 6:.1f}", y + 16, f"{share:.0%}"),
        ]
    size = (_NAMES + _BARS + 50, 24 * len(ranked) + 4)
    return markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>', *size, joined(parts))


def of_parameter(name: str, searched: Searched, trials: Sequence[tuple[TrialRecord, Value]], best: int) -> "Markup":
    """The metric of each whole trial over one parameter. Today's and the best stand out."""
    places = [(one, float(value)) for one, value in trials]
    values = [one.value for one, _ in places]
    low, high = _ends(searched)
    plot = Plot((low, high), _around(values), powers=_by_powers(searched))
    parts = [plot.frame(name, "")]
    # Today's and the best last, so that no other point hides them.
    parts += [
        plot.dot(x, one.value, _kind(one, best))
        for one, x in sorted(places, key=lambda p: p[0].number in (TODAY, best))
    ]
    return plot.drawn(parts)


def by_seconds(trials: Sequence[TrialRecord], best_so_far: Sequence[Point], best: int, metric: str) -> "Markup":
    """The metric of each whole trial over the seconds that the study had taken by its end, and the best so far."""
    ends, spent = {}, 0.0
    for one in trials:
        spent += one.cost.seconds
        ends[one.number] = spent
    whole = [one for one in trials if one.whole]
    plot = Plot((0.0, spent * 1.02), _around([one.value for one in whole]), size=_WIDE, left=_LEFT)
    parts = [plot.frame("Seconds of all trials", metric), plot.line(best_so_far, "main")]
    parts += [plot.dot(ends[one.number], one.value, _kind(one, best)) for one in whole]
    return plot.drawn(parts)


def curves(today: FoldRecord, best: FoldRecord | None, metric: str) -> "Markup":
    """The metric of the validation days after each round: of the best trial, and of today's parameters."""
    drawn = [(today, "other"), *([(best, "main")] if best else [])]
    ends = [value for one, _ in drawn for _, value in one.validation[len(one.validation) // 20 :]]
    last = max(one.validation[-1][0] for one, _ in drawn)
    plot = Plot((0.0, last * 1.02), _around(ends), size=_CURVE, left=_LEFT)
    parts = [plot.frame("Round", metric)]
    for one, kind in drawn:
        parts.append(plot.line([(float(at), value) for at, value in one.fit], "ice"))
        parts.append(plot.line([(float(at), value) for at, value in one.validation], kind))
        parts.append(plot.line([(float(one.rounds), plot.y[0]), (float(one.rounds), plot.y[1])], "ideal"))
    return plot.drawn(parts)


def _kind(trial: TrialRecord, best: int) -> str:
    return "dot" if trial.number == best else "dot other" if trial.number == TODAY else "dot pale"


def has_axis(searched: Searched) -> bool:
    """Whether its values are numbers, which lie on an axis."""
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in searched.choices)


def _ends(searched: Searched) -> tuple[float, float]:
    values = [float(one) for one in (searched.choices or (searched.low, searched.high)) if one is not None]
    low, high = min(values), max(values)
    gap = (high - low) * 0.04
    return (low * 0.9, high * 1.1) if _by_powers(searched) else (low - gap, high + gap)


def _by_powers(searched: Searched) -> bool:
    """Choices such as 64, 128 and 256 are apart by powers, too."""
    return searched.log or bool(searched.choices and min(float(one) for one in searched.choices) > 0)


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    gap = (high - low) * 0.08 or abs(high) * 0.01 or 1.0
    return low - gap, high + gap
