"""How long the jobs of a backfill will take, and what they will cost, from the runs before them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contrail.config.settings import Settings
from contrail.config.targets import LocalTarget, SparkTarget
from contrail.dispatch import budget
from contrail.dispatch.receipts import Receipts, utc_now
from contrail.lake.lineage import Lineage
from contrail.methods.cost import so_many
from contrail.operations.backfill_request import TABLES
from contrail.partitions import Partitions

HERE = "0 on this machine"


@dataclass(frozen=True)
class Estimate:
    """Seconds of the jobs, and the earlier run that they are reckoned from; no seconds without one."""

    seconds: float | None
    basis: str


def estimate(lineage: Lineage, stage: str, job_rows: Sequence[int | None]) -> Estimate:
    """Seconds of jobs of these rows, each reckoned from the earlier run of the stage that is nearest in rows.

    A job that is larger takes more in proportion; one that is smaller, at most as long.
    """
    runs = {
        commit.provenance.run_id: (commit.job_rows, float(commit.provenance.extra["seconds"]))
        for commit in reversed(lineage.commits)
        if commit.provenance.stage == stage and commit.job_rows is not None and "seconds" in commit.provenance.extra
    }
    runs = {run: known for run, known in runs.items() if known[0] > 0}
    if not job_rows:
        return Estimate(0.0, "nothing to do")
    if not runs:
        return Estimate(None, "no history yet")
    used: dict[str, None] = {}
    total = 0.0
    for rows in job_rows:
        if rows is None:
            return Estimate(None, "its rows are not known before its inputs are made")
        nearest = min(reversed(runs), key=lambda run: abs(math.log(max(rows, 1) / runs[run][0])))
        known, seconds = runs[nearest]
        total += seconds * max(1.0, rows / known)
        used[f"run {nearest}: {known:,} rows in {seconds:.1f} s"] = None
    return Estimate(round(total, 1), "; ".join(used))


def cost(settings: Settings, pipeline: str, jobs_of: Mapping[str, Sequence[Partitions]]) -> str:
    """What each stage costs on its target, where each job of a table's stage is a job, and other stages are one."""
    receipts, found = Receipts.of(settings, pipeline), []
    for stage, jobs in jobs_of.items():
        name, lengths = settings.dispatch.target_name(pipeline, stage), [len(job) for job in jobs]
        if not jobs or isinstance(settings.dispatch.target_of(pipeline, stage), LocalTarget | SparkTarget):
            continue
        if receipts is None:
            found.append(f"{stage} on {name}: the environment has no price table")
            continue
        for days, number in Counter(lengths if stage in TABLES else [sum(lengths)]).items():
            each = f"{number} jobs of {so_many(days, 'day')}, each " if number > 1 else ""
            found.append(f"{stage} on {name}: {each}{budget.expected(receipts, stage, days, utc_now())}")
    return "; ".join(found) or HERE
