"""A clock that was set forward makes nothing old before its time."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from upath import UPath

from contrail import clock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGAN = 1_700_000_000.0


class Machine:
    """A machine whose clock can be set. ``passed`` is in seconds since its start."""

    def __init__(self) -> None:
        self.passed, self.ahead = 1000.0, BEGAN

    def wait(self, span: timedelta) -> None:
        self.passed += span.total_seconds()

    def set(self, span: timedelta) -> None:
        self.ahead += span.total_seconds()

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.ahead + self.passed, UTC)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    fake = SimpleNamespace(
        CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        clock_gettime=lambda _: made.passed,
        time=lambda: made.ahead + made.passed,
    )

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return made.now

    monkeypatch.setattr(clock, "time", fake)
    monkeypatch.setattr(clock, "datetime", Datetime)
    return made


def test_a_right_clock_is_believed(machine: Machine, tmp_path: Path) -> None:
    for _ in range(5):
        assert clock.ago(tmp_path, DAY) == machine.now - DAY
        machine.wait(HOUR)
    assert len(clock.note(tmp_path)) == 1


@pytest.mark.parametrize("jump", [HOUR, DAY, 3650 * DAY])
def test_what_was_written_before_the_clock_was_set_forward_is_as_old_as_it_is(
    machine: Machine, tmp_path: Path, jump: timedelta
) -> None:
    clock.note(tmp_path)
    machine.wait(2 * DAY)
    written = machine.now  # by a run that began a minute ago, and will commit in another one
    machine.wait(timedelta(minutes=1))
    machine.set(jump)
    assert clock.ago(tmp_path, DAY) < written
    machine.wait(DAY - timedelta(minutes=5))
    assert clock.ago(tmp_path, DAY) < written
    machine.wait(timedelta(hours=2))
    assert clock.ago(tmp_path, DAY) == machine.now - DAY, "the run's day is over, and the new clock holds"


def test_a_clock_that_was_set_back_keeps_more(machine: Machine, tmp_path: Path) -> None:
    clock.note(tmp_path)
    machine.set(-DAY)
    assert clock.ago(tmp_path, HOUR) == machine.now - HOUR
    machine.set(DAY)
    machine.wait(timedelta(minutes=10))
    assert clock.ago(tmp_path, HOUR) == machine.now - HOUR - DAY


def test_small_corrections_are_no_other_clock(machine: Machine, tmp_path: Path) -> None:
    for _ in range(100):
        machine.wait(HOUR)
        machine.set(timedelta(seconds=0.4))
        clock.note(tmp_path)
    assert len(clock.note(tmp_path)) == 1


def test_a_note_that_is_damaged_or_cannot_be_written_stops_nobody(machine: Machine, tmp_path: Path) -> None:
    clock.note(tmp_path)
    (path,) = (tmp_path / "locks").iterdir()
    for damaged in ("", "{", "[1]", json.dumps([["a", "b"]])):
        path.write_text(damaged)
        assert clock.ago(tmp_path, HOUR) == machine.now - HOUR
    (tmp_path / "file").touch()
    assert clock.ago(tmp_path / "file", HOUR) == machine.now - HOUR


def test_a_store_is_asked_for_its_own_time(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UPath("memory://store/staging")
    there = machine.now - 3 * DAY
    monkeypatch.setattr(folder.fs.__class__, "modified", lambda *_: there)
    assert clock.ago(tmp_path, HOUR, folder, UPath(tmp_path)) == there - HOUR
    assert folder.fs.find("/store") == []


def test_what_a_killed_upkeep_left_in_a_store_goes_with_the_next(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, now = UPath("memory://killed/staging"), machine.now
    ages = {".clock.old": 2 * HOUR, ".clock.young": HOUR / 60, "rows": 100 * DAY}
    for name in ages:
        (folder / name).write_bytes(b"")
    monkeypatch.setattr(
        folder.fs.__class__, "modified", lambda _, path: now - ages.get(path.rpartition("/")[2], timedelta(0))
    )
    clock.ago(tmp_path, HOUR, folder)
    assert sorted(path.name for path in folder.iterdir()) == [".clock.young", "rows"], "another upkeep asks just now"
