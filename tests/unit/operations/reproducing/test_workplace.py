"""The scratch folder of a reproduction, and an environment of a kept lock."""

from pathlib import Path

import pytest
from tests.unit.operations.reproducing.test_comparing import RECORD

from contrail.config.settings import settings
from contrail.errors import EngineError, MissingInputError
from contrail.operations.reproducing.workplace import fetch_rows, install, scratch_folder


def test_what_a_killed_run_left_goes_and_the_rest_of_the_folder_stays(home: Path) -> None:
    left, other = home / "tmp" / f"reproduce-{'0' * 32}", home / "tmp" / "rows-1"
    for folder in (left, other):
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_text("rows")
    with scratch_folder(settings()) as scratch:
        assert scratch.is_dir()
        assert not left.exists()
    assert [*(home / "tmp").iterdir()] == [other]


def test_an_error_leaves_no_scratch_folder(home: Path) -> None:
    with pytest.raises(ValueError, match="mine"), scratch_folder(settings()):
        raise ValueError("mine")
    assert not [*(home / "tmp").iterdir()]


def test_rows_that_are_gone_from_the_remote_say_who_may_have_removed_them(home: Path, tmp_path: Path) -> None:
    _, why = fetch_rows(settings(), RECORD, tmp_path)
    assert why is not None
    assert "no data with MD5 00000" in why
    assert "`forget` removes a training set" in why


def test_a_lock_is_installed_into_an_environment_of_its_own(tmp_path: Path) -> None:
    python = install("# nothing is needed\n", tmp_path, lambda _: None)
    assert python.is_relative_to(tmp_path)
    assert python.exists()


def test_a_lock_that_is_lost_or_cannot_be_installed_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingInputError, match="git fetch --unshallow"):
        install(None, tmp_path, lambda _: None)
    monkeypatch.setenv("UV_OFFLINE", "1")
    lock = f"no-such-library-anywhere==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
    with pytest.raises(EngineError, match=r"uv could not install the kept lock: (?s:.*)Run it again with a network"):
        install(lock, tmp_path, lambda _: None)
