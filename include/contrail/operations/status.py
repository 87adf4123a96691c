"""Which partition has passed which stage, read from the lake itself. There is no other ledger.

``contrail.stages.staleness`` decides what is stale, for this board as for everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from contrail.config.pipeline import Pipeline
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES, WITH_MODEL
from contrail.stages.staleness import MISSING, OK, STALE, UNKNOWN, Staleness, Standing

REFUSED, WAITING = "refused", "waiting"


@dataclass(frozen=True)
class PartitionStatus:
    """The state of each stage for one partition: ok, stale, missing, refused, waiting or unknown.

    ``waiting`` is for what is not known yet, ``unknown`` for what is older than the kept history. ``why`` has the reason of
    each stale stage.
    """

    partition: date
    stages: dict[str, str]
    why: dict[str, str] = field(default_factory=dict)


class Standings:
    """The partitions of every table, read once. ``refused`` has the table and the rule by stage and day.

    ``lost`` has what is wrong with archives of tables. What only they know is unknown.
    """

    def __init__(self, lake: Lake, pipeline: Pipeline) -> None:
        self.lost: list[str] = []
        self.spec = pipeline.spec
        self.staleness = Staleness(pipeline, lake, lambda error: self.lost.append(str(error)))
        columns = ["partition_date", "stage", "table_name", "rule"]
        refused = lake.scan("refusals", columns=columns).to_pylist() if lake.exists("refusals") else []
        self.refused = {(row["stage"], row["partition_date"]): f"{row['table_name']}: {row['rule']}" for row in refused}
        label = self.staleness.partitions(f"validated_{self.spec.label.table}")
        self.last_label = max(label, default=None)

    def there(self, layer: str, table: str, day: date) -> bool:
        """Whether a day of a table passed a stage. A day that may be empty has passed it without rows."""
        name = f"{layer}_{table}"
        published = self.staleness.partitions(name)
        if day in published or self.staleness.lineage(name).maker(day):
            return True
        if not self.spec.tables[table].may_be_empty:
            return False
        later = bool(published) and min(published) < day < max(published)
        return later or (layer == "raw" and self.there("validated", table, day))

    def _landed(self, stage: str, layer: str, day: date) -> Standing:
        if (stage, day) in self.refused:
            return Standing(REFUSED)
        if not self.there(layer, self.spec.entities, day):
            return Standing(MISSING)
        if not self.there(layer, self.spec.label.table, day):
            # What became known during a day arrives after it. So on the newest day, its absence is no fault.
            last = max(self.staleness.partitions(f"{layer}_{self.spec.label.table}"), default=date.min)
            return Standing(WAITING if day > last else MISSING)
        return Standing(OK)

    def _validated(self, day: date) -> Standing:
        landed = self._landed("validate", "validated", day)
        if landed.state != OK:
            return landed
        found = [self.staleness.standing("validate", day, table) for table in self.spec.tables]
        return next((one for state in (STALE, UNKNOWN) for one in found if one.state == state), landed)

    def _performance(self, day: date) -> Standing:
        mature = day + timedelta(days=self.spec.label.mature_after_days)
        if self.last_label is None or mature > self.last_label:
            return Standing(WAITING)
        return self.staleness.standing("performance", day)

    def status(self, day: date) -> PartitionStatus:
        """The state of every stage of a day."""
        found = {
            "ingest": self._landed("ingest", "raw", day),
            "validate": self._validated(day),
            **{stage: self.staleness.standing(stage, day) for stage in ("features", "score", "drift")},
            "performance": self._performance(day),
        }
        why = {stage: one.why for stage, one in found.items() if one.state == STALE}
        return PartitionStatus(day, {stage: one.state for stage, one in found.items()}, why)

    def days(self, first: date | None, last: date | None) -> Partitions:
        """The days asked for; without an end, to the last known one."""
        start = first or self.spec.first_partition
        known = self.spec.last_partition or max(self.staleness.partitions(f"raw_{self.spec.entities}"), default=start)
        return Partitions(start, last or max(start, known))


def partition_status(
    lake: Lake,
    pipeline: Pipeline,
    first: date | None = None,
    last: date | None = None,
    lost: list[str] | None = None,
) -> list[PartitionStatus]:
    """One entry for each partition, in order; by default from the first partition to the last known one.

    What is wrong with archives of tables is added to ``lost``.
    """
    found = Standings(lake, pipeline)
    statuses = [found.status(day) for day in found.days(first, last)]
    if lost is not None:
        lost += dict.fromkeys(found.lost)
    return statuses


def grouped(statuses: list[PartitionStatus]) -> list[tuple[Partitions, dict[str, str]]]:
    """Neighbouring partitions with the same states, as ranges."""
    groups: list[tuple[Partitions, dict[str, str]]] = []
    for status in statuses:
        if groups and groups[-1][1] == status.stages and groups[-1][0].end + timedelta(days=1) == status.partition:
            groups[-1] = (Partitions(groups[-1][0].start, status.partition), status.stages)
        else:
            groups.append((Partitions(status.partition, status.partition), status.stages))
    return groups


def reasons(statuses: list[PartitionStatus]) -> list[str]:
    """Why stages are stale: a sentence for each reason, with its first and last day."""
    found: dict[tuple[str, str], list[date]] = {}
    for status in statuses:
        for stage, why in status.why.items():
            found.setdefault((stage, why), []).append(status.partition)
    return [f"{stage} {Partitions(days[0], days[-1])}: {why}" for (stage, why), days in found.items()]


def next_commands(pipeline: str, statuses: list[PartitionStatus], moves: Sequence[AliasMove]) -> list[str]:
    """The commands that go on with the chain, at the first stage that lacks a day; none when no day is missing.

    Args:
        pipeline: Name.
        statuses: The days to look at.
        moves: Those of the alias ``champion``. Before its first move there is nothing to score with, and no day before its
            first partition is scored for it.
    """
    since = min((move.effective_from for move in moves), default=None)
    for stage in RANGE_STAGES:
        if stage == "score" and since is None:
            return [f"contrail train -p {pipeline}", f"contrail promote -p {pipeline}"]
        first = since if stage in ("score", "drift", "performance") else None
        days = [
            one.partition for one in statuses if one.stages[stage] == MISSING and (not first or one.partition >= first)
        ]
        if days:
            return [f"contrail {stage} -p {pipeline} --from {days[0]} --to {days[-1]}"]
    return []


def remedy(pipeline: str, statuses: list[PartitionStatus]) -> str:
    """The command that makes what is stale again; empty when nothing is."""
    stale = [status for status in statuses if status.why]
    if not stale:
        return ""
    stages = [stage for stage in RANGE_STAGES if any(stage in status.why for status in stale)]
    model = "" if WITH_MODEL.isdisjoint(stages) else " --model as-of"
    days = f"--from {stale[0].partition} --to {stale[-1].partition}"
    return f"contrail backfill -p {pipeline} {days} --stages {','.join(stages)}{model}"
