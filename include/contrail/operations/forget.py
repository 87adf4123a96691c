"""Forget a person: find everything that identifies the person, record marks of it, and remove it wherever rows live.

The record comes first. From then on no stage publishes such rows, and a forgetting that was killed can go on. ``lake`` has
the record, ``forgetting`` the search and the places.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.errors import EngineError, SpecError
from contrail.lake import forgotten, sandbox_records, sandboxes
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.locks import locked
from contrail.operations.forgetting.asked import Asked, parse
from contrail.operations.forgetting.places import PLACES, ROWS, SHARED, Count
from contrail.operations.forgetting.search import Search
from contrail.revision import code_revision, lock_hash
from contrail.stages.base import silent
from contrail.stages.runner import new_run_id

UNDER_WAY, DONE = "under way", "done"
GRACE = timedelta(minutes=10)
_ROUNDS = 3  # a run that read rows before the record was made may publish them once more


@dataclass(frozen=True)
class Forgetting:
    """What a request removes, or would remove. ``models`` names the training sets whose models learned from the rows."""

    pipeline: str
    request: str
    person: str
    reason: str
    asked_at: datetime
    counts: tuple[Count, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The windows of training sets that had such rows."""
        prefix = "training_sets/"
        return tuple(one.place.removeprefix(prefix) for one in self.counts if one.place.startswith(prefix))

    @property
    def published(self) -> list[date]:
        """The days whose predictions had such rows, which the analysts' warehouse has too."""
        days = (one.partition for one in self.counts if one.place == "predictions" and one.partition[:1].isdigit())
        return sorted(map(date.fromisoformat, days))

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain values, for JSON."""
        return {
            "pipeline": self.pipeline,
            "request": self.request,
            "counts": [
                {"place": one.place, "partition": one.partition, "kind": one.kind, "found": one.found}
                for one in self.counts
            ],
            "models": list(self.models),
        }


class Forget:
    """One forgetting in one pipeline."""

    def __init__(self, pipeline: Pipeline, lake: Lake, where: str | None, grace: timedelta = GRACE) -> None:
        self.pipeline, self.lake = pipeline, lake
        self.asked: Asked | None = parse(where, pipeline.spec) if where else None
        self.grace = grace

    def plan(self, person: str, reason: str) -> Forgetting:
        """Find what would go, and change nothing.

        Raises:
            DamagedError: when the key is lost, or a manifest is damaged.
        """
        return self._found(self._search(new_run_id()), new_run_id(), person, reason)

    def run(self, person: str, reason: str, progress: Callable[[str], None] = silent) -> Forgetting:
        """Record the request, remove all that is found, and look again.

        Killed at any moment, the same call goes on. It loses no row of anybody else.

        Raises:
            EngineError: when something stays because a run may be using it. The record says that it is under way.
        """
        name = self.pipeline.name
        with locked(self.lake.settings.home_path / "locks" / f"forget-{name}", "is forgetting a person"):
            request = new_run_id()
            search = self._search(request)
            begun = self._begun()
            found = self._resumed(self._found(search, request, person, reason), search, begun)
            forgotten.keep_key(self.lake, search.marks)
            self._record_marks(found, search)
            self._record(found, search, UNDER_WAY)
            progress("the record is made: no run publishes such rows from here on")
            # Sandboxes first: files of the main lake that they need no more go then.
            inside = [one for own in self._in_sandboxes(search) for one in self._reach(own, found, progress)]
            if left := [*inside, *_remove(search, progress)]:
                raise EngineError(_left(name, left))
            # What another request had left to do is done too.
            for one in (found, *(other for other in begun if other.request != found.request)):
                self._record(one, search, DONE)
            return found

    def _search(self, request: str) -> Search:
        self.lake.settings.outside("A person is forgotten, in every sandbox too,")
        project = settings().project_path
        made_by = Provenance(request, "forget", self.pipeline.hash, code_revision(project), lock_hash(project))
        search = Search(self.pipeline, self.lake, forgotten.begin(self.lake), self.grace, made_by)
        search.begin(self.asked)
        return search

    def _found(self, search: Search, request: str, person: str, reason: str) -> Forgetting:
        counts = [count for place in PLACES for count in place.visit(search, False)]
        for own in self._in_sandboxes(search):
            counts += [one.inside(own) for place in PLACES if place not in SHARED for one in place.visit(own, False)]
        return Forgetting(self.pipeline.name, request, person, reason, datetime.now(UTC), tuple(_merged(counts)))

    # ---- sandboxes ----

    def _in_sandboxes(self, search: Search) -> list[Search]:
        """The same search, for the same marks, in each sandbox of the pipeline."""
        main, name = self.lake.settings, self.pipeline.name
        known = {one.name for one in sandbox_records.every(main, name)}
        if left := sorted({sandbox for sandbox, own in sandboxes.names_in_catalog(main) if own == name} - known):
            raise SpecError(
                f"{', '.join(left)}: a sandbox that was made or dropped half may have the person's rows. Nothing was removed. "
                f"Drop it, then forget again: contrail sandbox drop {left[0]}"
            )
        return [replace(search, lake=Lake(main.inside(one), name)) for one in sorted(known)]

    def _reach(self, search: Search, found: Forgetting, progress: Callable[[str], None]) -> list[Count]:
        """Remove the rows from a sandbox, and let it know the marks, so that no run there publishes them again."""
        inside = Forget(self.pipeline, search.lake, None, self.grace)
        inside._record_marks(found, search)
        inside._record(found, search, UNDER_WAY)
        left = _remove(search, lambda line: progress(f"sandbox {search.settings.sandbox}: {line}"))
        if not left:
            inside._record(found, search, DONE)
        return [one.inside(search) for one in left]

    # ---- the record ----

    def _begun(self) -> list[Forgetting]:
        """The requests that were killed before they were done."""
        if not self.lake.exists(forgotten.FORGOTTEN):
            return []
        found: dict[str, Forgetting] = {}
        for row in self.lake.scan(forgotten.FORGOTTEN).to_pylist():
            if row["state"] == UNDER_WAY:
                fields = (row["request"], row["person"], row["reason"], row["asked_at"])
                before = found.get(row["request"]) or Forgetting(self.pipeline.name, *fields, counts=())
                own = Count(row["place"], row["kind"], row["removed"], row["partition"])
                found[row["request"]] = replace(before, counts=(*before.counts, own))
        return list(found.values())

    def _resumed(self, found: Forgetting, search: Search, begun: Sequence[Forgetting]) -> Forgetting:
        """Go on with the request for the same person: what it found first is what it removes."""
        asked = search.asked_marks
        own = (one for one in begun if asked and asked <= forgotten.digests_of(self.lake, one.request))
        same = next(own, None)
        if same is None:
            return found
        return replace(same, counts=tuple(_merged([*same.counts, *found.counts], most=True)))

    def _record_marks(self, found: Forgetting, search: Search) -> None:
        dataset = forgotten.marks(self.pipeline.spec)
        new = forgotten.new_marks(self.lake, search.marks, found.request, search.asked_marks)
        if new.digests:
            day, scope = found.asked_at.date(), {"request": found.request}
            rows = list(forgotten.rows_of(new, found.request, day))
            table = pa.Table.from_pylist(rows, dataset.arrow_schema())
            self.lake.publish(dataset, table, [day], search.made_by, scope)

    def _record(self, found: Forgetting, search: Search, state: str) -> None:
        dataset, day = forgotten.forgotten(self.pipeline.spec), found.asked_at.date()
        common = {
            PARTITION: day,
            "request": found.request,
            "state": state,
            "asked_at": found.asked_at,
            "done_at": datetime.now(UTC) if state == DONE else None,
            "person": found.person,
            "reason": found.reason,
        }
        rows = [
            {**common, "place": one.place, "partition": one.partition, "kind": one.kind, "removed": one.found}
            for one in found.counts or (Count("nothing", ROWS, 0),)
        ]
        table = pa.Table.from_pylist(rows, dataset.arrow_schema())
        self.lake.publish(dataset, table, [day], search.made_by, {"request": found.request})


def _remove(search: Search, progress: Callable[[str], None]) -> list[Count]:
    """Remove what is found, and look again. Return what stays for now."""
    places = [place for place in PLACES if not (search.settings.sandbox and place in SHARED)]
    for _ in range(_ROUNDS):
        gone = []
        for place in places:
            own = list(place.visit(search, True))
            gone += own
            if own:
                progress(f"{place.name}: {_said(own)}")
        left = [one for one in gone if one.left]
        if left or not gone:
            return left
    return [one for place in places for one in place.visit(search, False)]


def _merged(counts: Iterable[Count], most: bool = False) -> list[Count]:
    """Add up the counts of the same thing; or take the most of them, when they were counted twice."""
    found: dict[tuple[str, str, str], Count] = {}
    for one in counts:
        key = (one.place, one.partition, one.kind)
        before = found.get(key)
        if before:
            one = replace(one, found=max(before.found, one.found) if most else before.found + one.found)
        found[key] = one
    return list(found.values())


def _said(counts: Sequence[Count]) -> str:
    kinds = dict.fromkeys(one.kind for one in counts)
    return ", ".join(f"{sum(one.found for one in counts if one.kind == kind):,} {kind}" for kind in kinds)


def _left(pipeline: str, left: Sequence[Count]) -> str:
    places = ", ".join(dict.fromkeys(one.place for one in left))
    return (
        f"{pipeline}: not everything is gone. Files in {places} are so young that a run may be using them. All else is "
        "removed, and no run publishes such rows. Give the same command again in ten minutes"
    )
