"""Files that are written whole: a reader sees all of one, or none."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest
from dvc_objects.fs.utils import tmp_fname as dvcs_name
from tests.conftest import FLUSH, PROJECT
from upath import UPath

from contrail import files
from contrail.files import is_unfinished, scratch, unfinished_beside, write_whole, written_whole

# Modules that write text where nobody looks until it is moved or logged, that append, or whose file is empty.
_STAGED = {
    "adapters/data_versions.py",
    "adapters/registry.py",
    "adapters/training_runs.py",
    "cli/unexpected.py",
    "clock.py",
    "dispatch/bootstrap.py",
    "dispatch/code.py",
    "files.py",
    "methods/model_package.py",
    "operations/new.py",
    "operations/reproducing/fitting.py",
    "operations/reproducing/refit.py",
    "operations/reproducing/workplace.py",
    "reports/contracts.py",
    "stages/model_cards.py",
    "stages/promotion/record.py",
    "stages/training/artifacts.py",
}


def test_what_people_read_is_written_whole() -> None:
    """A page or a record that is written in place can be read half, and stays half when its writer is killed."""
    package = Path(write_whole.__code__.co_filename).parent
    direct = re.compile(r"\.write_(text|bytes)\(")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if direct.search(path.read_text())}
    assert found - _STAGED == set()
    assert _STAGED - found == set(), "these write nothing in place any more"


def test_a_folder_that_may_not_be_emptied_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a home whose rights are lost the command's own error must reach its person."""

    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError

    for name in ("unlink", "rmdir", "chmod"):
        monkeypatch.setattr(os, name, forbidden)
    with pytest.raises(ValueError, match="no rights"), scratch("rows-", tmp_path) as folder:
        (folder / "rows").write_text("1")
        raise ValueError("no rights")


def test_nothing_uses_pythons_temporary_folders() -> None:
    """They recurse without end where a file may not be removed; a remote job's first file stands alone."""
    sources = [path for room in ("include/contrail", "plugins") for path in (PROJECT / room).rglob("*.py")]
    using = {path.name for path in sources if "TemporaryDirectory(" in path.read_text()}
    assert using == {"bootstrap.py"}


@pytest.mark.parametrize("name", ["運" * 78, "a" * 255, "é" * 120])
def test_a_name_of_any_length_can_wait_to_be_whole(tmp_path: Path, name: str) -> None:
    write_whole(UPath(tmp_path / name), b"1")
    assert unfinished_beside(tmp_path / name) != unfinished_beside(tmp_path / name)
    assert is_unfinished(unfinished_beside(tmp_path / name).name)
    assert is_unfinished(dvcs_name()) and is_unfinished(dvcs_name("rows"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", ["disk", "memory://written-whole"])
def test_a_file_of_any_size_appears_whole_or_not_at_all(tmp_path: Path, place: str) -> None:
    path = (UPath(tmp_path) if place == "disk" else UPath(place)) / "folder" / "name.bin"
    with written_whole(path) as stream:
        stream.write(b"first")
        assert not path.exists()
    with pytest.raises(ValueError, match="broken"), written_whole(path) as stream:
        stream.write(b"second")
        raise ValueError("broken")
    assert path.read_bytes() == b"first" and [each.name for each in path.parent.iterdir()] == ["name.bin"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_address_of_a_file_is_its_path(tmp_path: Path, scheme: str) -> None:
    write_whole(UPath(f"{scheme}{tmp_path}/new/page.html"), b"a page")
    with written_whole(UPath(f"{scheme}{tmp_path}/new/rows.csv")) as stream:
        stream.write(b"rows")
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {
        "page.html": b"a page",
        "rows.csv": b"rows",
    }


def test_a_folder_that_cannot_be_flushed_stops_nothing_and_a_file_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(files, "_flush", FLUSH)
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", refuse)
    files._flush(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        files.on_disk([tmp_path / "file"])


def test_what_is_written_whole_is_flushed_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    page = tmp_path / "page.html"
    monkeypatch.setattr(files, "_flush", lambda path: seen.append((path.name, page.exists())))
    write_whole(UPath(page), b"a page")
    assert [there for _, there in seen] == [False, True]
    assert is_unfinished(seen[0][0]) and seen[1][0] == tmp_path.name
