"""Everything that a person needs about one cell of the board: why it is so, the broken rules, sample rows, what to do.

The board has the whole picture. How a card looks belongs to the page.
"""

from collections.abc import Iterator
from datetime import date, datetime

from contrail.config.names import literal
from contrail.config.pipeline import Pipeline
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from contrail.operations.board import Cell, board, table_of
from contrail.operations.status import REFUSED, WAITING
from contrail.stages import RANGE_STAGES
from contrail.stages.refusals import counted
from contrail.stages.staleness import MISSING, OK, STALE

_SAMPLES = 5  # quarantined rows that a card shows of each rule
_BACKFILL = ("features", "score", "drift", "performance")


class RefusedFile(Frozen):
    """A file or partition that was refused whole, and the rule that it broke."""

    table: str
    rule: str
    detail: str
    file: str | None
    kept: str | None
    at: datetime


class QuarantinedRow(Frozen):
    """A row as it landed, as JSON. Personal values in it have pseudonyms."""

    detail: str
    file: str
    line: int
    row: str


class BrokenRule(Frozen):
    """A rule of a contract: how many rows broke it, and the first of them."""

    table: str
    rule: str
    rows: int
    samples: tuple[QuarantinedRow, ...]


class Card(Frozen):
    """One stage of one partition. ``sentence`` says why it is in its state; ``commands`` are what to do next."""

    pipeline: str
    day: date
    stage: str
    cell: Cell
    table: str
    code: str
    sentence: str
    refusals: tuple[RefusedFile, ...]
    broken: tuple[BrokenRule, ...]
    commands: tuple[str, ...]


def card(lake: Lake, pipeline: Pipeline, day: date, stage: str) -> Card:
    """Read the card of a cell.

    Raises:
        SpecError: for a stage that has no cell, or a day that the board does not have.
    """
    if stage not in RANGE_STAGES:
        raise SpecError(f"no stage '{stage}' on the board. Stages: {', '.join(RANGE_STAGES)}")
    found = board(lake, pipeline, day, 1)
    if [one.day for one in found.days] != [day]:
        raise SpecError(f"{pipeline.name} has no partition {day}. It has {found.first} to {found.last}.")
    cell = found.days[0].cells[RANGE_STAGES.index(stage)]
    # The board says what is wrong with a table's older history.
    maker = lake.lineage(table_of(pipeline, stage), lost=lambda _: None).maker(day)
    return Card(
        pipeline=pipeline.name,
        day=day,
        stage=stage,
        cell=cell,
        table=table_of(pipeline, stage),
        code=maker.provenance.code_revision if maker else "",
        sentence=_sentence(pipeline, stage, cell),
        refusals=tuple(_refusals(lake, pipeline, day, stage)),
        broken=tuple(_broken(lake, pipeline, day)) if stage == "validate" else (),
        commands=_commands(pipeline.name, stage, cell, day),
    )


def _sentence(pipeline: Pipeline, stage: str, cell: Cell) -> str:
    rows = f"{cell.rows:,} rows are published" if cell.rows else "nothing is published"
    if cell.state == OK:
        return f"{stage} of this day is up to date: {rows}." if cell.rows else f"{stage} of this day had no rows."
    if cell.state == STALE:
        return f"It would come out differently now: {cell.why}."
    if cell.state == REFUSED:
        return f"It was refused, because of {cell.why}. What was published before is kept: {rows}."
    if cell.state == WAITING and stage == "performance":
        days = counted(pipeline.spec.label.mature_after_days, "day")
        return f"It waits for outcomes, which are known {days} after the day."
    if cell.state == WAITING:
        return f"The {pipeline.spec.label.table} of this day arrive after it, and are not here yet."
    if cell.state == MISSING:
        return f"Nobody has asked for {stage} of this day yet."
    return "The run that made it is older than the kept history."


def _refusals(lake: Lake, pipeline: Pipeline, day: date, stage: str) -> Iterator[RefusedFile]:
    sql = (
        "SELECT table_name, rule, detail, file, kept_uri, refused_at FROM refusals "
        f"WHERE partition_date = {literal(str(day))} AND stage = {literal(stage)} ORDER BY ALL"
    )
    with ask(lake, pipeline.spec, sql) as answer:
        for table, rule, detail, file, kept, at in answer.rows():
            yield RefusedFile(table=table, rule=rule, detail=detail, file=file, kept=kept, at=at)


def _broken(lake: Lake, pipeline: Pipeline, day: date) -> Iterator[BrokenRule]:
    sql = (
        "SELECT table_name, rule, detail, file, line, row, count(*) OVER of_rule AS rows FROM quarantine "
        f"WHERE partition_date = {literal(str(day))} "
        "WINDOW of_rule AS (PARTITION BY table_name, rule) "
        f"QUALIFY row_number() OVER (PARTITION BY table_name, rule ORDER BY file, line) <= {_SAMPLES} ORDER BY ALL"
    )
    groups: dict[tuple[str, str, int], list[QuarantinedRow]] = {}
    with ask(lake, pipeline.spec, sql) as answer:
        for table, rule, detail, file, line, row, rows in answer.rows():
            sample = QuarantinedRow(detail=detail, file=file, line=line, row=row)
            groups.setdefault((table, rule, rows), []).append(sample)
    for (table, rule, rows), samples in groups.items():
        yield BrokenRule(table=table, rule=rule, rows=rows, samples=tuple(samples))


def _commands(name: str, stage: str, cell: Cell, day: date) -> tuple[str, ...]:
    days = f"-p {name} --from {day} --to {day}"
    if cell.state == REFUSED:
        return (f"contrail ingest {days}", f"contrail validate {days}")
    if cell.state == STALE and stage in _BACKFILL:
        return (f"contrail backfill {days} --stages {stage}{' --model as-of' if stage in ('score', 'drift') else ''}",)
    if cell.state in (STALE, MISSING):
        return (f"contrail {stage} {days}",)
    return ()
