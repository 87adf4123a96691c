"""A small plot as SVG within a page: axes with round numbers, lines and points, in the page's own colours.

What is drawn belongs to the modules of the pages. Every text goes through Markup, which escapes it.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

LEFT, TOP = 46, 10
SMALL = (210, 140)  # width and height between the axes
_TICKS = 4


class Plot:
    """A plot with axes from ``x`` and ``y``, which has text in the page's own colours. ``powers``: x goes by powers of 10."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        left: int = LEFT,
        size: tuple[int, int] = SMALL,
        powers: bool = False,
    ) -> None:
        self.x, self.y, self.left, self.powers = x, y, left, powers
        self.width, self.height = size
        self.below = 22

    def at_x(self, value: float) -> float:
        """Where a value lies from left to right."""
        low, high, at = (log10(one) if self.powers else one for one in (*self.x, value))
        return self.left + self.width * (at - low) / (high - low)

    def at_y(self, value: float) -> float:
        """Where a value lies from the top down."""
        return TOP + self.height * (1 - (value - self.y[0]) / (self.y[1] - self.y[0]))

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> "Markup":
        """A line through points, which stays within the axes."""
        inside = [(x, min(max(y, self.y[0]), self.y[1])) for x, y in points]
        text = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in inside)
        return markup('<polyline class="{}" points="{}"/>', kind, text)

    def dot(self, x: float, y: float, kind: str = "dot") -> "Markup":
        """A point."""
        at_x, at_y = f"{self.at_x(x):.1f}", f"{self.at_y(y):.1f}"
        return markup('<circle class="{}" cx="{}" cy="{}" r="3.5"/>', kind, at_x, at_y)

    def frame(self, below: str, beside: str, *, rows: bool = True) -> "Markup":
        """Lines and numbers of the axes, and what they are."""
        bottom, right = TOP + self.height, self.left + self.width
        parts = []
        for value in _powers(*self.x) if self.powers else _ticks(*self.x):
            x = f"{self.at_x(value):.1f}"
            parts.append(markup('<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>', x, TOP, bottom))
            parts.append(markup('<text class="middle" x="{}" y="{}">{}</text>', x, bottom + 16, _short(value)))
        for value in _ticks(*self.y) if rows else ():
            y = f"{self.at_y(value):.1f}"
            parts.append(markup('<line class="grid" x1="{1}" x2="{2}" y1="{0}" y2="{0}"/>', y, self.left, right))
            parts.append(
                markup('<text class="end" x="{}" y="{}">{}</text>', self.left - 6, f"{float(y) + 4:.1f}", _short(value))
            )
        if below:
            self.below = 40
            parts.append(
                markup('<text class="middle" x="{}" y="{}">{}</text>', (self.left + right) / 2, bottom + 34, below)
            )
        if beside:
            parts.append(
                markup(
                    '<text class="middle" transform="translate(11 {}) rotate(-90)">{}</text>',
                    (TOP + bottom) / 2,
                    beside,
                )
            )
        return joined(parts)

    def drawn(self, parts: Sequence["Markup"]) -> "Markup":
        """The whole drawing."""
        return markup(
            '<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>',
            self.left + self.width + 14,
            TOP + self.height + self.below,
            joined(parts),
        )


def _powers(low: float, high: float) -> list[float]:
    """A few round numbers between two others that powers of 10 tell apart."""
    found: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        exponents = range(floor(log10(low)), ceil(log10(high)) + 1)
        found = [one for e in exponents for step in steps if low <= (one := round(step * 10.0**e, 12)) <= high]
        if len(found) <= _TICKS + 1:
            break
    return found


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two others."""
    rough = (high - low) / _TICKS
    unit = 10.0 ** floor(log10(rough))
    step = next(step for step in (unit, 2 * unit, 2.5 * unit, 5 * unit, 10 * unit) if step >= rough * 0.999)
    return [round(at * step, 12) for at in range(ceil(low / step), floor(high / step) + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def markup(text: str, *values: object) -> "Markup":
    """A literal with values, each of which is escaped."""
    from markupsafe import Markup

    return Markup(text).format(*values)  # noqa: S704 - a literal; its values are escaped


def joined(parts: Sequence["Markup"]) -> "Markup":
    """Parts after each other."""
    from markupsafe import Markup

    return Markup("").join(parts)
