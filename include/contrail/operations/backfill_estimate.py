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
    """The estimated seconds of jobs, and the earlier runs behind them; ``seconds`` is None without an earlier run."""

    seconds: float | None
    basis: str


def estimate(lineage: Lineage, stage: str, job_rows: Sequence[int | None]) -> Estimate:
    """Estimate the seconds of jobs from their rows, each by the earlier run of the stage that is nearest in rows.

    A larger job takes more in proportion. A smaller job counts as long as that run.
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
    """What each stage costs on its target.

    The stages of ``TABLES`` run each of their jobs remotely as one job. Every other stage is one remote job.
    """
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
