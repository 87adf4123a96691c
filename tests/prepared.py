"""Homes that are prepared once for each worker, and brought back before each test that begins with them.

What a lake and a registry hold names files by their whole paths. So a prepared home stays where it was made, and a copy
of it lies beside it.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

_DATABASES = "*.db"


class PreparedHomes:
    """Prepared homes in a folder, each known by the function that fills it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._homes: dict[Callable[..., None], Path] = {}

    def home(self, fill: Callable[..., None]) -> tuple[Path, bool]:
        """The home that this function fills, as it left it; and whether it must be filled now."""
        if fill in self._homes:
            _bring_back(_copy_of(self._homes[fill]), self._homes[fill])
            return self._homes[fill], False
        return self._folder / f"{len(self._homes)}-{fill.__name__.strip('_')}" / "home", True

    def keep(self, fill: Callable[..., None], home: Path) -> None:
        """Copy the home as it is now, after the function has filled it."""
        shutil.copytree(home, _copy_of(home))
        self._homes[fill] = home


def _copy_of(home: Path) -> Path:
    return home.with_name("copy")


def _bring_back(copy: Path, home: Path) -> None:
    databases = {path.relative_to(copy) for path in copy.rglob(_DATABASES)}
    for place, _, names in os.walk(home, topdown=False):
        for name in names:
            if (path := Path(place, name)).relative_to(home) not in databases:
                path.unlink()
        with suppress(OSError):  # it holds a database
            Path(place).rmdir()
    shutil.copytree(copy, home, ignore=shutil.ignore_patterns(_DATABASES), dirs_exist_ok=True)
    for database in databases:
        # Into the same file: MLflow and SQLAlchemy keep connections to it for the next test.
        with closing(sqlite3.connect(copy / database)) as kept, closing(sqlite3.connect(home / database)) as there:
            kept.backup(there)
