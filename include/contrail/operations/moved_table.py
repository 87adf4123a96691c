"""Move a table away that cannot become what the spec asks for, and say how it is made anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from contrail.config.pipeline import Pipeline
from contrail.lake import moving
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


@dataclass(frozen=True)
class MovedTable:
    """A table that was moved away, and the commands that make it anew."""

    name: str
    moved_to: str
    commands: tuple[str, ...]


def move_table(pipeline: Pipeline, lake: Lake, name: str) -> MovedTable:
    """Move a table away with all of its rows and snapshots. The same call again says what was done.

    Raises:
        MissingInputError: when there is no such table and none was moved away.
    """
    existing = lake.table_names()
    moved = [] if name in existing else moving.moved_tables(existing, name)
    to = moved[-1] if moved else moving.move_away(lake, name, datetime.now(UTC).date())
    return MovedTable(name, to, tuple(_commands(pipeline, name, _days(pipeline, lake, to))))


def _days(pipeline: Pipeline, lake: Lake, table: str) -> str:
    # A reference table has no days; what was made of it has.
    held = lake.ends(table if lake.table(table).spec().fields else "features")
    first = pipeline.spec.first_partition
    held = held or Partitions(first, first)
    return f"-p {pipeline.name} --from {held.start} --to {held.end}"


def _commands(pipeline: Pipeline, name: str, days: str) -> Iterator[str]:
    stem, _, table = name.partition("_")
    if stem in ("raw", "validated") and table in pipeline.spec.tables:
        if stem == "raw":
            yield f"contrail ingest {days}"
        yield f"contrail validate {days}"
        yield f"contrail backfill {days} --stages features"
    elif name == "features":
        yield f"contrail backfill {days} --stages features"
    elif stem == "predictions":
        yield f"contrail backfill {days} --stages score"
    elif name in ("drift", "performance"):
        yield f"contrail {name} {days}"
    elif name in ("quarantine", "refusals"):
        yield f"contrail validate {days}"
