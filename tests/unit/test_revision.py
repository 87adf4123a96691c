"""The name of the code that ran."""

import subprocess
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


def test_files_that_no_commit_has_are_named(tmp_path: Path) -> None:
    assert revision.uncommitted(tmp_path) == [str(tmp_path)]
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "features.py").write_text("x = 1\n")
    for line in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm a"):
        subprocess.run(["git", "-C", str(tmp_path), *line.split()], check=True)
    assert revision.uncommitted(folder) == []
    (tmp_path / "beside.py").write_text("x = 1\n")
    assert revision.uncommitted(folder) == []
    (folder / "features.py").write_text("x = 2\n")
    assert revision.uncommitted(folder) == ["pipelines/features.py"]


def test_an_import_is_found_wherever_a_statement_may_stand() -> None:
    source = b"""
import a, b.c as d
from e import f as g
from . import h
def one():
    if x: import i
    elif y: import j
    else:
        for z in x: import k
        else:
            while y: import l
class K:
    async def two(self):
        try: import m
        except E: import n
        else: import o
        finally: import p
        async with q: import q
        match x:
            case 1: import r
            case _: import s
"""
    names = set("abcdefghijklmnopqrs") - {"b", "c", "d", "f", "g"} | {"b.c", "e.f"}
    assert set(revision.imports_of(source)) == names | {""}
