"""Evidently's drift report as one HTML file, with Contrail's decision above it.

Evidently only draws here. Its tests have fixed limits, and nearly every day exceeds them. So the page first says what
the calibrated statistics found.
"""

import html
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from contrail.reports.page import harmless, protected

_ROWS = 5_000
_STYLE = """
<style>
.contrail { font: 15px/1.5 system-ui, sans-serif; max-width: 1160px; margin: 24px auto; padding: 0 24px; color: #222; }
.contrail h1 { font-size: 24px; margin: 0 0 4px; }
.contrail table { border-collapse: collapse; margin: 12px 0; }
.contrail th, .contrail td { text-align: left; padding: 3px 18px 3px 0; border-bottom: 1px solid #ddd; }
.contrail .drift { color: #b00020; font-weight: 600; }
.contrail .watch { color: #8a5a00; font-weight: 600; }
.contrail .ok { color: #1b6e2c; font-weight: 600; }
.contrail .note { color: #666; }
</style>
"""
_NOTE = (
    "Below is Evidently's comparison of the two samples. Its heading counts columns past one fixed limit. Most single "
    "days exceed that limit, so the count decides nothing. The verdict above decides. Its threshold for each feature "
    "comes from the days of the training window."
)


@dataclass(frozen=True)
class ReportLine:
    """A day in the table above Evidently's charts."""

    day: str
    verdict: str
    unusual_days: str
    exceedance: str
    features: str


def write_drift_report(
    path: UPath,
    title: str,
    summary: str,
    lines: Sequence[ReportLine],
    reference: pa.Table,
    current: pa.Table,
    categories: Sequence[str],
) -> None:
    """Write the page.

    Args:
        path: File to write.
        title: Heading.
        summary: One sentence under it, which says what was compared with what.
        lines: Days to list.
        reference: Sampled feature rows of the training window, feature columns only.
        current: Sampled feature rows of the reported days, the same columns.
        categories: Which columns are categories; the others are numbers.
    """
    kept = [n for n in reference.column_names if _has_values(reference, n) and _has_values(current, n)]
    left_out = [n for n in reference.column_names if n not in kept]
    head = _head(title, summary, lines, left_out)
    page = _evidently(reference.select(kept), current.select(kept), [n for n in categories if n in kept])
    start = page.index(">", page.index("<body")) + 1
    path.write_text(protected(page[:start] + head + page[start:], needs="own"), encoding="utf-8")


def sample(rows: pa.Table) -> pa.Table:
    """At most ``_ROWS`` rows, spread evenly over the days, the same for the same rows."""
    if rows.num_rows <= _ROWS:
        return rows
    return rows.take(np.linspace(0, rows.num_rows - 1, _ROWS).astype(np.int64))


def _has_values(table: pa.Table, name: str) -> bool:
    return bool(table.column(name).null_count < table.num_rows)


def _evidently(reference: pa.Table, current: pa.Table, categories: list[str]) -> str:
    from evidently import DataDefinition, Dataset, Report  # 6 s: only when a report is made
    from evidently.presets import DataDriftPreset

    numbers = [name for name in reference.column_names if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    old, new = (
        Dataset.from_pandas(_typed(table, categories).to_pandas(), data_definition=definition)
        for table in (reference, current)
    )
    report = Report([DataDriftPreset(method="jensenshannon")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # correlations of columns that are constant in the sample
        return str(report.run(new, old).get_html_str(as_iframe=False))


def _typed(table: pa.Table, categories: Sequence[str]) -> pa.Table:
    return pa.table(
        {
            name: harmless(pc.cast(column, pa.string())) if name in categories else pc.cast(column, pa.float64())
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _escaped(line: ReportLine) -> list[str]:
    return [html.escape(value) for value in astuple(line)]


def _head(title: str, summary: str, lines: Sequence[ReportLine], left_out: Sequence[str]) -> str:
    rows = "".join(
        f"<tr><td>{day}</td><td class='{verdict}'>{verdict}</td><td>{unusual}</td><td>{exceedance}</td>"
        f"<td>{features}</td></tr>"
        for day, verdict, unusual, exceedance, features in map(_escaped, lines)
    )
    table = (
        "<table><tr><th>day</th><th>verdict</th><th>unusual days</th><th>exceedance</th>"
        f"<th>features past their threshold</th></tr>{rows}</table>"
    )
    empty = f" Left out, because they have no values: {', '.join(left_out)}." if left_out else ""
    return (
        f"{_STYLE}<div class='contrail'><h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>"
        f"{table if lines else ''}<p class='note'>{_NOTE}{html.escape(empty)}</p></div>"
    )
