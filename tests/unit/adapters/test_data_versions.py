from pathlib import Path

import pytest

from contrail.adapters.data_versions import add_and_push, fetch
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
