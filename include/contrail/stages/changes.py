"""A change of models as one act: aliases, history, tags, and the predictions to score again.

A change is written whole into the pipeline's lease before its first step, and removed after its last. Each step may be
repeated. So whichever command comes next ends what a killed one began. Promote, or a person, decides what changes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, VersionInfo
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import ContrailError, MissingInputError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.lease import Lease, Leases
from contrail.lake.model_history import AliasMove, append_moves, read_moves
from contrail.lake.provenance import PIPELINE
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import PersonOptions, StageOptions

# How a version that was champion is tagged afterwards.
Former = Literal["former champion", "rolled back"]
ROLLED_BACK: Former = "rolled back"


def asked_by(run: StageRun[PersonOptions]) -> str:
    """Who requested the work of a run."""
    return run.options.person or PIPELINE


@dataclass(frozen=True)
class AliasChange:
    """A version at which aliases will point.

    ``aliases`` move in this order, for example challenger, then champion. ``effective_from`` is the first partition
    that the version is meant for. ``reason`` is for a person who reads the history. ``improvement`` is the version's
    improvement over the constant baseline on the rows of its gate. It is None without a passed gate.
    """

    entry: VersionInfo
    aliases: Sequence[str]
    effective_from: date
    reason: str
    improvement: float | None = None
    former: Former = "former champion"


class Move(Frozen):
    """A change of aliases with all that its steps need. ``moves`` is what ``model_history`` will have."""

    run_id: str
    stage: str
    moves: tuple[AliasMove, ...]
    former: Former


class Rescoring(Frozen):
    """Partitions that version ``bad`` has scored and version ``to`` must score again."""

    bad: str
    to: str
    partitions: tuple[str, ...]

    @property
    def days(self) -> list[Partitions]:
        """The partitions, as ranges."""
        return [Partitions.from_text(text) for text in self.partitions]


class Unfinished(Frozen):
    """What is left to do of changes that have begun, in this order."""

    move: Move | None = None
    rescoring: tuple[Rescoring, ...] = ()


def unfinished(settings: Settings, pipeline: str) -> Unfinished:
    """Read what is left to do."""
    return _parsed(Leases(settings, pipeline).read().left)


def _parsed(left: str) -> Unfinished:
    return parse_json(Unfinished, left, "the change in the lease") if left else Unfinished()


@dataclass(frozen=True)
class Changing:
    """The right to change a pipeline's models, as long as the lease is held."""

    run: StageRun[StageOptions]
    lease: Lease

    @property
    def left(self) -> Unfinished:
        """What is left to do. Reading it also checks that the lease is still held."""
        return _parsed(self.lease.left())

    def _keep(self, left: Unfinished) -> None:
        self.lease.keep("" if left == Unfinished() else left.model_dump_json())

    def apply(self, change: AliasChange, person: str, rescoring: Sequence[Rescoring] = ()) -> tuple[AliasMove, ...]:
        """Point aliases at a version, in their order, record the moves, and set the tags. Return the moves.

        An alias that points there already stays as it is. A move that was never recorded is recorded now.
        ``rescore`` does what ``rescoring`` says.
        """
        moves = _moves(self.run, change, person)
        new = {(one.bad, one.to) for one in rescoring}
        before = [one for one in self.left.rescoring if (one.bad, one.to) not in new]
        move = Move(run_id=self.run.run_id, stage=self.run.stage, moves=moves, former=change.former)
        self._keep(Unfinished(move=move, rescoring=(*before, *rescoring)))
        self.settle()
        return moves

    def settle(self) -> None:
        """Do the steps of the move that is left, if there is one."""
        left = self.left
        if left.move is None:
            return
        if _point(self.run, left.move):
            self.lease.left()  # fenced: nothing is recorded by a process that was taken for dead
            if left.move.moves:
                made_by = self.run.provenance({}, person=left.move.moves[0].person)
                provenance = replace(made_by, run_id=left.move.run_id, stage=left.move.stage)
                append_moves(self.run.lake, self.run.pipeline.spec, left.move.moves, provenance)
        _tag(self.run, left.move)
        self._keep(left.model_copy(update={"move": None}))

    def rescore(self, score: Callable[[Partitions, str], Any]) -> None:
        """Score again what is left. ``score`` takes a range and the version.

        Raises:
            ContrailError: as score does. What is not scored again yet is left.
        """
        for one in self.left.rescoring:
            for days in as_ranges(rows_of(self.run.lake, one)):
                self._keep(self.left)  # renews the lease
                score(days, one.to)
            left = self.left
            self._keep(left.model_copy(update={"rescoring": tuple(r for r in left.rescoring if r != one)}))


@contextmanager
def changing(run: StageRun[StageOptions], person: str = PIPELINE) -> Iterator[Changing]:
    """Hold the right to change the pipeline's models for the length of a block. First end the move that a run left.

    Raises:
        EngineError: while another process holds it.
    """
    with Leases(run.settings, run.pipeline.name).held(run.run_id, f"{run.stage} by {person}") as lease:
        held = Changing(run, lease)
        held.settle()
        yield held


def finish(run: StageRun[StageOptions], score: Callable[[Partitions, str], Any]) -> None:
    """End what a killed run has left. Do nothing while another process is at it.

    What cannot be scored again stays left, and the run's progress says so.
    """
    name = run.pipeline.name
    if unfinished(run.settings, name) == Unfinished():
        return
    try:
        with changing(run) as held:
            run.progress(f"ended the change of models that another run of '{name}' had left")
            held.rescore(score)
    except ContrailError as error:
        run.progress(f"the change of models that another run of '{name}' has left is not done: {error}")


def rows_of(lake: Lake, rescoring: Rescoring) -> dict[date, int]:
    """Rows of each partition of a rescoring that the bad version's predictions still fill."""
    ranges = rescoring.days
    return {day: rows for day, rows in scored_by(lake, rescoring.bad).items() if any(day in days for days in ranges)}


def scored_by(lake: Lake, version: str) -> dict[date, int]:
    """Rows of each partition of ``predictions`` that a version scored."""
    if not lake.exists("predictions"):
        return {}
    counted = f"SELECT {PARTITION}, count(*) FROM predictions WHERE model_version = ? GROUP BY ALL ORDER BY ALL"
    with lake.connect(["predictions"]) as connection:
        return dict(connection.execute(counted, [version]).fetchall())


def _moves(run: StageRun[StageOptions], change: AliasChange, person: str) -> tuple[AliasMove, ...]:
    entry, earlier = change.entry, read_moves(run.lake)
    recorded = {move.alias: move.version_after for move in earlier}
    # The order of the moves is that of their times, also after the clock has jumped back.
    now = max([datetime.now(UTC), *(move.moved_at + timedelta(microseconds=1) for move in earlier[-1:])])
    points = {alias: registry.alias_version(run.settings, entry.name, alias) for alias in change.aliases}
    return tuple(
        AliasMove(
            alias=alias,
            # An alias that points nowhere lost its version in MLflow. One that points there already was never recorded.
            version_before=recorded.get(alias) if points[alias] in (None, entry.version) else points[alias],
            version_after=entry.version,
            effective_from=change.effective_from,
            moved_at=now,
            reason=change.reason,
            person=person,
            run_id=run.run_id,
            improvement=change.improvement,
        )
        for alias in change.aliases
        if not points[alias] == recorded.get(alias) == entry.version
    )


def _point(run: StageRun[StageOptions], move: Move) -> bool:
    """Point the aliases. Return False when the version was deleted in MLflow meanwhile; then nothing is recorded."""
    name = run.pipeline.name
    for one in move.moves:
        if registry.alias_version(run.settings, name, one.alias) == one.version_after:
            continue
        try:
            entry = registry.describe_version(run.settings, name, one.version_after)
        except MissingInputError as error:
            run.progress(f"the alias {one.alias} stays as it is: {error}")
            return False
        registry.set_alias(run.settings, entry, one.alias)
    return True


def _tag(run: StageRun[StageOptions], move: Move) -> None:
    """Set the status of every version from where the aliases point now, whatever was set before."""
    name = run.pipeline.name
    champion, challenger = (registry.alias_version(run.settings, name, alias) for alias in (CHAMPION, CHALLENGER))
    since = {one.version_after: _text(one.moved_at) for one in move.moves if one.alias == CHAMPION}
    until = next(iter(since.values()), None) or _text(datetime.now(UTC))
    for entry in registry.versions(run.settings, name):
        status, tags = entry.tags.get("status"), dict[str, str]()
        if entry.version == champion:
            tags = {"status": "champion"}
            if entry.version in since:
                tags["champion_from"] = since[entry.version]
        elif status == "champion":
            tags = {"champion_until": until, "status": move.former}
        elif entry.version == challenger:
            tags = {"status": "challenger"}
        elif status == "challenger":
            tags = {"status": "refused"}
        if not tags.items() <= entry.tags.items():
            registry.tag_version(run.settings, entry, tags)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
