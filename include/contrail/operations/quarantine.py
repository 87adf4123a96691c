"""What was kept aside, over many days: rows that broke a rule, by rule, and files that were refused whole.

The card of a cell has those of one day. Personal values have pseudonyms or a mask, as in every query.
"""

from datetime import date

from contrail.config.names import literal
from contrail.config.pipeline import Pipeline
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from contrail.operations.card import QuarantinedRow, RefusedFile

ROWS = 50  # of a rule that are read at a time


class RuleBroken(Frozen):
    """A rule of a table, with its rows in quarantine and the days that they are of."""

    table: str
    rule: str
    rows: int
    days: int
    first: date
    last: date


class KeptRow(QuarantinedRow):
    """A row in quarantine with its day."""

    day: date


class KeptRows(Frozen):
    """Some rows of a rule, the newest day first. ``more`` says that others follow."""

    rows: tuple[KeptRow, ...]
    more: bool


class Refusal(RefusedFile):
    """A refused file or partition with its day, and the stage that refused it."""

    day: date
    stage: str


def broken_rules(
    lake: Lake, pipeline: Pipeline, first: date | None = None, last: date | None = None
) -> list[RuleBroken]:
    """List the rules with rows in quarantine, those with the most rows first."""
    sql = (
        "SELECT table_name, rule, count(*), count(DISTINCT partition_date), min(partition_date), max(partition_date) "
        f"FROM quarantine WHERE {_within(first, last)} GROUP BY ALL ORDER BY 3 DESC, 1, 2"
    )
    names = ("table", "rule", "rows", "days", "first", "last")
    with ask(lake, pipeline.spec, sql) as answer:
        return [RuleBroken(**dict(zip(names, row, strict=True))) for row in answer.rows()]


def kept_rows(
    lake: Lake,
    pipeline: Pipeline,
    table: str,
    rule: str,
    first: date | None = None,
    last: date | None = None,
    offset: int = 0,
) -> KeptRows:
    """Read ``ROWS`` rows that broke a rule, from the ``offset``-th on."""
    sql = (
        "SELECT partition_date, detail, file, line, row FROM quarantine "
        f"WHERE table_name = {literal(table)} AND rule = {literal(rule)} AND {_within(first, last)} "
        f"ORDER BY partition_date DESC, file, line LIMIT {ROWS + 1} OFFSET {int(offset)}"
    )
    with ask(lake, pipeline.spec, sql) as answer:
        found = answer.first(ROWS + 1)
    rows = tuple(
        KeptRow(day=day, detail=detail, file=file, line=line, row=row) for day, detail, file, line, row in found[:ROWS]
    )
    return KeptRows(rows=rows, more=len(found) > ROWS)


def refusals(lake: Lake, pipeline: Pipeline, first: date | None = None, last: date | None = None) -> list[Refusal]:
    """List what is refused whole, the newest day first. A corrected file leaves the list."""
    sql = (
        "SELECT partition_date, stage, table_name, rule, detail, file, kept_uri, refused_at FROM refusals "
        f"WHERE {_within(first, last)} ORDER BY partition_date DESC, stage, table_name, rule, file"
    )
    names = ("day", "stage", "table", "rule", "detail", "file", "kept", "at")
    with ask(lake, pipeline.spec, sql) as answer:
        return [Refusal(**dict(zip(names, row, strict=True))) for row in answer.rows()]


def _within(first: date | None, last: date | None) -> str:
    bounds = [f"partition_date {sign} {literal(str(day))}" for sign, day in ((">=", first), ("<=", last)) if day]
    return " AND ".join(bounds) or "true"
