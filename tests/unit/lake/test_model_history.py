from datetime import UTC, date, datetime, timedelta

from tests.conftest import Toy

from contrail.lake.model_history import AliasMove, append_moves, at_clock, in_effect, read_moves

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def move(version: str, effective_from: str, hours: int = 0, alias: str = "champion", run: str = "r") -> AliasMove:
    moved_at = START + timedelta(hours=hours)
    return AliasMove(alias, None, version, date.fromisoformat(effective_from), moved_at, "why", "ann", run, 0.5)


def test_moves_come_back_as_they_were_made_in_their_order(toy: Toy) -> None:
    assert read_moves(toy.lake) == []
    first, second = move("1", "2024-02-10", run="a"), move("2", "2024-02-01", 1, run="b")
    other = move("2", "2024-02-01", 2, alias="challenger", run="b")
    provenance = toy.stage_run("promote", "2024-02-01").provenance({})
    for moves in ([first], [second, other]):
        append_moves(toy.lake, toy.spec, moves, type(provenance)(moves[0].run_id, "promote", "", "", ""))
    assert read_moves(toy.lake) == [first, second, other]
    assert read_moves(toy.lake, "champion") == [first, second]


def test_the_same_run_again_records_once_and_keeps_others_of_the_same_partition(toy: Toy) -> None:
    provenance = toy.stage_run("promote", "2024-02-01").provenance({})
    for run in ("a", "b", "b"):
        append_moves(toy.lake, toy.spec, [move("1", "2024-02-10", run=run)], type(provenance)(run, "p", "", "", ""))
    assert [found.run_id for found in read_moves(toy.lake)] == ["a", "b"]


def test_the_last_move_that_reaches_a_partition_decides() -> None:
    moves = [move("1", "2024-02-01"), move("2", "2024-02-10", 1), move("3", "2024-02-20", 2)]
    versions = [in_effect(moves, date(2024, *day)) for day in ((1, 31), (2, 1), (2, 10), (2, 19), (2, 20))]
    assert [found and found.version_after for found in versions] == [None, "1", "2", "2", "3"]
    rolled_back = [*moves, move("1", "2024-02-10", 3)]
    assert [getattr(in_effect(rolled_back, date(2024, 2, day)), "version_after", None) for day in (9, 10, 25)] == [
        "1",
        "1",
        "1",
    ]


def test_by_the_clock_only_the_moment_of_the_move_counts() -> None:
    moves = [move("1", "2024-02-01"), move("2", "2024-02-10", 1), move("1", "2024-02-10", 3)]
    found = [at_clock(moves, START + timedelta(hours=hours)) for hours in (-1, 0, 2, 3)]
    assert [entry and entry.version_after for entry in found] == [None, "1", "2", "1"]
