"""The pictures of a model card, as SVG within the page: calibration, SHAP values, dependence. They compute no statistic.

A page shows them light or dark by its own colours. Every text goes through Markup, which escapes it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from contrail.methods.explanations import Dependence, Effect, Explanations
from contrail.methods.findings import CalibrationBin
from contrail.reports.plot import LEFT, SMALL, Plot, joined, markup

if TYPE_CHECKING:
    from markupsafe import Markup

_LARGE = (300, 260)  # width and height between the axes
_LETTERS = 16  # of a category's name beside its bar


def calibration(bins: Sequence[CalibrationBin]) -> "Markup":
    """Predicted and found, a point for each tenth of the rows, with its interval over days."""
    ends = [
        end
        for one in bins
        for end in (one.predicted, one.found.value, one.found.low, one.found.high)
        if end is not None
    ]
    low, high = min(ends), max(ends)
    gap = (high - low) * 0.05 or 1.0
    plot = Plot((low - gap, high + gap), (low - gap, high + gap), size=_LARGE)
    parts = [plot.frame("Mean prediction", "Mean label"), plot.line([(low, low), (high, high)], "ideal")]
    for one in bins:
        if one.found.low is not None and one.found.high is not None:
            parts.append(plot.line([(one.predicted, one.found.low), (one.predicted, one.found.high)], "whisker"))
    parts.append(plot.line([(one.predicted, one.found.value) for one in bins], "main"))
    parts += [plot.dot(one.predicted, one.found.value) for one in bins]
    return plot.drawn(parts)


def effects(found: Explanations) -> "Markup":
    """A row for each feature: how many rows of the sample have which SHAP value, and whether the feature was low or high."""
    rows = [
        markup(
            '<li><span class="name">{}</span><span class="size">{}</span>{}</li>',
            one.feature,
            f"{one.size:.3g}",
            _strip(one, found),
        )
        for one in found.effects
    ]
    ends = markup(
        '<li class="ends"><span></span><span></span><div><span>{}</span><span style="left:{}%">0</span>'
        "<span>{}</span></div></li>",
        f"{found.low:.2g}",
        f"{_zero(found):.1f}",
        f"+{found.high:.2g}",
    )
    key = markup(
        '<p class="soft">The feature was low {}{}{}{}{} high; {} a category, or no value</p>',
        *(markup('<i class="level l{}"></i>', level) for level in range(5)),
        markup('<i class="level none"></i>'),
    )
    return markup('<ol class="effects">{}{}</ol>{}', joined(rows), ends, key)


def _zero(found: Explanations) -> float:
    return 100 * -found.low / (found.high - found.low)


def _strip(effect: Effect, found: Explanations) -> "Markup":
    bins, most = len(effect.counts), max(effect.counts) or 1
    width = 100 / bins
    parts = [markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="24"/>', f"{_zero(found):.2f}")]
    for at, (count, level) in enumerate(zip(effect.counts, effect.levels, strict=True)):
        if count:
            tall = max(1.5, 22 * (count / most) ** 0.5)  # by the root, so that a few rows are seen beside many
            kind = "none" if level is None else f"l{min(4, int(level * 5))}"
            parts.append(
                markup(
                    '<rect class="level {}" x="{}" y="{}" width="{}" height="{}"/>',
                    kind, f"{at * width:.2f}", f"{12 - tall / 2:.2f}", f"{width + 0.05:.2f}", f"{tall:.2f}",
                )
            )  # fmt: skip
    return markup('<svg viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">{}</svg>', joined(parts))


def dependence(found: Dependence) -> "Markup":
    """The mean prediction over a feature's values, with single rows; bars for a category."""
    values = [*found.low, *found.high, *found.mean, *([found.missing] if found.missing is not None else [])]
    low, high = min(values), max(values)
    gap = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    if found.points and isinstance(found.points[0], str):
        return _categories(found, low - gap, high + gap)
    points = [float(point) for point in found.points]
    wide = (points[-1] - points[0]) or 1.0
    plot = Plot((points[0] - wide * 0.02, points[-1] + wide * 0.02), (low - gap, high + gap))
    parts = [plot.frame("", "")]
    parts += [plot.line(list(zip(points, line, strict=True)), "ice") for line in found.lines]
    parts.append(plot.line(list(zip(points, found.mean, strict=True)), "main"))
    if len(points) == 1:
        parts.append(plot.dot(points[0], found.mean[0]))
    if found.missing is not None:
        parts.append(plot.line([(plot.x[0], found.missing), (plot.x[1], found.missing)], "ideal"))
    return plot.drawn(parts)


def _categories(found: Dependence, low: float, high: float) -> "Markup":
    names = [str(point) for point in found.points]
    plot = Plot((low, high), (0.0, float(len(names))), left=104, size=(SMALL[0] + LEFT - 104, max(60, 18 * len(names))))
    parts = [plot.frame("", "", rows=False)]
    for at, name in enumerate(names):
        y = len(names) - at - 0.5
        short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
        parts.append(markup('<text class="end" x="{}" y="{}">{}</text>', 98, f"{plot.at_y(y) + 4:.1f}", short))
        parts.append(plot.line([(found.low[at], y), (found.high[at], y)], "band"))
        parts.append(plot.dot(found.mean[at], y))
    return plot.drawn(parts)
