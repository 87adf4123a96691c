"""The drift report as one HTML file: Contrail's verdict, its evidence, and the distributions that moved.

Evidently only draws here. Its tests have fixed limits, and nearly every day exceeds them. So the page has neither its
count of drifted columns nor the columns that did not move.
"""

import html
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.files import write_whole
from contrail.reports.page import harmless, protected

_NAMED = 5
_STYLE = """
<style>
.contrail { font: 15px/1.5 system-ui, sans-serif; max-width: 1160px; margin: 0 auto; padding: 24px; }
.contrail { color: #222; background: #fff; }
.contrail h1 { font-size: 24px; margin: 0 0 4px; }
.contrail table { border-collapse: collapse; margin: 12px 0; }
.contrail th, .contrail td { text-align: left; padding: 3px 18px 3px 0; border-bottom: 1px solid #ddd; }
.contrail td:nth-child(-n+4) { white-space: nowrap; vertical-align: top; }
.contrail .drift { color: #b00020; font-weight: 600; }
.contrail .watch { color: #8a5a00; font-weight: 600; }
.contrail .ok { color: #1b6e2c; font-weight: 600; }
.contrail .note { color: #666; }
</style>
"""
_NOTE = (
    "Below are the distributions of the features that moved most on these days, drawn by Evidently from {current} of these "
    "days and {reference} of the four weeks before. The verdict above decides, and counts all rows. Its threshold for each "
    "feature comes from the days of the training window. The effect is how far the contributions of a feature to predictions "
    "moved, in standard deviations of the predictions."
)
_NOTHING = "No feature was unusual on these days, so no distribution is drawn."
# Evidently's judgement of a column, by one limit for all. It would contradict the verdict.
_JUDGEMENTS = ("Data drift detected. ", "Data drift not detected. ")


@dataclass(frozen=True)
class ReportLine:
    """A day in the table of evidence."""

    day: str
    verdict: str
    unusual_days: str
    exceedance: str
    features: str


@dataclass(frozen=True)
class Sample:
    """Rows drawn from ``of`` rows. Their columns are the features that moved, those that moved most first."""

    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    of: int = 0

    @property
    def words(self) -> str:
        """How many rows there are, and of how many they are a sample."""
        drawn = self.rows.num_rows
        return f"all {self.of:,} rows" if drawn == self.of else f"a sample of {drawn:,} of {self.of:,} rows"


@dataclass(frozen=True)
class DriftPage:
    """What the page shows.

    ``verdict`` is the last day's, ``finding`` the sentence beside it. ``summary`` says what was compared with what.
    ``lines`` are the days to list. ``reference`` has rows of the days before, ``current`` of the reported days.
    ``categories`` are the features that are no numbers.
    """

    title: str
    verdict: str
    finding: str
    summary: str
    lines: Sequence[ReportLine]
    reference: Sample
    current: Sample
    categories: Sequence[str]


def write_drift_report(path: UPath, page: DriftPage) -> None:
    """Write the page: the verdict, its evidence, and the distributions of the features that moved."""
    reference, current = page.reference.rows, page.current.rows
    names = reference.column_names
    kept = [n for n in names if _has_values(reference, n) and _has_values(current, n)]
    head = _head(page, left_out=[n for n in names if n not in kept])
    if not kept:
        bare = f"<!doctype html><html><head><meta charset='utf-8'></head><body>{head}</body></html>"
        write_whole(path, protected(bare).encode())
        return
    drawn = _evidently(reference.select(kept), current.select(kept), [n for n in page.categories if n in kept])
    start = drawn.index(">", drawn.index("<body")) + 1
    write_whole(path, protected(drawn[:start] + head + drawn[start:], needs="own").encode())


def shortened(features: Sequence[str]) -> str:
    """The first features of a day, and how many follow."""
    more = len(features) - _NAMED
    return ", ".join(features[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _has_values(table: pa.Table, name: str) -> bool:
    return bool(table.column(name).null_count < table.num_rows)


def _evidently(reference: pa.Table, current: pa.Table, categories: list[str]) -> str:
    from evidently import DataDefinition, Dataset, Report  # 6 s: only when a report is made
    from evidently.metrics import ValueDrift

    numbers = [name for name in reference.column_names if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    old, new = (
        Dataset.from_pandas(_typed(table, categories).to_pandas(), data_definition=definition)
        for table in (reference, current)
    )
    report = Report([ValueDrift(column=name, method="jensenshannon") for name in reference.column_names])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # correlations of columns that are constant in the sample
        page = str(report.run(new, old).get_html_str(as_iframe=False))
    for judgement in _JUDGEMENTS:
        page = page.replace(judgement, "")
    return page


def _typed(table: pa.Table, categories: Sequence[str]) -> pa.Table:
    return pa.table(
        {
            name: harmless(pc.cast(column, pa.string())) if name in categories else pc.cast(column, pa.float64())
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _escaped(line: ReportLine) -> list[str]:
    return [html.escape(value) for value in astuple(line)]


def _head(page: DriftPage, left_out: Sequence[str]) -> str:
    rows = "".join(
        f"<tr><td>{day}</td><td class='{verdict}'>{verdict}</td><td>{unusual}</td><td>{exceedance}</td>"
        f"<td>{features}</td></tr>"
        for day, verdict, unusual, exceedance, features in map(_escaped, page.lines)
    )
    table = (
        "<table><tr><th>day</th><th>verdict</th><th>unusual days</th><th>exceedance</th>"
        f"<th>unusual features</th></tr>{rows}</table>"
    )
    empty = f" Left out, because they have no values: {', '.join(left_out)}." if left_out else ""
    drawn = page.reference.rows.num_columns > len(left_out)
    note = _NOTE.format(current=page.current.words, reference=page.reference.words) if drawn else _NOTHING
    return (
        f"{_STYLE}<div class='contrail'><h1>{html.escape(page.title)}</h1>"
        f"<p><span class='{page.verdict}'>{page.verdict}</span>: {html.escape(page.finding)}</p>"
        f"<p>{html.escape(page.summary)}</p>{table if page.lines else ''}"
        f"<p class='note'>{note}{html.escape(empty)}</p></div>"
    )
