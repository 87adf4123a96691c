"""The catalog in a database: each metadata file is read once, and what others commit is seen."""

from pathlib import Path

import pytest
from pyiceberg.io.pyarrow import PyArrowFile
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.lake.lake import Lake


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the metadata files that are read, in order."""
    names: list[str] = []
    original = PyArrowFile.open

    def noted(file: PyArrowFile, seekable: bool = True):  # type: ignore[no-untyped-def]
        if file.location.endswith(".metadata.json"):
            names.append(file.location)
        return original(file, seekable)

    monkeypatch.setattr(PyArrowFile, "open", noted)
    return names


def test_a_metadata_file_is_read_once(lake: Lake, read: list[str]) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    read.clear()

    for reader, times in ((lake, 0), (Lake(settings(), "shop"), 1)):
        for _ in range(3):
            assert set(reader.partitions("items")) == {DAY1}
            assert reader.lineage("items").maker(DAY1)
        assert len(read) == times, "its writer knows what it wrote"


def test_what_a_commit_wrote_is_what_others_read(lake: Lake) -> None:
    for day in (DAY1, DAY2):
        lake.publish(ITEMS, rows([day]), [day], provenance())
    assert lake.table("items").metadata == Lake(settings(), "shop").table("items").metadata


def test_what_another_process_commits_is_seen(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert set(lake.partitions("items")) == {DAY1}

    Lake(settings(), "shop").publish(ITEMS, rows([DAY2]), [DAY2], provenance())
    assert set(lake.partitions("items")) == {DAY1, DAY2}


def test_a_commit_changes_no_table_that_was_loaded_before(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    before, snapshot = lake.table("items"), lake.snapshot_id("items")
    lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance())

    found = before.current_snapshot()
    assert found
    assert found.snapshot_id == snapshot != lake.snapshot_id("items")


def test_a_metadata_file_that_is_gone_is_damage(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    Path(lake.table("items").metadata_location.removeprefix("file://")).unlink()

    with pytest.raises(DamagedError, match="metadata file is missing"):
        lake.table("items")
