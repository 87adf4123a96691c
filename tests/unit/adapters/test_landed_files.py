"""What is read of a landing folder: regular files inside it, and nothing that could block or lead out."""

import errno
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from upath import UPath

from contrail.adapters.landed_files import first_irregular, open_folder
from contrail.config.file_names import FileNames
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError

DAILY = FileNames("{date}.csv.gz", daily=True)
NAME, SECRET = "2024-02-20.csv.gz", "the secret"


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    """A pipeline's landing folder with a table's, and a secret beside it."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "landing" / "parcels").mkdir(parents=True)
    return tmp_path / "landing"


def read(zone: Path, limits: FileLimits | None = None) -> bytes:
    folder = open_folder(UPath(zone), "parcels", DAILY)
    (path,) = folder.deliveries["2024-02-20"]
    file = folder.look(path, limits or FileLimits())
    folder.check_sums(file)
    with file.open() as stream:
        return stream.read()


def bind(path: Path) -> None:
    """Make a socket. Its path may be too long, so it is made where it is to lie."""
    before = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(before)


MADE: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (lambda path: os.mkfifo(path), "is a pipe"),
    "socket": (bind, "is a socket"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "a link that leads to nothing"),
    "link to itself": (lambda path: path.symlink_to(path.name), "a link that leads to itself"),
    "link to a secret": (lambda path: path.symlink_to("../../secret"), "a link that leads out of the landing zone"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "a link that leads out of the landing zone"),
    "link to a folder": (lambda path: path.symlink_to("."), "is a folder"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_file_is_refused_unopened(zone: Path, kind: str) -> None:
    make, words = MADE[kind]
    make(zone / "parcels" / NAME)
    with pytest.raises(StructureError, match=words) as caught:
        read(zone)
    assert caught.value.rule == "not_a_file" and SECRET not in caught.value.detail


def test_a_link_within_the_zone_is_followed(zone: Path) -> None:
    (zone / "parcels" / "_incoming").write_bytes(b"content")
    (zone / "parcels" / NAME).symlink_to("_incoming")
    assert read(zone) == b"content"


def test_a_pipe_that_takes_a_files_place_does_not_block(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zone / "parcels" / NAME
    path.write_bytes(b"content")
    before = os.lstat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "lstat", lambda _: before)
    with pytest.raises(StructureError, match="is a pipe"):
        read(zone)


@pytest.mark.parametrize("kind", MADE)
def test_the_first_thing_that_is_no_regular_file_is_named(zone: Path, kind: str) -> None:
    path = zone / "parcels" / NAME
    (zone / "parcels" / "right").write_bytes(b"content")
    (zone / "parcels" / "linked").symlink_to("right")
    MADE[kind][0](path)
    assert first_irregular(UPath(zone)) == (None if kind == "folder" else str(path))


@pytest.mark.parametrize("call", ["lstat", "scandir"])
def test_a_machine_that_cannot_look_says_nothing_of_what_lies_there(
    zone: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (zone / "parcels" / NAME).write_bytes(b"content")

    def fails(path: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        first_irregular(UPath(zone))


def test_what_goes_while_a_zone_is_looked_through_is_nothing_irregular(
    zone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (zone / "depots").mkdir()
    (zone / "depots" / NAME).write_bytes(b"content")
    found = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: found("nowhere" if str(path).endswith("depots") else path))
    assert first_irregular(UPath(zone)) is None


@pytest.fixture
def nobody() -> Iterator[None]:
    """A user who may not read every file, as root may."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    yield
    with suppress(PermissionError):
        os.seteuid(0)


def test_a_file_without_rights_is_refused(nobody: None) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "parcels", NAME)
        path.parent.mkdir()
        path.touch(mode=0)
        with pytest.raises(StructureError, match="may not read"):
            read(Path(place))
        path.parent.chmod(0)
        (stray,) = open_folder(UPath(place), "parcels", DAILY).strays
        assert (stray.rule, stray.day) == ("unreadable", None)
        path.parent.chmod(0o700)


def test_a_file_of_many_bytes_is_refused_unread(zone: Path) -> None:
    with (zone / "parcels" / NAME).open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(StructureError, match="10,737,418,240 bytes, more than 268,435,456"):
        read(zone)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda path: path.write_text(""), "not_a_folder"),
        (lambda path: os.mkfifo(path), "not_a_folder"),
        (lambda path: path.symlink_to("nowhere"), "not_a_file"),
        (lambda path: path.symlink_to(path.name), "not_a_file"),
        (lambda path: path.symlink_to(path.parents[1]), "not_a_file"),
    ],
    ids=["file", "pipe", "link to nothing", "link to itself", "link out"],
)
def test_a_tables_folder_that_is_none_is_told(zone: Path, make: Callable[[Path], None], rule: str) -> None:
    (zone / "parcels").rmdir()
    make(zone / "parcels")
    folder = open_folder(UPath(zone), "parcels", DAILY)
    assert [(stray.rule, stray.day) for stray in folder.strays] == [(rule, None)] and not folder.deliveries


def test_a_folder_that_does_not_exist_is_empty(zone: Path) -> None:
    folder = open_folder(UPath(zone), "deliveries", DAILY)
    assert not folder.deliveries and not folder.strays


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT, errno.EIO])
@pytest.mark.parametrize("layout", [DAILY, FileNames("{date}/part-*.csv", daily=True)], ids=["files", "folders"])
def test_a_machine_that_cannot_list_a_folder_is_no_fault_of_the_folder(
    zone: Path, monkeypatch: pytest.MonkeyPatch, number: int, layout: FileNames
) -> None:
    def fails(folder: Path) -> Iterator[Path]:
        raise OSError(number, os.strerror(number), str(folder))

    monkeypatch.setattr(Path, "iterdir", fails)
    with pytest.raises(OSError, match=os.strerror(number)):
        open_folder(UPath(zone), "parcels", layout)


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_in_other_letters_is_told(zone: Path, exists: bool) -> None:
    (zone / "Parcels").mkdir()
    (zone / "PARCELS").mkdir()
    (zone / "depots").mkdir()
    if not exists:
        (zone / "parcels").rmdir()
    (stray,) = open_folder(UPath(zone), "parcels", DAILY).strays
    assert (stray.rule, stray.day) == ("misnamed_folder", None) and "'PARCELS', 'Parcels' beside" in stray.detail


def test_a_name_that_is_no_text_can_be_told(zone: Path) -> None:
    for name in (b"\xff.csv.gz", b"2024-02-20\n.csv.gz"):
        Path(os.fsdecode(os.fsencode(zone / "parcels") + b"/" + name)).touch()
    first, second = open_folder(UPath(zone), "parcels", DAILY).strays
    assert (first.name, second.name) == ("2024-02-20\\n.csv.gz", "\\udcff.csv.gz")
    assert all((stray.name + stray.detail).isprintable() for stray in (first, second))


def test_names_of_an_object_store_are_read_alike() -> None:
    zone = UPath("memory://landing/toy")
    (zone / "parcels" / "archive").mkdir(parents=True)
    for name in (NAME, "2024-02-20.CSV.gz"):
        (zone / "parcels" / name).write_bytes(b"content")
    folder = open_folder(zone, "parcels", DAILY)
    assert [stray.name for stray in folder.strays] == ["2024-02-20.CSV.gz", "archive"]
    with folder.look(folder.deliveries["2024-02-20"][0], FileLimits()).open() as stream:
        assert stream.read() == b"content"
    assert not open_folder(zone, "deliveries", DAILY).strays
    zone.fs.rm("/landing", recursive=True)


@pytest.mark.parametrize("place", ["disk", "memory://parts/toy"])
def test_folders_of_days_are_looked_into(tmp_path: Path, place: str) -> None:
    zone = UPath(tmp_path) if place == "disk" else UPath(place)
    for name in ("2024-02-20/part-1.parquet", "2024-02-20/part-2.parquet", "2024-02-21/part-1.parquet"):
        (zone / "parcels" / name).parent.mkdir(parents=True, exist_ok=True)
        (zone / "parcels" / name).write_bytes(b"content")
    layout = FileNames("{date}/part-*.parquet", daily=True)
    found = open_folder(zone, "parcels", layout)
    assert {day: len(paths) for day, paths in found.deliveries.items()} == {"2024-02-20": 2, "2024-02-21": 1}
    one = open_folder(zone, "parcels", layout, {"2024-02-21"})
    assert list(one.deliveries) == ["2024-02-21"] and not one.strays
    assert one.look(one.deliveries["2024-02-21"][0], FileLimits()).name == "2024-02-21/part-1.parquet"


def test_a_large_file_that_changes_while_it_is_read_is_refused(zone: Path) -> None:
    path = zone / "parcels" / NAME
    path.write_bytes(b"content")
    folder = open_folder(UPath(zone), "parcels", DAILY)
    file = folder.look(folder.deliveries["2024-02-20"][0], FileLimits())
    with pytest.raises(StructureError, match="changed while it was read"), file.open() as stream:
        path.write_bytes(b"other content")
        stream.read()
    with pytest.raises(StructureError, match="changed while it was read"), file.open():
        pass


@pytest.mark.parametrize("method", ["sha256", "md5"])
def test_a_checksum_beside_a_file_is_held(zone: Path, method: str) -> None:
    """So a file that lost its last member, which is whole by itself, is noticed."""
    content = b"first member" + b"second member"
    (zone / "parcels" / NAME).write_bytes(content)
    (zone / "parcels" / f"{NAME}.{method}").write_text(f"{hashlib.new(method, content).hexdigest().upper()}  {NAME}\n")
    assert read(zone) == content
    (zone / "parcels" / NAME).write_bytes(b"first member")
    with pytest.raises(StructureError, match=f"'{NAME}.{method}' says"):
        read(zone)
