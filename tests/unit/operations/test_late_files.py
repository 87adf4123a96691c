"""Old landed files that came too late, of any kind: they are named, and hold nothing up."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.landed import landed_path

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
