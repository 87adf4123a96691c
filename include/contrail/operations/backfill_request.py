"""The request for a backfill, and the jobs that cover its days.

The planner finds what the partitions hold already.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import get_args

from contrail.adapters.registry import CHAMPION
from contrail.errors import SpecError
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES, WITH_MODEL, Commits

# The stages that make a table, a partition at a time.
TABLES = {"features": "features", "score": "predictions"}


@dataclass(frozen=True)
class Request:
    """The request for a backfill.

    ``commits`` says how many jobs and commits the range becomes. ``whole`` makes it one job, with one commit a table.
    ``chunk`` makes jobs of ``chunk_days`` partitions, with one commit each. ``partition`` makes the same jobs, with one
    commit a partition.

    Raises:
        SpecError: for a stage that does not work on a range, for an unknown way to commit, for a model that no stage
            takes, or for ``chunk_days`` with ``whole``.
    """

    partitions: Partitions
    stages: tuple[str, ...] = ("features", "score")
    model: str = CHAMPION
    commits: Commits = "whole"
    chunk_days: int | None = None

    def __post_init__(self) -> None:
        if unknown := [stage for stage in self.stages if stage not in RANGE_STAGES]:
            raise SpecError(f"stages {', '.join(unknown)}: no such stages of a range; use {', '.join(RANGE_STAGES)}")
        if not self.stages:
            raise SpecError(f"no stage is chosen: name one or more of {', '.join(RANGE_STAGES)}")
        if self.model != CHAMPION and WITH_MODEL.isdisjoint(self.stages):
            raise SpecError(
                f"model {self.model}: {', '.join(self.stages)} takes no model; one is for "
                f"{' and '.join(sorted(WITH_MODEL))}"
            )
        if self.commits not in get_args(Commits):
            raise SpecError(f"--commits {self.commits}: use one of {', '.join(get_args(Commits))}")
        if self.chunk_days is not None and self.commits == "whole":
            raise SpecError("--chunk-days needs --commits chunk or partition: whole is one job and one commit")
        if self.chunk_days is not None and self.chunk_days < 1:
            raise SpecError(f"--chunk-days {self.chunk_days}: a chunk has at least one partition")

    def of(self, stage: str, model: str) -> "Request":
        """The request for one of its stages; ``model`` is the pinned one."""
        return replace(self, stages=(stage,), model=(model or self.model) if stage in WITH_MODEL else CHAMPION)

    def jobs(self, days: Iterable[date], chunk_days: int) -> list[Partitions]:
        """The fewest jobs that cover these days; ``chunk_days`` is the environment's, for a request without its own."""
        wanted = sorted(days)
        if not wanted:
            return []
        if self.commits == "whole":
            return [Partitions(wanted[0], wanted[-1])]
        size = self.chunk_days or chunk_days
        # Chunks are counted from the range's start, so that a second run has the same ones.
        chunks: dict[int, list[date]] = {}
        for day in wanted:
            chunks.setdefault((day - self.partitions.start).days // size, []).append(day)
        return [Partitions(chunk[0], chunk[-1]) for chunk in chunks.values()]
