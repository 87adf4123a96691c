"""Modules loaded in less time than ``import`` alone needs. Which modules does not belong here."""

import atexit
import gc
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import Any


@contextmanager
def quick_imports(absent: Collection[str] = (), late: Collection[str] = ()) -> Iterator[None]:
    """Load modules without the garbage collector, which would look through all of them again and again.

    What is there after modules were loaded stays until the process ends, so the collector never looks at it. Modules that
    were loaded before stay as they are.

    Args:
        absent: Packages that a library can do without. Its attempts to import them fail as if they were not installed.
        late: Modules that load when somebody first uses them.
    """
    finder, collects, before = _Finder(absent, late), gc.isenabled(), len(sys.modules)
    # What DuckDB has made by now must be freed before it is, or it writes a page about leaks when the process ends.
    used = "duckdb" in sys.modules
    gc.disable()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if len(sys.modules) > before:
            gc.freeze()
            if used:
                atexit.register(gc.unfreeze)
        if collects:
            gc.enable()


class _Finder(MetaPathFinder):
    """Finds no absent package, and wraps the loaders of late modules."""

    def __init__(self, absent: Collection[str], late: Collection[str]) -> None:
        self._absent, self._late = frozenset(absent), frozenset(late)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if any(f"{fullname}.".startswith(f"{package}.") for package in self._absent):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._late else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec
