"""The work of a run on late files, kept beside the reports until its last commit."""

import json
from collections.abc import Mapping
from datetime import date

from pydantic import Field
from upath import UPath

from contrail.config.validation_errors import parse_json
from contrail.files import write_whole
from contrail.frozen import Frozen
from contrail.operations.backfill import Backfills
from contrail.operations.causes import Cause
from contrail.operations.late_files import reached_features
from contrail.partitions import Partitions, as_ranges


class Work(Frozen):
    """What came late in one run, or was mended by a replay, and the published days that it reaches.

    ``touched`` has the days of each table, and ``following`` those whose rows refer to them. ``features`` and ``scores``
    are the ranges to build again. All are fixed before the first day is validated. ``mended`` names the replay whose mends
    it brings; empty for late files.
    """

    id: str
    touched: dict[str, list[str]]
    following: dict[str, list[str]] = Field(default={})
    features: str | None
    scores: str | None
    validated: bool = False
    mended: str = ""

    @property
    def days(self) -> list[Partitions]:
        """The touched days of all tables and those that follow, as ranges."""
        found = [*self.touched.values(), *self.following.values()]
        return as_ranges(date.fromisoformat(day) for days in found for day in days)

    @property
    def files(self) -> tuple[str, ...]:
        """Tables and their days."""
        return tuple(
            f"{table} {part}"
            for table, days in self.touched.items()
            for part in as_ranges(map(date.fromisoformat, days))
        )

    @property
    def cause(self) -> str:
        """Why days become different, for the record of corrections."""
        return Cause(files=", ".join(self.files), mended=self.mended).words


def plan_work(
    backfills: Backfills,
    touched: Mapping[str, list[date]],
    following: Mapping[str, list[date]],
    on: date,
    run_id: str,
    mended: str = "",
) -> Work:
    """Plan the work on these days of each table, and on the features and scores up to day ``on`` that they reach."""
    both = {table: [*touched.get(table, ()), *following.get(table, ())] for table in {**touched, **following}}
    reached = reached_features(backfills, both, on)
    rescore = backfills.pipeline.spec.score.late_data == "rescore"
    days = list(backfills.lake.partitions("predictions", reached)) if rescore and reached else []
    return Work(
        id=run_id,
        touched={table: [str(day) for day in own] for table, own in touched.items()},
        following={table: [str(day) for day in own] for table, own in following.items()},
        features=str(reached) if reached else None,
        scores=str(Partitions(days[0], days[-1])) if days else None,
        mended=mended,
    )


def write_work(backfills: Backfills, work: Work) -> None:
    """Keep the work until ``forget_work``."""
    write_whole(_path(backfills, work.id), json.dumps(work.as_dict(), indent=1).encode())


def forget_work(backfills: Backfills, work: Work) -> None:
    """Remove work that is done."""
    _path(backfills, work.id).unlink(missing_ok=True)


def unfinished_work(backfills: Backfills) -> list[Work]:
    """The work that earlier runs left, oldest first."""
    paths = _path(backfills, "any").parent.glob("*.json")
    return [parse_json(Work, path.read_bytes(), str(path)) for path in sorted(paths, key=str)]


def _path(backfills: Backfills, work_id: str) -> UPath:
    return backfills.settings.reports / backfills.pipeline.name / "late" / f"{work_id}.json"
