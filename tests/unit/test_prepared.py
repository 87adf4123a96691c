"""A prepared home is brought back whole, whatever a test did in it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.prepared import PreparedHomes


def nothing() -> None:
    """What fills the home: here, the test itself."""


def contents(home: Path) -> dict[str, bytes | None]:
    """What lies in it; a folder has no content."""
    return {
        str(path.relative_to(home)): path.read_bytes() if path.is_file() else None
        for path in home.rglob("*")
        if path.suffix != ".db"
    }


def rows(home: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(home / "catalog" / "catalog.db")) as database:
        return database.execute("SELECT name FROM tables").fetchall()


def test_what_was_added_changed_and_removed_is_as_it_was(tmp_path: Path) -> None:
    homes = PreparedHomes(tmp_path)
    home, empty = homes.home(nothing)
    assert empty
    for name in ("catalog", "lake/data/a", "lake/data/b", "lake/none"):
        (home / name).mkdir(parents=True)
    for name in ("lake/data/a/1", "lake/data/a/2", "lake/data/b/1", "config"):
        (home / name).write_text(f"the file {name}")
    with closing(sqlite3.connect(home / "catalog" / "catalog.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE tables (name)")
        database.execute("INSERT INTO tables VALUES ('kept')")
        homes.keep(nothing, home)
        before = contents(home)
        for _ in range(2):
            spoil(home)
            database.execute("INSERT INTO tables VALUES ('of a test')")
            assert homes.home(nothing) == (home, False)
            assert (contents(home), rows(home)) == (before, [("kept",)])
            assert database.execute("SELECT name FROM tables").fetchall() == [("kept",)], "connections stay"
            assert (home / "lake").stat().st_mode & 0o777 == 0o755


def spoil(home: Path) -> None:
    """Change a file to as many other bytes and back to its time, remove files and folders, and add others."""
    changed = home / "lake" / "data" / "a" / "1"
    then = changed.stat()
    changed.write_text("THE FILE lake/data/a/1")
    os.utime(changed, ns=(then.st_atime_ns, then.st_mtime_ns))
    (home / "lake" / "data" / "b" / "1").unlink()
    (home / "lake" / "data" / "b").rmdir()
    (home / "lake" / "none").rmdir()
    (home / "lake" / "more" / "deep").mkdir(parents=True)
    (home / "lake" / "more" / "deep" / "file").write_text("new")
    (home / "catalog" / "catalog.db-extra").write_text("new")
    (home / "config").unlink()
    (home / "config").mkdir()
    (home / "lake").chmod(0o700)
