"""A change of models is one act: killed at any step, and twice at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.kills import dies_at, forked, home, in_home
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.operations.test_rollback_model import aliases, two_candidates

from contrail.adapters import mlflow_store, registry
from contrail.adapters.registry import CHALLENGER, CHAMPION
from contrail.config.settings import settings
from contrail.errors import DataError, EngineError
from contrail.lake.model_history import read_moves
from contrail.operations.rollback_model import plan_rollback, roll_back
from contrail.partitions import Partitions
from contrail.stages import changes
from contrail.stages.changes import AliasChange, Rescoring, Unfinished, changing, finish, scored_by, unfinished
from contrail.stages.runner import finish_changes, make_run, run_stage, scoring

DAYS = ("2024-02-27", "2024-03-01")


def run_of(run_id: str, stage: str = "promote") -> Any:
    return make_run(stage, "toy", Partitions.parse(*DAYS), run_id=run_id)


def make_champion(version: str, run_id: str) -> None:
    """What a promotion does after its judgement."""
    run = run_of(run_id)
    with changing(run) as held:
        entry = registry.describe_version(run.settings, "toy", version)
        held.apply(AliasChange(entry, (CHALLENGER, CHAMPION), date(2024, 2, 27), "passed"), "ann")


def take_back() -> None:
    """What ``contrail rollback-model`` does after its plan."""
    run = run_of("taken-back")
    plan = plan_rollback(run.pipeline, run.lake, "1")
    roll_back(plan, person="ann", reason="wrong feed", run_id="taken-back")


def champion_one(toy: Toy) -> None:
    two_candidates(toy)
    make_champion("1", "first")


def champion_two(toy: Toy) -> None:
    """Version 2 is champion, and has scored two ranges."""
    champion_one(toy)
    make_champion("2", "second")
    for start, end in (("2024-02-27", "2024-02-28"), ("2024-03-01", None)):
        toy.run("score", start, end)
    toy.run("score", "2024-02-29", model="1")


@pytest.fixture
def one(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(champion_one)


@pytest.fixture
def two(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(champion_two)


def tags() -> dict[str, str]:
    return {version: registry.describe_version(settings(), "toy", version).tags["status"] for version in ("1", "2")}


def history(toy: Toy) -> list[tuple[Any, ...]]:
    return [(m.alias, m.version_before, m.version_after, m.person, m.run_id) for m in read_moves(toy.lake)]


def scored(toy: Toy) -> dict[str, str]:
    days = {day: version for version in ("1", "2") for day in scored_by(toy.lake, version)}
    return {f"{day:%m-%d}": days[day] for day in sorted(days)}


def state(toy: Toy) -> dict[str, Any]:
    champion = registry.describe_version(settings(), "toy", CHAMPION)
    moved = [move.moved_at for move in read_moves(toy.lake, CHAMPION) if move.version_after == champion.version][-1]
    assert champion.tags["champion_from"] == moved.isoformat(timespec="seconds")
    assert unfinished(settings(), "toy") == Unfinished()
    return {"aliases": aliases(), "tags": tags(), "history": history(toy), "scored": scored(toy)}


PROMOTED = {
    "aliases": {"champion": "2", "challenger": "2"},
    "tags": {"1": "former champion", "2": "champion"},
    "history": [
        ("challenger", None, "1", "ann", "first"),
        ("champion", None, "1", "ann", "first"),
        ("challenger", "1", "2", "ann", "second"),
        ("champion", "1", "2", "ann", "second"),
    ],
    "scored": {},
}
TAKEN_BACK = {
    "aliases": {"champion": "1", "challenger": "1"},
    "tags": {"1": "champion", "2": "rolled back"},
    "history": [
        *PROMOTED["history"],
        ("challenger", "2", "1", "ann", "taken-back"),
        ("champion", "2", "1", "ann", "taken-back"),
    ],
    "scored": {"02-27": "1", "02-28": "1", "02-29": "1", "03-01": "1"},
}
# The lease is taken, then the change is written. Before that it has not begun.
_WRITTEN = 2


@pytest.mark.parametrize("step", range(1, 13))
def test_a_promotion_that_dies_at_any_step_is_ended_by_the_next_command(one: Toy, step: int) -> None:
    assert dies_at(step, make_champion, "2", "second") is (step < 12)
    finish_changes("status", one.pipeline)
    if step < _WRITTEN:
        assert history(one) == PROMOTED["history"][:2]
        make_champion("2", "second")
    assert state(one) == PROMOTED


@pytest.mark.parametrize("step", [2, 4, 9, 11, 12, 13, 14, 15, 17, 19, 21, 23])
def test_a_rollback_that_dies_at_any_step_is_ended_by_the_next_command(two: Toy, step: int) -> None:
    assert state(two)["scored"] == {"02-27": "2", "02-28": "2", "02-29": "1", "03-01": "2"}
    assert dies_at(step, take_back) is (step < 23)
    if step < _WRITTEN or (step % 2 and step < 15):
        take_back()  # the same command again
    else:
        finish_changes("status", two.pipeline)
    assert state(two) == TAKEN_BACK


def test_a_command_that_reads_models_ends_the_change_and_scores_with_the_new_champion(two: Toy) -> None:
    assert dies_at(3, take_back)
    lines: list[str] = []
    run_stage("score", "toy", Partitions.parse("2024-02-26"), progress=lines.append)
    assert lines[0] == "ended the change of models that another run of 'toy' had left"
    assert "scoring 2024-02-27..2024-02-28 again with version 1" in lines
    assert scored(two) == {"02-26": "1", **TAKEN_BACK["scored"]}


def test_what_cannot_be_scored_again_is_left_and_stops_nobody(two: Toy) -> None:
    assert dies_at(11, take_back)
    lines: list[str] = []
    with changing(run_of("none")) as held:
        (left,) = held.left.rescoring

    def fails(*_: Any) -> None:
        raise DataError("no features")

    finish(replace(run_of("status"), progress=lines.append), fails)
    assert lines[-1] == "the change of models that another run of 'toy' has left is not done: no features"
    assert unfinished(settings(), "toy").rescoring == (left,)
    run = run_of("later")
    finish(run, scoring(run))
    assert state(two) == TAKEN_BACK


def hold(left: bool, ready: Any) -> None:
    """Hold the lease until this process is killed."""
    run = run_of("elsewhere")
    with changing(run, "ann") as held:
        if left:
            held._keep(Unfinished(rescoring=(Rescoring(bad="2", to="1", partitions=("2024-02-27",)),)))
        ready.set()
        time.sleep(60)


@contextmanager
def held_elsewhere(left: bool = False) -> Iterator[Any]:
    forks = forked(__name__)
    ready = forks.Event()
    child = forks.Process(target=in_home, args=(home(), hold, left, ready))
    child.start()
    assert ready.wait(30)
    try:
        yield child
    finally:
        child.kill()
        child.join()


def test_one_process_at_a_time_changes_models_and_a_dead_one_does_not_block(one: Toy) -> None:
    with held_elsewhere() as child:
        with pytest.raises(EngineError, match=r"promote by ann \(run elsewhere, since .*\) is changing the models of"):
            make_champion("2", "second")
        assert history(one) == PROMOTED["history"][:2]
        child.kill()
        child.join()
        make_champion("2", "second")
    assert state(one) == PROMOTED


def test_a_reader_does_not_wait_for_a_living_change(one: Toy) -> None:
    lines: list[str] = []
    with held_elsewhere(left=True):
        finish_changes("status", one.pipeline, lines.append)
    assert "run elsewhere" in lines[0]


def test_a_version_that_is_deleted_meanwhile_ends_the_change(one: Toy) -> None:
    assert dies_at(2, make_champion, "2", "second")
    mlflow_store.client(settings()).delete_model_version("toy", "2")
    lines: list[str] = []
    finish_changes("status", one.pipeline, lines.append)
    assert "the alias challenger stays as it is: pipeline 'toy' has no model version 2" in lines[0]
    assert aliases() == {"champion": "1", "challenger": "1"}
    assert history(one) == PROMOTED["history"][:2]
    assert unfinished(settings(), "toy") == Unfinished()


def test_moves_are_in_order_after_the_clock_went_back(one: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    real = datetime

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "datetime":
            return real.now(tz) - timedelta(days=1)

    monkeypatch.setattr(changes, "datetime", Yesterday)
    make_champion("2", "second")
    assert history(one) == PROMOTED["history"]


def test_tags_are_set_from_where_the_aliases_point_whatever_they_were(one: Toy) -> None:
    for version, status in (("1", "candidate"), ("2", "champion")):
        registry.tag_version(settings(), registry.describe_version(settings(), "toy", version), {"status": status})
    make_champion("1", "again")
    assert tags() == {"1": "champion", "2": "former champion"}
    assert history(one) == PROMOTED["history"][:2]
