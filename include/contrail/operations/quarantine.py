"""What was kept aside, over many days: rows that broke a rule, by rule, and files that were refused whole.

The card of a cell has those of one day. Personal values have pseudonyms or a mask, as in every query.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date

from contrail.config.names import literal, quoted
from contrail.config.pipeline import Pipeline
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake import mended
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from contrail.operations.card import QuarantinedRow, RefusedFile

QUARANTINED = "quarantined"
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


def quarantined_sql(spec: PipelineSpec, table: str, personal: bool) -> str:
    """SQL for the rows of a table in quarantine, each landed column as text, with file, line, rule and detail.

    Without ``personal`` it leaves personal columns out: of a pseudonym nobody can make a value.

    Raises:
        SpecError: for a table that no file lands for.
    """
    if table not in spec.tables:
        raise SpecError(f"{spec.name} has no landed table '{table}'; {hint(table, list(spec.tables), 'tables')}")
    source = spec.tables[table]
    shown = [name for name in source.columns if personal or name not in source.personal]
    own = ", ".join(f"{mended.value_in('q.row', source, name, 'NULL')} AS {quoted(name)}" for name in shown)
    # Last, so that a word which the detail quotes is first found in its column.
    why = "".join(f", q.{name} AS _{name}" for name in ("rule", "detail") if f"_{name}" not in source.columns)
    place = "q.file AS _file, q.line AS _line, q.partition_date"
    return f"SELECT {place}, {own}{why} FROM quarantine q WHERE q.table_name = {literal(table)}"


def rows_to_mend(
    lake: Lake,
    pipeline: Pipeline,
    table: str,
    rule: str | None = None,
    first: date | None = None,
    last: date | None = None,
    personal: bool = False,
) -> Iterator[str]:
    """Yield the rows of a table in quarantine as lines of CSV, for a person who mends them and replays the file.

    Personal columns are left out, unless they are asked for. What a file leaves out stays as it landed.

    Raises:
        SpecError: for a table that no file lands for.
    """
    wanted = f"{_within(first, last)} AND {f'_rule = {literal(rule)}' if rule else 'true'}"
    sql = f"SELECT * FROM {QUARANTINED} WHERE {wanted} ORDER BY partition_date, _file, _line"
    views = {QUARANTINED: quarantined_sql(pipeline.spec, table, personal)}
    with ask(lake, pipeline.spec, sql, personal=personal, also=views) as answer:
        yield _line(answer.columns)
        for row in answer.rows():
            yield _line(row)


def _line(values: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _within(first: date | None, last: date | None) -> str:
    bounds = [f"partition_date {sign} {literal(str(day))}" for sign, day in ((">=", first), ("<=", last)) if day]
    return " AND ".join(bounds) or "true"
