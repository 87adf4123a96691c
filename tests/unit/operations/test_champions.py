"""``contrail champions``: which version was champion on a day."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.unit.cli.test_cli import run

from contrail.lake.model_history import AliasMove, append_moves
from contrail.lake.provenance import Provenance
from contrail.operations import champions

Shell = tuple[pytest.MonkeyPatch, pytest.CaptureFixture[str]]


@pytest.fixture
def shell(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[pytest.MonkeyPatch, pytest.CaptureFixture[str]]:
    """Version 1 for partitions from 10 February; version 2 from 1 March, made champion on 5 March."""
    monkeypatch.setattr(champions, "alias_version", lambda *_: "2")
    made = (("1", None, date(2024, 2, 10), datetime(2024, 2, 11, tzinfo=UTC)),)
    made += (("2", "1", date(2024, 3, 1), datetime(2024, 3, 5, 12, tzinfo=UTC)),)
    for version, before, since, moved_at in made:
        move = AliasMove("champion", before, version, since, moved_at, f"reason {version}", "ann", f"run-{version}")
        append_moves(toy.lake, toy.spec, [move], Provenance(f"run-{version}", "promote", "", "", ""))
    return monkeypatch, capsys


def champion(shell: Shell, *arguments: str) -> str:
    code, out, _ = run(*shell, "champions", "-p", "toy", "--json", *arguments)
    assert code == 0
    return str(json.loads(out)["version_after"])


def test_the_champion_of_a_partition_and_of_a_calendar_day_differ(shell: Shell) -> None:
    assert champion(shell, "--on", "2024-03-02") == "2"
    assert champion(shell, "--on", "2024-03-02", "--clock") == "1"
    assert champion(shell, "--on", "2024-03-05", "--clock") == "2"
    assert champion(shell, "--on", "2024-02-29") == "1"


def test_every_move_is_listed_with_person_and_reason(shell: Shell) -> None:
    _, out, err = run(*shell, "champions", "-p", "toy")
    assert all(part in out for part in ("2024-02-10", "2024-03-05 12:00:00", "ann", "reason 2", "run-2"))
    assert "outside Contrail" not in err


def test_before_the_first_champion_it_says_which_was_first(shell: Shell) -> None:
    code, _, err = run(*shell, "champions", "-p", "toy", "--on", "2024-02-09")
    assert code == 3
    assert "no champion for partition 2024-02-09: the first was version 1, for partitions from 2024-02-10" in err
    code, _, err = run(*shell, "champions", "-p", "toy", "--on", "soon")
    assert code == 2
    assert "Write it as YYYY-MM-DD" in err


@pytest.mark.parametrize(
    ("clock", "first"),
    [
        (False, "version 2, for partitions from 2024-01-01, made champion at 2024-03-05 00:00 UTC"),
        (True, "version 1, for partitions from 2024-02-10, made champion at 2024-02-11 00:00 UTC"),
    ],
)
def test_the_first_champion_of_the_partitions_may_have_been_made_later(clock: bool, first: str) -> None:
    moves = [
        AliasMove("champion", before, version, since, datetime(2024, month, day, tzinfo=UTC), "", "ann", "r")
        for version, before, since, month, day in (
            ("1", None, date(2024, 2, 10), 2, 11),
            ("2", "1", date(2024, 1, 1), 3, 5),
        )
    ]
    with pytest.raises(champions.MissingInputError, match=f"the first was {first}"):
        champions.champion_of("toy", moves, "2023-12-31", clock)


def test_an_alias_that_was_moved_in_mlflow_is_told(shell: Shell) -> None:
    shell[0].setattr(champions, "alias_version", lambda *_: "7")
    _, _, err = run(*shell, "champions", "-p", "toy")
    assert "version 7 is champion; the last recorded move was to 2" in err


def test_without_any_record_it_says_what_to_run(toy_home: Path) -> None:
    with pytest.raises(champions.MissingInputError, match=r"no move is recorded\. Run: contrail promote"):
        champions.champion_of("toy", [], "2024-01-01")
