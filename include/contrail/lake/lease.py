"""The lease of a pipeline's models: one process at a time changes them, on whichever machine it runs.

All set-ups share the catalog, and its commits compare and swap. So the lease is the summary of the newest snapshot of a
table without rows. It also holds what its holder has left to do, as JSON. ``contrail.stages.changes`` knows what that is.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pyiceberg.table import Table

from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import EngineError
from contrail.frozen import Frozen
from contrail.lake import publisher, upkeep
from contrail.lake.catalog import Tables
from contrail.lake.datasets import Dataset, documented
from contrail.lake.provenance import PREFIX
from contrail.locks import place_of

NAMESPACE = "contrail_leases"
# The longest time without a renewal. Judging takes minutes, and scoring renews before each job.
LENGTH = timedelta(minutes=10)
_KEY = f"{PREFIX}lease"
_KEPT = 20


class Holder(Frozen):
    """Who holds a lease. ``place`` names the lock file that the holder's process keeps locked while it lives."""

    token: str
    place: str
    run_id: str
    what: str
    since: datetime
    until: datetime


class LeaseState(Frozen):
    """A lease as the catalog has it. ``left`` is JSON of what is left to do; empty when nothing is."""

    holder: Holder | None = None
    left: str = ""


@dataclass(frozen=True)
class Lease:
    """A lease that this process holds. Every write checks the token, so a holder that was taken for dead stops."""

    leases: "Leases"
    token: str

    def left(self) -> str:
        """Return what is left to do.

        Raises:
            EngineError: when another process has taken the lease.
        """
        return self._held(self.leases.read()).left

    def keep(self, left: str) -> None:
        """Write what is left to do, in one step, and renew the lease. Errors are those of ``left``."""

        def change(state: LeaseState) -> LeaseState:
            holder = self._held(state).holder
            assert holder is not None
            return LeaseState(holder=holder.model_copy(update={"until": _now() + LENGTH}), left=left)

        self.leases.write(change)

    def _held(self, state: LeaseState) -> LeaseState:
        if state.holder is None or state.holder.token != self.token:
            raise EngineError(
                f"{self.leases.pipeline}: this run no longer holds the lease of the pipeline's models"
                + (f"; {_named(state.holder)} has it" if state.holder else "")
                + ". It stopped before its next step, and the next command ends what it left. Run the command again."
            )
        return state


class Leases:
    """The lease of one pipeline's models."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self._tables = Tables(settings, NAMESPACE, pipeline)
        self._dataset = Dataset(
            pipeline,
            "The lease of the pipeline's models, in its snapshots' summaries. It has no rows.",
            {"nothing": documented("string", "Always empty.", required=False)},
            partition_by=(),
        )

    def read(self) -> LeaseState:
        """Read the lease. Reading makes no table."""
        table = self._tables.find(self.pipeline)
        return _state(table) if table else LeaseState()

    @contextmanager
    def held(self, run_id: str, what: str) -> Iterator[Lease]:
        """Hold the lease for the length of a block.

        Args:
            run_id: The run that asks.
            what: What it does, in words, for the process that has to wait.

        Raises:
            EngineError: while another process holds it. A later retry may pass.
        """
        path = self.settings.home_path / "locks" / f"models-{self.pipeline}"
        with place_of(path) as place:
            if place is None:
                raise self._busy(self.read().holder)
            lease = self._take(place, run_id, what)
            try:
                yield lease
            finally:
                # A lease that cannot be returned ends by itself, and this machine's next process takes it at once.
                with suppress(Exception):
                    self.write(lambda state: LeaseState(left=lease._held(state).left))

    def _take(self, place: str, run_id: str, what: str) -> Lease:
        now = _now()
        mine = Holder(token=uuid4().hex, place=place, run_id=run_id, what=what, since=now, until=now + LENGTH)

        def change(state: LeaseState) -> LeaseState:
            if state.holder and not _is_over(state.holder, place, now):
                raise self._busy(state.holder)
            return LeaseState(holder=mine, left=state.left)

        self.write(change)
        return Lease(self, mine.token)

    def write(self, change: Callable[[LeaseState], LeaseState]) -> None:
        """Change the lease in one step. ``change`` is called again with the newer state when another writer was first."""
        self._tables.ensure(self._dataset)
        self._tables.commit(self._dataset.name, lambda: self._write(change))

    def _write(self, change: Callable[[LeaseState], LeaseState]) -> None:
        table = self._tables.table(self._dataset.name)
        state = change(_state(table))
        publisher.note(table, {_KEY: state.model_dump_json()})
        upkeep.expire(table, _KEPT)

    def _busy(self, holder: Holder | None) -> EngineError:
        who = f"{_named(holder)} is changing" if holder else "another process is changing"
        ends = f" Should it be dead, its lease ends at {holder.until:%H:%M:%S} UTC." if holder else ""
        return EngineError(
            f"{who} the models of pipeline '{self.pipeline}'. Nothing was judged or moved. Run the command again when it "
            f"has ended.{ends}"
        )


def _is_over(holder: Holder, place: str, now: datetime) -> bool:
    """Whether a lease may be taken: it ended, or its process is dead, or a clock that was wrong wrote it."""
    return holder.place == place or not now < holder.until <= now + 2 * LENGTH


def _state(table: Table) -> LeaseState:
    snapshot = table.current_snapshot()
    summary: Mapping[str, str] = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    text = summary.get(_KEY)
    return parse_json(LeaseState, text, f"the lease in {NAMESPACE}") if text else LeaseState()


def _named(holder: Holder) -> str:
    return f"{holder.what} (run {holder.run_id}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC)"


def _now() -> datetime:
    return datetime.now(UTC)
