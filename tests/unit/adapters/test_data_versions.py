import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from contrail.adapters import data_versions
from contrail.adapters.data_versions import add_and_push, fetch, objects
from contrail.config.settings import Settings, settings
from contrail.errors import DataError, MissingInputError


@pytest.fixture
def current(home) -> Settings:
    return settings()


@pytest.fixture
def landed(current) -> Path:
    folder = current.home_path / "landing" / "toy"
    folder.mkdir(parents=True)
    for day in range(3):
        (folder / f"{day}.csv").write_text(f"a\n{day}\n")
    return folder


def test_a_file_and_a_folder_are_versioned_and_pushed(current, landed):
    file = current.home_path / "training_sets" / "rows.parquet"
    file.parent.mkdir()
    file.write_bytes(b"rows")
    hashes = add_and_push(current, [file, landed])
    assert hashes[file] == "df347a373b8f92aa0ae3dd920a5ec2f6"  # md5 of b"rows"
    assert hashes[landed].endswith(".dir")
    remote = Path(current.data_versions_remote_uri) / "files" / "md5"
    assert (remote / "df" / "347a373b8f92aa0ae3dd920a5ec2f6").read_bytes() == b"rows"
    assert len(list(remote.rglob("*.dir"))) == 1


def test_the_files_stay_where_they_are_and_writable(current, landed):
    add_and_push(current, [landed])
    (landed / "0.csv").write_text("mended")
    assert (landed / "1.csv").read_text() == "a\n1\n"


def test_the_same_content_has_the_same_version_and_a_new_file_another(current, landed):
    first = add_and_push(current, [landed])[landed]
    assert add_and_push(current, [landed])[landed] == first
    (landed / "3.csv").write_text("a\n3\n")
    assert add_and_push(current, [landed])[landed] != first


def test_dvc_reads_no_file_of_the_lake(current, landed):
    add_and_push(current, [landed])
    partition = current.home_path / "lake" / "partition_date=2024-01-01"
    partition.mkdir(parents=True)
    (partition / "odd.dvc").write_text("no file of DVC's: [")
    (landed / "3.csv").write_text("a\n3\n")
    assert add_and_push(current, [landed])[landed].endswith(".dir")


def test_an_older_version_comes_back_by_its_hash_from_the_remote(current):
    file = current.home_path / "rows.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"first")
    first = add_and_push(current, [file])[file]
    file.write_bytes(b"second")
    add_and_push(current, [file])
    cache = current.home_path / ".dvc" / "cache"
    cache.rename(cache.with_name("gone"))
    assert fetch(current, first, current.home_path / "back" / "rows").read_bytes() == b"first"


def test_an_unknown_version_and_a_damaged_one_are_told_apart(current):
    file = current.home_path / "rows.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"first")
    md5 = add_and_push(current, [file])[file]
    with pytest.raises(MissingInputError, match="f" * 32):
        fetch(current, "f" * 32, current.home_path / "back")
    for kept in current.home_path.rglob(md5[2:]):
        kept.chmod(0o644)
        kept.write_bytes(b"other")
    with pytest.raises(DataError, match="is damaged"):
        fetch(current, md5, current.home_path / "back")


def test_dvc_calls_nobody_and_keeps_its_caches_in_the_home(current, landed):
    add_and_push(current, [landed])
    config = (current.home_path / ".dvc" / "config").read_text()
    assert "analytics = False" in config
    assert (current.home_path / ".dvc" / "site").is_dir()


def only(current: Settings) -> Path:
    file = current.home_path / "rows.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"rows")
    return file


MD5 = "df347a373b8f92aa0ae3dd920a5ec2f6"


@pytest.mark.parametrize("torn", [b"", b'{"write": {"a', b"[]"])
def test_a_torn_lock_of_a_killed_run_is_removed(current, torn):
    file = only(current)
    add_and_push(current, [file])
    (current.home_path / ".dvc" / "tmp" / "rwlock").write_bytes(torn)
    assert add_and_push(current, [file]) == {file: MD5}


def test_a_lock_that_can_be_read_is_dvcs_own(current):
    file = only(current)
    add_and_push(current, [file])
    busy = {"read": {}, "write": {str(file): {"pid": os.getpid(), "cmd": "dvc add"}}}
    (current.home_path / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(busy))
    data_versions._drop_torn_lock(current.home_path / ".dvc" / "tmp" / "rwlock")
    assert json.loads((current.home_path / ".dvc" / "tmp" / "rwlock").read_text()) == busy


def empty_folder(dvc: Path) -> None:
    dvc.mkdir()


def empty_config(dvc: Path) -> None:
    dvc.mkdir()
    (dvc / "config").touch()


def torn_config(dvc: Path) -> None:
    dvc.mkdir()
    (dvc / "config").write_text("[core]\n    analytics = False\n[rem")


@pytest.mark.parametrize("left", [empty_folder, empty_config, torn_config])
def test_a_half_made_repository_is_mended(current, left):
    file = only(current)
    left(current.home_path / ".dvc")
    assert add_and_push(current, [file]) == {file: MD5}
    assert "analytics = False" in (current.home_path / ".dvc" / "config").read_text()


def version_and_die(step: int) -> None:
    """Die at a step of the first versioning: at the making, moving, opening or removing of a file of the home."""
    home, count = str(settings().home_path), 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link"):
            return
        if str(arguments[0]).startswith(home):
            count += 1
            if count == step:
                os._exit(9)

    sys.addaudithook(watch)
    add_and_push(settings(), [only(settings())])


@pytest.mark.parametrize("step", [3, 6, 9, 13, 18, 25, 35, 50])
def test_a_first_versioning_that_is_killed_is_done_by_the_next(current, step):
    import dvc.repo  # noqa: F401

    child = multiprocessing.get_context("fork").Process(target=version_and_die, args=(step,))
    child.start()
    child.join()
    assert child.exitcode == 9
    file = only(current)
    assert add_and_push(current, [file]) == {file: MD5}


def version(name: str) -> None:
    file = settings().home_path / name
    file.write_bytes(b"rows")
    assert add_and_push(settings(), [file]) == {file: MD5}


def test_four_that_begin_at_once_all_version_their_files(current):
    current.home_path.mkdir(parents=True)
    children = [multiprocessing.get_context("fork").Process(target=version, args=(f"{n}.parquet",)) for n in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4


def test_a_sandbox_fetches_what_the_main_lake_has_and_owns_none_of_it(current: Settings, landed: Path) -> None:
    md5 = add_and_push(current, [landed / "0.csv"])[landed / "0.csv"]
    own = current.inside("deeper")
    assert fetch(own, md5, current.home_path / "fetched").read_text() == "a\n0\n"
    assert list(objects(own)) == []
    with pytest.raises(MissingInputError, match=rf"no data with MD5 {'0' * 32} in .*deeper.* or "):
        fetch(own, "0" * 32, current.home_path / "none")


class PowerCutError(Exception):
    """The machine is gone."""


@pytest.mark.parametrize("torn", ["all", "files of a folder"])
@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_a_copy_that_a_power_cut_tore_is_made_again(current, landed, monkeypatch, what, torn):
    """DVC takes what has the name for whole, and would put it in the place of the new file."""
    path = only(current) if what == "a file" else landed

    def cut(*_: object) -> None:
        for copy in map(Path, map(str, objects(current))):
            if torn == "all" or copy.suffix != ".dir":
                copy.chmod(0o600)
                copy.write_bytes(b"")
        raise PowerCutError

    with monkeypatch.context() as patched, pytest.raises(PowerCutError):
        patched.setattr(data_versions, "on_disk", cut)
        add_and_push(current, [path])
    only(current)
    for day in range(3):
        (landed / f"{day}.csv").write_text(f"a\n{day}\n")
    found = add_and_push(current, [path])[path]
    assert only(current).read_bytes() == b"rows" and (landed / "2.csv").read_text() == "a\n2\n"
    copies = {copy.parent.name + copy.stem: data_versions._md5(Path(copy)) for copy in objects(current)}
    assert copies == {name: name for name in copies} and found.removesuffix(".dir") in copies
    cache, remote = (sorted(copy.name for copy in folder.glob("*/*")) for folder in data_versions.folders(current))
    assert cache == remote and len(cache) == (1 if what == "a file" else 4)


def test_dvcs_new_copies_are_on_the_disk_before_anything_names_them(current, landed, monkeypatch):
    seen: list[set[str]] = []
    monkeypatch.setattr(data_versions, "on_disk", lambda paths: seen.append({path.name for path in paths}))
    add_and_push(current, [landed, only(current)])
    assert {MD5[2:], "rows.parquet"} <= seen[0] and len(seen[0]) >= 5
    assert "0.csv" not in seen[0], "a feed may change it meanwhile"
    add_and_push(current, [landed, only(current)])
    assert len(seen[1]) < len(seen[0]), "what has been there for long is not flushed again"
