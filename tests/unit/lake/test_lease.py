"""The lease of a pipeline's models: one holder, which may die, and which may be slow."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import Toy

from contrail.errors import EngineError
from contrail.lake import lease
from contrail.lake.lake import Lake
from contrail.lake.lease import LENGTH, Holder, Leases, LeaseState


@pytest.fixture
def leases(toy: Toy) -> Leases:
    return Leases(toy.settings, "toy")


def held_on_another_machine(leases: Leases, until: datetime, left: str = "") -> None:
    since = datetime(2024, 3, 1, 12, tzinfo=UTC)
    holder = Holder(token="theirs", place="there", run_id="r1", what="promote by ann", since=since, until=until)
    leases.write(lambda _: LeaseState(holder=holder, left=left))


def now() -> datetime:
    return datetime.now(UTC)


def test_a_lease_is_free_before_it_and_after_it_and_its_table_is_no_table_of_the_pipeline(leases: Leases) -> None:
    assert leases.read() == LeaseState()
    with leases.held("r1", "promote by ann") as held:
        holder = leases.read().holder
        assert holder is not None
        assert (holder.run_id, holder.what, holder.token) == ("r1", "promote by ann", held.token)
    assert leases.read() == LeaseState()
    assert Lake(leases.settings, "toy").table_names() == []


def test_what_is_left_outlasts_the_holder(leases: Leases) -> None:
    with leases.held("r1", "x") as held:
        held.keep("half")
    with leases.held("r2", "y") as held:
        assert held.left() == "half"
        held.keep("")
    assert leases.read() == LeaseState()


def test_two_of_one_machine_do_not_hold_it_at_once(leases: Leases) -> None:
    with leases.held("r1", "promote by ann"):
        other = Leases(leases.settings, "toy").held("r2", "promote by bob")
        with pytest.raises(EngineError, match=r"promote by ann \(run r1, since .* is changing the models") as refused:
            other.__enter__()
        assert refused.value.exit_code == 75
        with Leases(leases.settings, "other").held("r2", "another pipeline"):
            pass


def test_another_machine_waits_until_the_lease_ends(leases: Leases) -> None:
    held_on_another_machine(leases, now() + timedelta(minutes=9))
    with pytest.raises(EngineError, match=r"Should it be dead, its lease ends at \d\d:\d\d:\d\d UTC"):
        leases.held("r2", "y").__enter__()
    held_on_another_machine(leases, now() - timedelta(seconds=1), "half")
    with leases.held("r2", "y") as held:
        assert held.left() == "half"


def test_a_lease_from_a_clock_that_was_wrong_does_not_block_for_ever(leases: Leases) -> None:
    held_on_another_machine(leases, now() + 3 * LENGTH)
    with leases.held("r2", "y") as held:
        assert held.left() == ""


def test_who_was_taken_for_dead_stops_before_its_next_step(leases: Leases) -> None:
    with leases.held("r1", "x") as held:
        held_on_another_machine(leases, now() + LENGTH, "theirs")
        for step in (held.left, lambda: held.keep("mine")):
            with pytest.raises(EngineError, match=r"no longer holds the lease .* promote by ann \(run r1, since 2024"):
                step()
    state = leases.read()
    assert state.holder is not None
    assert (state.holder.token, state.left) == ("theirs", "theirs"), "returning a lost lease takes nothing away"


def test_each_step_renews_the_lease(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    with leases.held("r1", "x") as held:
        later = now() + timedelta(minutes=8)
        monkeypatch.setattr(lease, "_now", lambda: later)
        held.keep("half")
        holder = leases.read().holder
        assert holder is not None
        assert holder.until == later + LENGTH


def test_of_two_that_take_it_from_the_same_state_one_gets_it(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrail.lake.conflicts._TURN_SECONDS", 0)  # another machine is not in this machine's line
    with leases.held("r1", "x"):
        pass
    seen: list[LeaseState] = []

    def take(state: LeaseState) -> LeaseState:
        seen.append(state)
        if len(seen) == 1:  # another machine commits between our read and our commit
            held_on_another_machine(leases, now() + LENGTH)
        return state.model_copy(update={"left": "mine"})

    leases.write(take)
    assert [state.holder and state.holder.token for state in seen] == [None, "theirs"]


def test_a_lease_keeps_few_snapshots(leases: Leases) -> None:
    for _ in range(30):
        leases.write(lambda state: state)
    assert len(leases._tables.table("toy").snapshots()) <= 24
