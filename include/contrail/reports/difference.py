"""What a backfill changed, as one self-contained page (Jinja2). It compares nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from contrail.config.spec import PipelineSpec
from contrail.reports.backfill_record import Changes, DayChanges, Difference, Quality, Record
from contrail.reports.page import protected, template

if TYPE_CHECKING:
    from jinja2 import Template

_WIDTH, _HEIGHT, _PAD = 960, 190, 8


@dataclass(frozen=True)
class Chart:
    """Points of two lines in SVG's form, and the ranges of the axes."""

    before: str
    after: str
    low: float
    high: float
    first: str
    last: str


@cache
def _template() -> "Template":
    return template("difference.html.j2", count=_count, number=_number, shift=_shift)


def render_difference(record: Record, spec: PipelineSpec) -> str:
    """The page for the record of a backfill that has ended."""
    predictions = record.difference.predictions
    page = _template().render(
        record=record,
        title=spec.title,
        binary=spec.task == "binary",
        score=spec.prediction_column,
        words=summary(record.difference),
        features=record.difference.features,
        predictions=predictions,
        chart=chart(predictions.days) if predictions else None,
        size={"width": _WIDTH, "height": _HEIGHT},
    )
    return protected(page)


def summary(difference: Difference) -> list[str]:
    """Whether it is better, where that is known, and one sentence for each table of the difference."""
    better = [quality_sentence(difference.quality)] if difference.quality else []
    return (
        better + [sentence(table, compared.total) for table, compared in difference.tables.items()] + gone(difference)
    )


def gone(difference: Difference) -> list[str]:
    """One sentence for each table that cannot be compared."""
    return [
        f"{table}: not compared, because the lake does not have its snapshot from before any more. Upkeep let it expire, or the "
        "rows of a person were taken out of it. Its rows of now are whole."
        for table in difference.gone
    ]


def quality_sentence(found: Quality) -> str:
    """Say whether the predictions are better on the rows whose outcome is known."""
    name, word = found.metric.replace("_", " "), "better" if found.after < found.before else "worse"
    verdict = "the same" if found.after == found.before else word
    said = f"{verdict} on {found.rows:,} rows with known outcomes: {name} {found.before:.4f} → {found.after:.4f}"
    if not found.flipped or found.flipped_right is None:
        return said
    return f"{said}; {found.flipped:,} of their decisions flipped, {found.flipped_right / found.flipped:.0%} for the better"


def sentence(table: str, changes: Changes) -> str:
    """The changes of a table in a sentence."""
    counted = f"{changes.added:,} rows added, {changes.removed:,} removed, {changes.changed:,} changed"
    found = f"{table}: {counted}, {changes.rows_after:,} now"
    if changes.mean_shift is not None:
        found += f"; mean score shift {changes.mean_shift:+.4f}"
    if changes.flipped is not None:
        found += f"; {changes.flipped:,} decisions flipped"
    return f"{found}."


def chart(days: Sequence[DayChanges]) -> Chart | None:
    """The mean score of each day before and after; None when no day has a score."""
    before, after = [day.mean_before for day in days], [day.mean_after for day in days]
    means = [mean for mean in (*before, *after) if mean is not None]
    if not means:
        return None
    low, high = min(means), max(means)
    height = (high - low) or 1.0

    def points(means: Sequence[float | None]) -> str:
        found = [
            (
                _PAD + (_WIDTH - 2 * _PAD) * (i / max(len(days) - 1, 1)),
                _HEIGHT - _PAD - (_HEIGHT - 2 * _PAD) * ((mean - low) / height),
            )
            for i, mean in enumerate(means)
            if mean is not None
        ]
        # A single point draws no line.
        found = [(x - 4, y) for x, y in found] + [(x + 4, y) for x, y in found] if len(found) == 1 else found
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in found)

    return Chart(points(before), points(after), low, high, days[0].partition, days[-1].partition)


def _count(value: float) -> str:
    return f"{int(value):,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4f}"


def _shift(value: float | None) -> str:
    return "–" if value is None else f"{value:+,.4f}"
