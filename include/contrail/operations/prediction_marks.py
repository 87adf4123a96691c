"""What happened on the axis of the partitions: promotions, trainings, refusals, late data and corrections."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.operations.before_labels import falls_of
from contrail.operations.causes import Cause
from contrail.operations.champions import champion_moves
from contrail.partitions import Partitions

_TRAININGS = {"retrain": "trained again", "refused": "training refused"}


class Mark(Frozen):
    """Something that happened, and the partition from which it counts.

    ``kind`` is promotion, training, refusal, late, mended, correction or fall. ``rows`` are those that a correction changed.
    """

    day: date
    kind: str
    text: str
    at: datetime | None
    rows: int | None = None


def marks_of(lake: Lake, window: Partitions) -> tuple[Mark, ...]:
    """Everything that happened within a window."""
    found = [
        *_promotions(lake), *_refusals(lake, window), *_trainings(lake, window), *_late(lake, window), *_falls(lake, window),
    ]  # fmt: skip
    return tuple(mark for mark in found if mark.day in window)


def _promotions(lake: Lake) -> Iterator[Mark]:
    for move in champion_moves(lake):
        text = f"version {move.version_after} became champion"
        yield Mark(day=move.effective_from, kind="promotion", text=text, at=move.moved_at)


def _refusals(lake: Lake, window: Partitions) -> Iterator[Mark]:
    for day, table, rule, at in _rows(lake, "refusals", "table_name, rule, refused_at", window):
        yield Mark(day=day, kind="refusal", text=f"refused: {table}, {rule}", at=at)


def _trainings(lake: Lake, window: Partitions) -> Iterator[Mark]:
    for day, decision, at in _rows(lake, "governor", "decision, decided_at", window):
        if decision in _TRAININGS:
            yield Mark(day=day, kind="training", text=_TRAININGS[decision], at=at)


def _late(lake: Lake, window: Partitions) -> Iterator[Mark]:
    """The days that late files or mended rows made different, and the days of those, which lie before them."""
    ends = lake.ends("corrections")
    if not ends or ends.end < window.start:
        return
    since = Partitions(window.start, max(window.end, ends.end))
    came: dict[tuple[str, str, str], datetime] = {}
    changed: dict[tuple[date, str], Mark] = {}
    columns = "published, cause, rows_changed, corrected_at, run_id"
    # Predictions come last, so that a day of which features changed too says what analysts read.
    for day, published, cause, rows, at, run in _rows(lake, "corrections", columns, since):
        found = Cause.read(cause)
        for table, days in found.days:
            came.setdefault(("mended" if found.mended else "late", table, days), at)
        text = f"{published} corrected, because {found.sentence}"
        changed[day, run] = Mark(day=day, kind="correction", text=text, at=at, rows=rows)
    for (kind, table, days), at in came.items():
        yield from (Mark(day=day, kind=kind, text=f"{kind}: {table}", at=at) for day in Partitions.from_text(days))
    yield from changed.values()


def _falls(lake: Lake, window: Partitions) -> Iterator[Mark]:
    for fall in falls_of(lake, window):
        text = f"quality fell in {fall.feature} {fall.value}, seen on {fall.seen}"
        yield Mark(day=fall.since, kind="fall", text=text, at=None)


def _rows(lake: Lake, table: str, columns: str, window: Partitions) -> list[tuple[Any, ...]]:
    """Rows of a table of records within a window, the partition first."""
    if not lake.exists(table):
        return []
    with lake.connect([table], {table: window}) as connection:
        return connection.sql(f"SELECT {PARTITION}, {columns} FROM {table} ORDER BY ALL").fetchall()
