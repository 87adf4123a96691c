"""The pictures of an inspection of features, as SVG within the page: intervals in rows, and bars. They compute no statistic.

A page shows them light or dark by its own colours. Every text goes through Markup, which escapes it.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

from contrail.reports.plot import joined, markup

if TYPE_CHECKING:
    from markupsafe import Markup

_NAMES, _WIDTH, _ROW, _TOP, _BELOW, _RIGHT = 210, 480, 19, 6, 40, 70
_LETTERS = 34
_TICKS = 6


class Row(NamedTuple):
    """A value with its interval. ``kind`` is a class of the page's style: dot, l3 or none."""

    name: str
    value: float
    low: float
    high: float
    kind: str = "dot"
    words: str = ""


def intervals(rows: Sequence[Row], below: str) -> "Markup":
    """A row for each value: its interval as a line, and a point on it; a line where zero is."""
    ends = [0.0, *(end for row in rows for end in (row.value, row.low, row.high))]
    parts, at = _axes(rows, min(ends), max(ends), below)
    for number, row in enumerate(rows):
        y = _TOP + (number + 0.5) * _ROW
        parts.append(
            markup('<polyline class="whisker" points="{0:.1f},{2} {1:.1f},{2}"/>', at(row.low), at(row.high), y)
        )
        parts.append(markup('<circle class="{}" cx="{:.1f}" cy="{}" r="4"/>', row.kind, at(row.value), y))
    return _drawn(parts, len(rows))


def bars(rows: Sequence[Row], below: str) -> "Markup":
    """A bar for each value from zero, its interval as a line, and words behind it."""
    parts, at = _axes(rows, 0.0, max([row.high for row in rows], default=0.0), below)
    for number, row in enumerate(rows):
        y = _TOP + (number + 0.5) * _ROW
        parts.append(
            markup(
                '<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="10"/>',
                row.kind,
                at(0),
                y - 5,
                at(row.value) - at(0),
            )
        )
        parts.append(markup('<polyline class="zero" points="{0:.1f},{2} {1:.1f},{2}"/>', at(row.low), at(row.high), y))
        parts.append(markup('<text x="{:.1f}" y="{}">{}</text>', at(row.high) + 6, y + 4, row.words))
    return _drawn(parts, len(rows))


def _axes(rows: Sequence[Row], low: float, high: float, below: str) -> "tuple[list[Markup], _Scale]":
    gap = (high - low) * 0.03 or 1.0
    at = _Scale(low - gap if low < 0 else low, high + gap)
    bottom = _TOP + len(rows) * _ROW
    parts = []
    for value in _ticks(at.low, at.high):
        kind = "ideal" if value == 0 else "grid"
        parts.append(
            markup('<line class="{0}" x1="{1:.1f}" x2="{1:.1f}" y1="{2}" y2="{3}"/>', kind, at(value), _TOP, bottom)
        )
        parts.append(markup('<text class="middle" x="{:.1f}" y="{}">{:.6g}</text>', at(value), bottom + 15, value))
    for number, row in enumerate(rows):
        name = row.name if len(row.name) <= _LETTERS else f"{row.name[: _LETTERS - 1]}…"
        parts.append(
            markup('<text class="end" x="{}" y="{}">{}</text>', _NAMES - 8, _TOP + (number + 0.5) * _ROW + 4, name)
        )
    parts.append(markup('<text class="middle" x="{}" y="{}">{}</text>', _NAMES + _WIDTH / 2, bottom + 32, below))
    return parts, at


class _Scale(NamedTuple):
    low: float
    high: float

    def __call__(self, value: float) -> float:
        return _NAMES + _WIDTH * (value - self.low) / (self.high - self.low)


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two others."""
    rough = (high - low) / _TICKS
    unit = 10.0 ** floor(log10(rough))
    step = next(step for step in (unit, 2 * unit, 2.5 * unit, 5 * unit, 10 * unit) if step >= rough * 0.999)
    return [round(at * step, 12) for at in range(ceil(low / step), floor(high / step) + 1)]


def _drawn(parts: "Sequence[Markup]", rows: int) -> "Markup":
    size = _NAMES + _WIDTH + _RIGHT, _TOP + rows * _ROW + _BELOW
    return markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>', *size, joined(parts))
