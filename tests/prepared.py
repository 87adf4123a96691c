"""Homes that are prepared once for each worker, and brought back before each test that begins with them.

What a lake and a registry hold names files by their whole paths. So a prepared home stays where it was made, and a copy
of it lies beside it. Of the hundreds of files of a home a test changes a few, so only these are copied back.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

_DATABASE = ".db"
# Another content has another time of change, which no test can set: that is unlike the time of modification.
_Mark = tuple[int, int, int]


class PreparedHomes:
    """Prepared homes in a folder, each known by the function that fills it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._homes: dict[Callable[..., None], _Prepared] = {}

    def home(self, fill: Callable[..., None]) -> tuple[Path, bool]:
        """The home that this function fills, as it left it; and whether it must be filled now."""
        if fill in self._homes:
            self._homes[fill].bring_back()
            return self._homes[fill].home, False
        return self._folder / f"{len(self._homes)}-{fill.__name__.strip('_')}" / "home", True

    def keep(self, fill: Callable[..., None], home: Path) -> None:
        """Copy the home as it is now, after the function has filled it."""
        self._homes[fill] = _Prepared(home)


class _Prepared:
    """A home with its copy, and the marks of its files as they were when they were like those of the copy."""

    def __init__(self, home: Path) -> None:
        self.home, self._copy = home, home.with_name("copy")
        shutil.copytree(home, self._copy)
        self._folders = [place for place, _, _ in os.walk(home)]
        self._marks = dict(_files(home))

    def bring_back(self) -> None:
        there = dict(_files(self.home))
        for name, mark in list(there.items()):
            if self._marks.get(name) != mark and not (name in self._marks and name.endswith(_DATABASE)):
                (self.home / name).unlink()
                del there[name]
        self._bring_folders_back()
        for name in self._marks:
            if name.endswith(_DATABASE):
                # Into the same file: MLflow and SQLAlchemy keep connections to it for the next test.
                copy, database = sqlite3.connect(self._copy / name), sqlite3.connect(self.home / name)
                with closing(copy), closing(database):
                    copy.backup(database)
            elif name not in there:
                shutil.copy2(self._copy / name, self.home / name)
                self._marks[name] = _mark(self.home / name)

    def _bring_folders_back(self) -> None:
        kept, there = set(self._folders), [place for place, _, _ in os.walk(self.home, topdown=False)]
        for place in there:
            if place not in kept:
                Path(place).rmdir()
        known = set(there)
        for place in self._folders:
            if place not in known:
                Path(place).mkdir(parents=True)
            shutil.copymode(place.replace(str(self.home), str(self._copy), 1), place)


def _files(home: Path) -> Iterator[tuple[str, _Mark]]:
    """The files of a home by their place in it."""
    for place, _, names in os.walk(home):
        for name in names:
            path = f"{place}{os.sep}{name}"
            yield path.removeprefix(f"{home}{os.sep}"), _mark(path)


def _mark(path: str | Path) -> _Mark:
    """What is different once a file has been written again or replaced."""
    found = os.lstat(path)
    return found.st_ino, found.st_ctime_ns, found.st_size
