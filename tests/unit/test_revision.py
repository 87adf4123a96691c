"""The name of the code that ran."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contrail import revision


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "score.py").write_text("x = 1\n")
    monkeypatch.setattr(revision, "__file__", str(tmp_path / "revision.py"))
    revision.code_hash.cache_clear()
    yield tmp_path
    revision.code_hash.cache_clear()


def hashed() -> str:
    revision.code_hash.cache_clear()
    return revision.code_hash()


def test_the_code_hash_is_of_every_python_file_and_its_name(package: Path) -> None:
    first = hashed()
    (package / "notes.txt").write_text("not code")
    assert hashed() == first
    (package / "stages" / "score.py").rename(package / "stages" / "drift.py")
    renamed = hashed()
    (package / "stages" / "drift.py").write_text("x = 2\n")
    assert len({first, renamed, hashed()}) == 3
