"""Old landed files that came too late, of any kind: they are named, and hold nothing up."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.landed import landed_path

from contrail.adapters.landed_files import LandingFolder
from contrail.lake import readers
from contrail.operations.backfill import Backfills
from contrail.operations.late_files import older_files, published_days
from contrail.partitions import Partitions

OLD, ON = "2024-01-02", "2024-01-20"
MADE: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_file_is_named_and_not_opened(toy: Toy, kind: str) -> None:
    toy.land("2024-01-01", "2024-01-04")
    toy.run("ingest", "2024-01-01", "2024-01-04")
    path = landed_path(toy, "parcels", OLD)
    path.unlink()
    MADE[kind](path)
    backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
    first, on = Partitions.parse("2024-01-04").start, Partitions.parse(ON).start
    told = older_files(backfills, published_days(backfills, "raw"), first, on)
    (line,) = told
    assert f"parcels/{OLD}.csv.gz came too late" in line


def test_a_day_in_the_lake_is_known_by_its_digests_and_its_rows_are_not_held(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.land("2024-01-01", "2024-01-04")
    toy.run("ingest", "2024-01-01", "2024-01-04")
    backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
    first, on = Partitions.parse("2024-01-04").start, Partitions.parse(ON).start
    raw = published_days(backfills, "raw")

    def refused(_: object, name: str, *__: object) -> None:
        raise AssertionError(f"all rows of {name} at once")

    monkeypatch.setattr(readers, "scan", refused)
    assert older_files(backfills, raw, first, on) == []
    landed_path(toy, "parcels", OLD).write_bytes(landed_path(toy, "parcels", "2024-01-03").read_bytes())
    (line,) = older_files(backfills, raw, first, on)
    assert f"parcels/{OLD}.csv.gz came too late" in line


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ESTALE, False), (errno.EMFILE, False), (errno.ETIMEDOUT, False), (errno.EIO, True)]
)
def test_a_fault_of_the_machine_makes_no_file_late(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, number: int, told: bool
) -> None:
    toy.land("2024-01-01", "2024-01-04")
    backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
    first, on = Partitions.parse("2024-01-04").start, Partitions.parse(ON).start
    raw = {"parcels": published_days(backfills, "raw")["parcels"]}

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LandingFolder, "look", fails)
    if told:
        (line,) = older_files(backfills, raw, first, on)
        assert "parcels/2024-01-01.csv.gz to 2024-01-03.csv.gz came too late" in line
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            older_files(backfills, raw, first, on)
