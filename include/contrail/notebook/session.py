"""The one DuckDB session of a notebook's process. Its memory is limited once, whatever is open."""

import atexit
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import duckdb

from contrail.config.settings import Settings
from contrail.lake.sessions import session

_open: dict[Path, duckdb.DuckDBPyConnection] = {}
_numbers = count(1)
_at_end = ExitStack()
atexit.register(_at_end.close)


class Views:
    """A place for views in the session. Whatever reads them keeps it alive."""

    def __init__(self, settings: Settings) -> None:
        self._name = f"asked_{next(_numbers)}"
        self._session = _session(settings)
        self._session.execute(f"CREATE SCHEMA {self._name}")

    def connection(self) -> duckdb.DuckDBPyConnection:
        """Open a connection that sees the views. A stream of rows needs one of its own."""
        connection = self._session.cursor()
        # These do not pass from a connection to its cursors.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"USE {self._name}")
        return connection


def _session(settings: Settings) -> duckdb.DuckDBPyConnection:
    if settings.home_path not in _open:
        made = _at_end.enter_context(session(settings))
        # Unlike a stage, a person expects the rows in the order of the table.
        made.execute("SET preserve_insertion_order = true")
        _open[settings.home_path] = made
    return _open[settings.home_path]
