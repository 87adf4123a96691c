"""Whether a partition of a stage's output is what the stage would make now: the one function that decides it.

``status``, the plan of a backfill, ``performance --only-stale``, ``late`` and ``validate`` all ask here. The answer comes
from the provenance of the partition's last commit and from the order of the commits to what it read. No clock and no
file's time has a say: clocks jump back, and those of two workers differ.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property, partial

from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.errors import DamagedError
from contrail.lake import mended
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.methods.days_before import REACH_DAYS
from contrail.methods.drift_verdicts import history_days
from contrail.partitions import Partitions
from contrail.stages.fingerprint import Fingerprint, fingerprint

OK, STALE, MISSING, UNKNOWN = "ok", "stale", "missing", "unknown"
REACH = "reach"
NOTHING, EXPIRED = "nothing is published", "the run that made it is older than the kept history"

# The table of each stage; that of validate has the landed table's name after it.
_OUTPUTS = {
    "validate": "validated_",
    "features": "features",
    "score": "predictions",
    "drift": "drift",
    "performance": "performance",
}
_PLURAL = ("features", "predictions", "predictions_shadow")
# A day without rows of these has none of the stage's either.
_ROWS_FROM = {"score": "features", "drift": "features", "performance": "score"}


@dataclass(frozen=True)
class Standing:
    """The state of a partition, and why it would be made again; ``why`` is empty when it would not."""

    state: str
    why: str = ""


_DONE = Standing(OK)


def features_reach(spec: PipelineSpec, table: str, partitions: Partitions) -> Partitions:
    """The partitions of a table that the features of these partitions may read."""
    back = timedelta(days=spec.features.lookback_days)
    known = timedelta(days=0 if spec.tables[table].known_ahead else 1)
    return Partitions(partitions.start - back, partitions.end - known)


def reads(
    spec: PipelineSpec, stage: str, day: date, table: str = "", made: Provenance | None = None
) -> dict[str, Partitions]:
    """The tables that a stage reads for one day, and the partitions of each. A reference table is read whole.

    ``validate`` also reads the tables to which rows refer. They are in the contract, which takes seconds to load. So they
    come from the provenance of the rows, where ``REACH`` says how far back each was read.
    """
    own, mature = Partitions(day, day), timedelta(days=spec.label.mature_after_days)
    entities, label = f"validated_{spec.entities}", f"validated_{spec.label.table}"
    match stage:
        case "validate":
            referred = [name for name in (made.inputs if made else {}) if name.startswith("validated_")]
            back: dict[str, int] = json.loads(made.extra.get(REACH, "{}")) if made else {}
            return {f"raw_{table}": own, **{name: own.reaching_back(back.get(name, 0)) for name in referred}}
        case "features":
            return {f"validated_{name}": features_reach(spec, name, own) for name in spec.tables}
        case "score":
            return {"features": own}
        case "performance":
            seen = dict.fromkeys(("predictions", "predictions_shadow", entities), own)
            return {**seen, label: Partitions(day, day + mature)}
        case _:
            newest = day - mature - timedelta(days=1)  # the newest day whose labels the cut-off of ``day`` sees
            first = newest - timedelta(days=spec.drift.raise_days - 1)
            earliest = min(first, day - timedelta(days=history_days(spec.drift) + REACH_DAYS))
            return {
                "features": Partitions(earliest, day),
                entities: Partitions(first, newest),
                label: Partitions(first, newest + mature),
            }


class Staleness:
    """The standing of the partitions of one pipeline. Each table's lineage is read once.

    ``lost`` is told of an archive that is damaged. What only it knows is then unknown; without ``lost`` that is an error.
    """

    def __init__(self, pipeline: Pipeline, lake: Lake, lost: Callable[[DamagedError], object] | None = None) -> None:
        self.pipeline, self.spec, self.lake = pipeline, pipeline.spec, lake
        self.lineage = cache(lake.lineage if lost is None else partial(lake.lineage, lost=lost))
        self.partitions = cache(lake.partitions)
        self.standing = cache(self._standing)
        self._fingerprint = cache(lambda stage, table: fingerprint(stage, pipeline, lake.settings, table))

    # ---- the decision ----

    def own(self, stage: str, day: date, table: str = "") -> Standing:
        """The standing of a partition, when what it read is taken as it is published.

        Args:
            stage: A stage that leaves rows of a day.
            day: The partition.
            table: The landed table, for ``validate``.
        """
        output = _OUTPUTS[stage] + table
        maker = self.lineage(output).maker(day)
        if maker is None:
            return Standing(UNKNOWN, EXPIRED) if self._published(output, table, day) else Standing(MISSING, NOTHING)
        if why := self.defined_anew(stage, maker.provenance, table):
            return Standing(STALE, why)
        return self._inputs(stage, day, table, maker.provenance)

    def _standing(self, stage: str, day: date, table: str = "") -> Standing:
        """As ``own``; what is made of something stale is stale too."""
        own = self.own(stage, day, table)
        source = _ROWS_FROM.get(stage)
        if source and not self._published(_OUTPUTS[stage], "", day):
            found = self.standing(source, day)
            if found.state == MISSING:
                return found
            if found.state == OK and not self._published(_OUTPUTS[source], "", day):
                return _DONE  # of no rows, none are made
        if own.state != OK:
            return own
        maker = self.lineage(_OUTPUTS[stage] + table).maker(day)
        for name, window in reads(self.spec, stage, day, table, maker.provenance if maker else None).items():
            by, of = self._makers.get(name, ("", ""))
            for each in window if by else ():
                found = self.standing(by, each, of)
                if found.state == STALE:
                    return Standing(STALE, found.why if ": " in found.why else f"{name} is stale: {found.why}")
        return own

    def defined_anew(self, stage: str, made: Provenance, table: str = "") -> str:
        """What has changed in the definition of a result since it was made; empty when nothing has."""
        now, then = self._fingerprint(stage, table), Fingerprint.read(made)
        if now and then:
            return now.differs(then, made.pipeline_hash == self.pipeline.hash)
        # Older records say only which files the pipeline had.
        return "" if made.pipeline_hash == self.pipeline.hash else "the pipeline's files have changed"

    def landed_since(self, table: str, day: date) -> bool:
        """Whether a file of the day was taken in, or a row of it mended, after the day's validation, or its refusal."""
        raw, judged = f"raw_{table}", self._judged(table, day)
        if not judged:  # what is older than the kept history is no news
            return not self._published(f"validated_{table}", table, day)
        return all(
            self._read_since(raw, made.inputs[raw], Partitions(day, day)).state == STALE
            or self._mended(table, day, made).state == STALE
            for made in judged
        )

    def mended_since(self, table: str, day: date) -> bool:
        """Whether a row of the day was mended after the day's validation, or its refusal."""
        return all(self._mended(table, day, made).state == STALE for made in self._judged(table, day))

    def _judged(self, table: str, day: date) -> list[Provenance]:
        """The last validation of a day, and its last refusal, as far as it is known what they read."""
        maker = self.lineage(f"validated_{table}").maker(day)
        refused = self.lineage("refusals").maker(day, f"stage=validate,{mended.scope(table)}")
        return [each.provenance for each in (maker, refused) if each and f"raw_{table}" in each.provenance.inputs]

    # ---- what it is made of ----

    def _inputs(self, stage: str, day: date, table: str, made: Provenance) -> Standing:
        for name, window in reads(self.spec, stage, day, table, made).items():
            found = self._read_since(name, made.inputs.get(name), window)
            if found.state != OK:
                return found
        return self._mended(table, day, made) if stage == "validate" else _DONE

    def _mended(self, table: str, day: date, made: Provenance) -> Standing:
        """Whether rows of a day are as they were mended when the day was validated."""
        own = self.spec.first_partition if self.spec.tables[table].kind == "reference" else day
        if own not in self.partitions(mended.NAME):
            return _DONE
        return self._read_since(mended.NAME, made.inputs.get(mended.NAME), Partitions(own, own), mended.scope(table))

    def partners(self, table: str, day: date) -> dict[str, Partitions]:
        """The daily tables to which the validated rows of a day refer, and the partitions of each that were read."""
        maker = self.lineage(f"validated_{table}").maker(day)
        read = reads(self.spec, "validate", day, table, maker.provenance) if maker else {}
        return {name: read[f"validated_{name}"] for name in self.spec.daily_tables if f"validated_{name}" in read}

    def partners_since(self, table: str, day: date) -> bool:
        """Whether rows to which those of a day refer have changed since its validation."""
        maker = self.lineage(f"validated_{table}").maker(day)
        inputs = maker.provenance.inputs if maker else {}
        return any(
            self._read_since(f"validated_{name}", inputs.get(f"validated_{name}"), window).state == STALE
            for name, window in self.partners(table, day).items()
        )

    def _read_since(self, name: str, snapshot: int | None, window: Partitions, scope: str = "") -> Standing:
        """Whether partitions of a table are still what a stage read, and if not, in words."""
        lineage = self.lineage(name)
        if lineage.unchanged_since(snapshot, window, scope):
            return _DONE
        if lineage.knows(snapshot) or any(each.is_of(scope) and each.changes(window) for each in lineage.commits):
            return Standing(STALE, f"{name} {'were' if name in _PLURAL else 'was'} published since")
        return Standing(UNKNOWN, f"the snapshot of {name} that it was made of is older than the kept history")

    def _published(self, output: str, table: str, day: date) -> bool:
        """Whether a partition has rows. A reference table has them all in one."""
        if table and self.spec.tables[table].kind == "reference":
            return self.lake.exists(output)
        return day in self.partitions(output)

    @cached_property
    def _makers(self) -> dict[str, tuple[str, str]]:
        """The stage, and its landed table, that makes each table."""
        validated = {f"validated_{name}": ("validate", name) for name in self.spec.tables}
        return {**validated, "features": ("features", ""), "predictions": ("score", "")}
