"""The board: partitions × stages, each cell with its state, rows, time, run and model.

``status`` decides the states. What a page or a terminal makes of a cell does not belong here.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from contrail.config.closed_days import newest_closed
from contrail.config.pipeline import Pipeline
from contrail.errors import DamagedError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.lake.lineage import Commit
from contrail.lake.provenance import Provenance
from contrail.lake.readers import PartitionState
from contrail.operations.champions import champion_moves
from contrail.operations.scored_versions import scored_versions
from contrail.operations.status import (
    REFUSED,
    PartitionStatus,
    Standings,
    next_commands,
    remedy,
)
from contrail.partitions import Partitions, as_ranges
from contrail.stages import RANGE_STAGES
from contrail.stages.staleness import STALE

YEAR = 366
_LAYERS = {"ingest": "raw_", "validate": "validated_"}
_TABLES = {"features": "features", "score": "predictions", "drift": "drift", "performance": "performance"}


class Cell(Frozen):
    """One stage of one partition, and the commit that made it.

    ``rows`` is None where nothing is published. ``at`` is the time at which the partition last changed. ``model`` is the
    version that made the day, empty where no model made it, and ``run`` is empty where the lake does not know.
    """

    state: str
    why: str = ""
    rows: int | None = None
    at: datetime | None = None
    run: str = ""
    model: str = ""
    seconds: float | None = None


class Day(Frozen):
    """A partition, with a cell for each of ``Board.stages``."""

    day: date
    cells: tuple[Cell, ...]


class Reign(Frozen):
    """A champion, and the first partition that it scores."""

    version: str
    since: date


class Concern(Frozen):
    """Days of a stage that a person should look at, for one reason."""

    stage: str
    state: str
    why: str
    days: tuple[str, ...]
    count: int


class Board(Frozen):
    """A pipeline's partitions × stages.

    ``first`` and ``last`` bound all days that are known; ``days`` are those asked for. ``concerns`` have refusals first,
    and then the newest.
    ``commands`` mend what is stale and go on with the chain. ``lost`` says what is wrong with the older history of tables: what
    only it knows is unknown.
    """

    pipeline: str
    title: str
    first: date
    last: date
    stages: tuple[str, ...]
    days: tuple[Day, ...]
    champions: tuple[Reign, ...]
    concerns: tuple[Concern, ...]
    commands: tuple[str, ...]
    lost: tuple[str, ...] = ()


def table_of(pipeline: Pipeline, stage: str) -> str:
    """The table whose partitions stand for a stage."""
    if stage in _LAYERS:
        return _LAYERS[stage] + pipeline.spec.entities
    return _TABLES[stage]


def board(lake: Lake, pipeline: Pipeline, last: date | None = None, span: int = YEAR) -> Board:
    """Read the board of some days.

    Args:
        lake: The pipeline's lake.
        pipeline: The pipeline.
        last: Last day; by default, and at most, the last known one, or the newest whose cut-off has passed.
        span: How many days, as far as the pipeline has them.
    """
    standings = Standings(lake, pipeline)
    known = standings.days(None, None)
    if pipeline.spec.last_partition is None:  # a day that has not landed is to be seen as such
        known = Partitions(known.start, max(known.end, newest_closed(pipeline.spec, datetime.now(UTC))))
    end = max(min(last or known.end, known.end), known.start)
    start = max(end - timedelta(days=span - 1), known.start)
    statuses = [standings.status(day) for day in Partitions(start, end)]
    made = {stage: _made(lake, standings, table_of(pipeline, stage)) for stage in RANGE_STAGES}
    versions = _versions(lake, made["score"][1], Partitions(start, end))
    days = tuple(
        Day(
            day=status.partition,
            cells=tuple(
                _cell(status, stage, standings.refused.get((stage, status.partition), ""), *made[stage], versions)
                for stage in RANGE_STAGES
            ),
        )
        for status in statuses
    )
    moves = champion_moves(lake)
    todo = [remedy(pipeline.name, statuses), *next_commands(pipeline.name, statuses, moves)]
    return Board(
        pipeline=pipeline.name,
        title=pipeline.spec.title,
        first=known.start,
        last=known.end,
        stages=RANGE_STAGES,
        days=days,
        champions=tuple(Reign(version=move.version_after, since=move.effective_from) for move in moves),
        concerns=tuple(sorted(_concerns(days), key=lambda one: (one.state == REFUSED, one.days[-1]), reverse=True)),
        commands=tuple(filter(None, todo)),
        lost=tuple(dict.fromkeys(standings.lost)),
    )


def _made(lake: Lake, standings: Standings, table: str) -> tuple[dict[date, PartitionState], dict[date, Commit]]:
    """The published partitions of a table, and the commit that made each."""
    lineage = standings.staleness.lineage(table)
    states = standings.staleness.partitions(table)
    makers: dict[date, Commit] = {}
    for commit in lineage.commits:  # the newest first
        for day in _days(commit, states):
            makers.setdefault(day, commit)
    return states, makers


def _versions(lake: Lake, makers: dict[date, Commit], shown: Partitions) -> dict[date, str]:
    """The model version of each day whose commit has days of several; rows are read for no others."""
    mixed = [day for day in shown if day in makers and "," in _version(makers[day].provenance)]
    found: dict[date, str] = {}
    with suppress(DamagedError, OSError):  # the board is drawn from metadata, and needs no row to be there
        for part in as_ranges(mixed):
            found |= scored_versions(lake, part)
    return found


def _version(made: Provenance) -> str:
    return made.extra.get("model_version", "")


def _days(commit: Commit, states: dict[date, PartitionState]) -> Iterator[date]:
    if commit.partitions is None:
        yield from states
    else:
        for part in commit.partitions:
            yield from part


def _cell(
    status: PartitionStatus,
    stage: str,
    refused: str,
    states: dict[date, PartitionState],
    makers: dict[date, Commit],
    versions: dict[date, str],
) -> Cell:
    published, maker = states.get(status.partition), makers.get(status.partition)
    made = maker.provenance if maker else None
    return Cell(
        state=status.stages[stage],
        why=refused if status.stages[stage] == REFUSED else status.why.get(stage, ""),
        rows=published.rows if published else None,
        at=_changed_at(published) if published else None,
        run=made.run_id if made else "",
        model=_model(stage, status.partition, made, versions) if made else "",
        seconds=float(made.extra["seconds"]) if made and "seconds" in made.extra else None,
    )


def _model(stage: str, day: date, made: Provenance, versions: dict[date, str]) -> str:
    return (versions.get(day) if stage == "score" else None) or _version(made)


def _changed_at(published: PartitionState) -> datetime | None:
    """When a partition last changed; None where that is older than the kept history, or the history is lost."""
    with suppress(DamagedError):
        return published.updated_at
    return None


def _concerns(days: Sequence[Day]) -> Iterator[Concern]:
    found: dict[tuple[str, str, str], list[date]] = {}
    for one in days:
        for stage, cell in zip(RANGE_STAGES, one.cells, strict=True):
            if cell.state in (STALE, REFUSED):
                found.setdefault((stage, cell.state, cell.why), []).append(one.day)
    for (stage, state, why), where in found.items():
        yield Concern(stage=stage, state=state, why=why, days=tuple(map(str, as_ranges(where))), count=len(where))
