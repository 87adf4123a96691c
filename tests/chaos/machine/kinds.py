"""The kinds of faults: which commands meet which of them, and where their homes are."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from tests.chaos.arena import Arena
from tests.chaos.disturbed import Disturbance
from tests.chaos.machine import airflow, clocks, database, day, limits, publications, services, store
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.trials import Trial, Trials

_DAY, _SHORT, _TRAIN = day.scenario(), day.scenario(day.SHORT), day.scenario(day.TRAIN)


def _nowhere(_: Arena) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _usual(arena: Arena) -> Iterator[None]:
    os.environ |= services.usual(str(arena.home))
    yield


@dataclass(frozen=True)
class Kind:
    """A kind of fault of the machine.

    Attributes:
        scenarios: What meets it.
        faults: Its cases. Without any, the commands get signals at their steps.
        environment: The environment file of its homes; empty for ``dev``.
        around: Is entered before the home is filled.
        patience: So many seconds a command may take.
        own: Makes the trials of a kind that is no command's.
    """

    scenarios: Sequence[Scenario]
    faults: Sequence[Disturbance] = ()
    environment: str = ""
    around: Callable[[Arena], AbstractContextManager[None]] = _nowhere
    patience: float = 600
    own: Callable[[], Iterator[Trial]] | None = None


KINDS = {
    "signals": Kind(
        [_SHORT, _TRAIN, *(SCENARIOS[name] for name in ("score", "promote", "backfill", "maintain", "rollback"))]
    ),
    "clock": Kind(
        [_SHORT, _TRAIN, *(SCENARIOS[n] for n in ("maintain", "promote", "late", "backfill"))], clocks.CLOCKS
    ),
    "names": Kind([_DAY, _TRAIN], limits.NAMES),
    "memory": Kind([_SHORT, _TRAIN, SCENARIOS["rollback"]], limits.MEMORY),
    "limits of files": Kind([_SHORT, _TRAIN, SCENARIOS["promote"], SCENARIOS["rollback"]], limits.FILES),
    "services gone": Kind([_SHORT, _TRAIN], services.FAULTS, services.ENVIRONMENT, _usual),
    "catalog database": Kind([_SHORT], database.FAULTS, services.ENVIRONMENT, database.postgres),
    "object store": Kind([_DAY], store.FAULTS, store.ENVIRONMENT, store.store),
    "publications in a store": Kind([], own=publications.in_a_store),
    "publications with Postgres": Kind([], own=publications.in_a_database),
    "publications by a wrong clock": Kind([], own=publications.by_a_wrong_clock),
    "airflow": Kind([], own=airflow.days_with_losses),
}


def tried(kind: Kind, scenario: Scenario, trials: Trials, tries: int) -> Iterator[Trial]:
    """Make the trials of a scenario: all cases, and again from the first on, up to so many; 0: each case once."""
    if not kind.faults:
        yield from trials.signalled(tries or 10)
        return
    for number in range(tries or len(kind.faults)):
        yield trials.disturbed(kind.faults[number % len(kind.faults)])
