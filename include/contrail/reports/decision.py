"""The decision record for an approver, as a self-contained page (Jinja2) and as Markdown. It decides nothing."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from contrail.methods.checks import Check
from contrail.methods.decision_record import DecisionRecord
from contrail.methods.intervals import CONFIDENCE, Interval
from contrail.methods.metrics import HIGHER_IS_BETTER
from contrail.reports.document import number
from contrail.reports.page import protected, template

if TYPE_CHECKING:
    from jinja2 import Template

# Share of the strip that lies outside the outermost mark on either side.
_MARGIN = 0.12


@cache
def _template() -> "Template":
    return template("decision.html.j2", number=number, count=_count)


def render_decision(record: DecisionRecord) -> str:
    """The page for a decision record."""
    page = _template().render(
        record=record,
        provenance=record.provenance.model_dump(),
        strips={check.name: strip(check) for check in record.checks if check.interval},
        better="higher" if record.gate.metric in HIGHER_IS_BETTER else "lower",
    )
    return protected(page)


def decision_text(record: DecisionRecord) -> str:
    """The record in Markdown, short enough for the form in which a person answers."""
    names = record.metric_names
    rows = [
        [who, *(_with_interval(values.get(name), record.intervals.get(who, {}).get(name)) for name in names)]
        for who, values in record.metrics.items()
        if any(values.get(name) is not None for name in names)
    ]
    checks = [[{True: "✓", False: "✗", None: "–"}[check.passed], check.title, check.detail] for check in record.checks]
    window, models = record.window, {"challenger": record.challenger, "champion": record.champion}
    left_out = f" Left out, as not all outcomes are known: {', '.join(window.immature)}." if window.immature else ""
    return "\n\n".join(
        [
            f"**{record.title}, version {record.version}.** {record.summary}",
            *([record.weighed] if record.weighed else []),
            *([record.request.sentence] if record.request else []),
            f"Judged on {window.start} to {window.end}, {_count(window.rows)} rows with known outcomes.{left_out} "
            f"In brackets is each metric's {CONFIDENCE:.0%} interval over days.",
            _markdown(["", *names], rows),
            *(
                f"The {who} decides by {model.decides_by}."
                for who, model in models.items()
                if model and model.decides_by
            ),
            _markdown(["", "check", "found"], checks),
        ]
    )


def _markdown(head: Sequence[str], rows: list[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells)


def strip(check: Check) -> dict[str, float]:
    """Where the interval of a check, its estimate, zero and the bound lie on a line from 0 to 100."""
    interval, bound = check.interval, check.bound
    assert interval is not None
    assert bound is not None
    marks = {"low": interval.low, "high": interval.high, "estimate": interval.estimate, "zero": 0.0, "bound": bound}
    left, right = min(marks.values()), max(marks.values())
    width = (right - left) or 1.0
    scale = 100 / (width * (1 + 2 * _MARGIN))
    return {name: round((value - left + width * _MARGIN) * scale, 2) for name, value in marks.items()}


def _with_interval(value: float | None, interval: Interval | None) -> str:
    return number(value) + (f" ({number(interval.low)} to {number(interval.high)})" if interval else "")


def _count(value: float) -> str:
    return f"{int(value):,}"
