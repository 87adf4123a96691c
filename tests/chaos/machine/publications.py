"""Publications of one table, by the hundred: a day's rows are published while something fails, and published again.

One try takes a fraction of a second, so each request to a store and each statement of a commit can be the one that fails.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from contrail import clock
from contrail.adapters.google_errors import google_errors
from contrail.adapters.machine_errors import machine_errors, quiet_libraries
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import CatalogSettings, settings
from contrail.errors import ContrailError
from contrail.lake import conflicts
from contrail.lake.lake import Lake
from contrail.operations.maintain import maintain
from tests.chaos.disturbed import AGAIN
from tests.chaos.machine import clocks, database
from tests.chaos.machine.store import catalog_in_store, quick_retries
from tests.chaos.machine.store_server import Plan, faulty_store
from tests.chaos.preload import set_clock
from tests.chaos.trials import Trial
from tests.conftest import PROJECT
from tests.servers import Servers, served
from tests.unit.lake.shop import DAY1, ITEMS, contents, provenance, rows

_DAYS = 12
_TIMES = {0: "for good", 1: "once", 3: "three times"}
_A_TABLE = 30  # publications
Fault = tuple[str, Callable[[], AbstractContextManager[Any]]]


def _tried(lake: Callable[[str], Lake], faults: Iterable[Fault], scenario: str) -> Iterator[Trial]:
    shop: Lake | None = None
    wanted: dict[date, str] = {}
    for number, (how, fault) in enumerate(faults):
        if shop is None or number % _A_TABLE == 0:
            shop, wanted = lake(f"shop{number // _A_TABLE}"), {}
        day, colour = DAY1 + timedelta(days=number % _DAYS), f"colour {number}"
        trial = Trial(scenario, how, number, str(day))
        before = sorted((one, known, 3) for one, known in wanted.items())
        wanted[day] = colour
        after = sorted((one, known, 3) for one, known in wanted.items())
        told = _publish(shop, day, colour, fault)
        if told and not told.startswith(f"exit {AGAIN}"):
            trial.other.append(told)
        else:
            trial.told = told
        _compare(trial, shop, [before, after] if told else [after], trial.half_seen)
        if again := _publish(shop, day, colour, nullcontext):
            trial.blocked.append(again)
        _compare(trial, shop, [after], trial.lost)
        yield trial


def _publish(lake: Lake, day: date, colour: str, fault: Callable[[], AbstractContextManager[Any]]) -> str:
    """Publish a day. Return the exit code and the message of what it ended in; empty: it passed."""
    try:
        with fault(), machine_errors(), google_errors():
            lake.publish(ITEMS, rows([day], colour), [day], provenance(colour))
    except ContrailError as error:
        return f"exit {error.exit_code}: {type(error).__name__}: {str(error)[:400]}"
    except Exception as error:
        return f"exit 1: {type(error).__name__}: {str(error)[:400]}"
    return ""


def _compare(trial: Trial, lake: Lake, allowed: list[list[tuple[date, str, int]]], wrong: list[str]) -> None:
    found = contents(lake) if lake.exists("items") else []
    if found not in allowed:
        missing = [row for row in allowed[-1] if row not in found]
        wrong += [f"lacks {row}" for row in missing[:3]]
        trial.doubled += [f"has {row}" for row in found if not any(row in state for state in allowed)][:3]


@contextmanager
def _home() -> Iterator[Path]:
    quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="contrail-chaos-") as place:
        os.environ |= {"CONTRAIL_HOME": f"{place}/home", "CONTRAIL_PROJECT": str(PROJECT), "CONTRAIL_ENV": "dev"}
        settings.cache_clear()
        yield Path(place)


def _lake(name: str, catalog: CatalogSettings) -> Lake:
    return Lake(settings().model_copy(update={"catalog": catalog}), name)


# ---- in an object store ----


@contextmanager
def _planned(place: Path, plan: Plan) -> Iterator[None]:
    plan.save(place)
    try:
        yield
    finally:
        place.unlink()


def in_a_store() -> Iterator[Trial]:
    """Each request of a publication fails once, three times and for good, in each way."""
    plans = [
        (f"{name}, {_TIMES[times]} after {skip}", Plan(how, methods, skip=skip, times=times, code=code))
        for name, how, methods, code in (
            ("503", "status", ".*", 503), ("429", "status", ".*", 429), ("500 to reads", "status", "GET|HEAD", 500),
            ("502 to writes", "status", "POST|PUT|PATCH|DELETE", 502), ("answers cut", "cut answer", "GET", 0),
            ("uploads cut", "cut upload", "POST|PUT", 0),
        )
        for times in (1, 3, 0)
        for skip in range(0, 24, 2)
    ]  # fmt: skip
    with _home() as place:
        plan = place / "plan.json"
        store = faulty_store(place / "storage", plan)
        os.environ["STORAGE_EMULATOR_HOST"] = store.address
        quick_retries()
        own = catalog_in_store(place / "catalog.db")
        faults = [(how, lambda one=one: _planned(plan, one)) for how, one in plans]
        yield from _tried(lambda name: _lake(name, own), faults, "a publication in a store")
        store.stop()


# ---- with a catalog in Postgres ----


def in_a_database() -> Iterator[Trial]:
    """Each change of a table's place fails once, twice and for good, in each way."""
    conflicts.SECONDS = 3
    with served() as servers, _home() as place:
        os.environ["PGPASSWORD"] = servers.secrets["CONTRAIL_DB_PASSWORD"]
        uri = f"postgresql+psycopg2://contrail@127.0.0.1:{servers.postgres_port}/iceberg"
        own = CatalogSettings(type="sql", uri=uri, warehouse_uri=f"file://{place}/warehouse")
        _lake("made", own).publish(ITEMS, rows([DAY1]), [DAY1], provenance())
        yield from _tried(lambda name: _lake(name, own), _in_commits(servers), "a publication with Postgres")


def _in_commits(servers: Servers) -> Iterator[Fault]:
    faults = {
        **{code: database.raises(code) for code in ("40P01", "40001", "55P03", "57P01", "53100", "53300")},
        "connection cut": database.CUT,
    }
    for name, fault in faults.items():
        for when, place in (("before", database.BEFORE), ("on commit", database.ON_COMMIT)):
            for last in (1, 2, 4, 1000) * 2:

                def around(
                    fault: str = fault, place: dict[str, str] = place, last: int = last
                ) -> AbstractContextManager[None]:
                    return database.trigger(servers, fault, 1, last, place)

                yield f"{name} {when}, {last} times", around


# ---- by a wrong clock ----


@contextmanager
def _wrong(seconds: int, at: int) -> Iterator[None]:
    set_clock(seconds, at)
    try:
        yield
    finally:
        set_clock(0)


@contextmanager
def _upkeep_meanwhile(lake: Lake, seconds: int) -> Iterator[None]:
    """Between the data files and their commit, the clock jumps and upkeep runs, with a grace of a day."""
    real = Lake.commit

    def commit(own: Lake, name: str, attempt: Any) -> Any:
        with _wrong(seconds, 1):
            list(maintain(lake, RetentionSpec(trials=None), timedelta(days=1)))
        return real(own, name, attempt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "commit", commit)
        yield


def by_a_wrong_clock() -> Iterator[Trial]:
    """The clock jumps at each tenth reading of a publication, or upkeep runs by a wrong clock before the commit."""
    with _home() as place:
        own = CatalogSettings(
            type="sql", uri=f"sqlite:///{place}/catalog.db", warehouse_uri=f"file://{place}/warehouse"
        )
        faults: list[Fault] = [
            (f"clock {name}, at reading {at}", lambda seconds=seconds, at=at: _wrong(seconds, at))
            for name, seconds in clocks.JUMPS.items()
            for at in range(1, 120, 10)
        ]
        yield from _tried(lambda name: _lake(name, own), faults, "a publication by a wrong clock")
        clock.note(settings().home_path)  # as each stage does when it begins
        shop = _lake("kept", own)
        time.sleep(0.01)
        faults = [
            (f"upkeep with the clock {name}", lambda seconds=seconds: _upkeep_meanwhile(shop, seconds))
            for name, seconds in clocks.JUMPS.items()
        ] * 6
        yield from _tried(lambda _: shop, faults[:_A_TABLE], "upkeep by a wrong clock during a publication")
