"""Which partition has passed which stage, read from the lake itself. There is no other ledger.

A stage's output is stale when something that it read has been published since.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from contrail.config.spec import PipelineSpec
from contrail.lake.lake import Lake
from contrail.lake.readers import PartitionState
from contrail.partitions import Partitions

STAGES = ("ingest", "validate", "features", "score", "drift", "performance")
OK, STALE, MISSING, REFUSED, WAITING = "ok", "stale", "missing", "refused", "waiting"

States = dict[date, PartitionState]


@dataclass(frozen=True)
class PartitionStatus:
    """The state of each stage for one partition: ok, stale, missing, refused, or waiting for what is not known yet."""

    partition: date
    stages: dict[str, str]


def _updated(states: States, day: date) -> datetime | None:
    state = states.get(day)
    return state.updated_at if state else None


def _newest(tables: list[States], days: Partitions) -> datetime | None:
    found = (_updated(states, day) for states in tables for day in days)
    return max((moment for moment in found if moment), default=None)


def _after(made: datetime | None, read: datetime | None) -> str:
    if made is None:
        return MISSING
    return STALE if read and read > made else OK


class _Board:
    """The partitions of every table, read once."""

    def __init__(self, lake: Lake, spec: PipelineSpec) -> None:
        self.spec = spec
        self.raw = {t: lake.partitions(f"raw_{t}") for t in spec.daily_tables}
        self.validated = {t: lake.partitions(f"validated_{t}") for t in spec.daily_tables}
        made = ("features", "predictions", "drift", "performance")
        self.made = {name: lake.partitions(name) for name in made}
        refused = (
            lake.scan("refusals", columns=["partition_date", "stage"]).to_pylist() if lake.exists("refusals") else []
        )
        self.refused = {(row["stage"], row["partition_date"]) for row in refused}
        self.last_label = max(self.validated[spec.label.table], default=None)

    def _landed(self, stage: str, tables: dict[str, States], day: date) -> str:
        if (stage, day) in self.refused:
            return REFUSED
        if day not in tables[self.spec.entities]:
            return MISSING
        outcomes = tables[self.spec.label.table]
        if day not in outcomes:
            # What became known during a day arrives after it. So on the newest day, its absence is no fault.
            return WAITING if day > max(outcomes, default=date.min) else MISSING
        if stage == "validate" and any(
            _after(_updated(tables[t], day), _updated(self.raw[t], day)) == STALE for t in tables
        ):
            return STALE
        return OK

    def _features(self, day: date) -> str:
        spec = self.spec
        window = Partitions(day - timedelta(days=spec.features.lookback_days), day - timedelta(days=1))
        ahead = [states for name, states in self.validated.items() if spec.tables[name].known_ahead]
        read = [_newest(list(self.validated.values()), window), _newest(ahead, Partitions(day, day))]
        return _after(_updated(self.made["features"], day), max((r for r in read if r), default=None))

    def _performance(self, day: date) -> str:
        mature = day + timedelta(days=self.spec.label.mature_after_days)
        if self.last_label is None or mature > self.last_label:
            return WAITING
        labels = _newest([self.validated[self.spec.label.table]], Partitions(day, mature))
        scored = _updated(self.made["predictions"], day)
        read = max((moment for moment in (labels, scored) if moment), default=None)
        return _after(_updated(self.made["performance"], day), read)

    def status(self, day: date) -> PartitionStatus:
        features, scored = self.made["features"], self.made["predictions"]
        return PartitionStatus(
            day,
            {
                "ingest": self._landed("ingest", self.raw, day),
                "validate": self._landed("validate", self.validated, day),
                "features": self._features(day),
                "score": _after(_updated(scored, day), _updated(features, day)),
                "drift": _after(_updated(self.made["drift"], day), _updated(features, day)),
                "performance": self._performance(day),
            },
        )


def partition_status(lake: Lake, spec: PipelineSpec, partitions: Partitions | None = None) -> list[PartitionStatus]:
    """One entry for each partition, in order; by default from the first partition to the last known one."""
    board = _Board(lake, spec)
    last = spec.last_partition or max(board.raw[spec.entities], default=spec.first_partition)
    return [board.status(day) for day in partitions or Partitions(spec.first_partition, last)]


def grouped(statuses: list[PartitionStatus]) -> list[tuple[Partitions, dict[str, str]]]:
    """Neighbouring partitions with the same states, as ranges."""
    groups: list[tuple[Partitions, dict[str, str]]] = []
    for status in statuses:
        if groups and groups[-1][1] == status.stages and groups[-1][0].end + timedelta(days=1) == status.partition:
            groups[-1] = (Partitions(groups[-1][0].start, status.partition), status.stages)
        else:
            groups.append((Partitions(status.partition, status.partition), status.stages))
    return groups
