"""DuckDB sessions that keep within the memory limit and spill to a folder of the home.

What is asked in a session does not belong here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from contrail.config.names import literal
from contrail.config.settings import Settings
from contrail.files import scratch

# Each thread of DuckDB holds about so many rows while it merges what it has sorted, whatever the limit.
MERGED_ROWS = 250_000


@contextmanager
def spill_folder(settings: Settings) -> Iterator[Path]:
    """Make a folder on this machine for rows that do not fit into memory. It goes with what is in it."""
    spill = settings.home_path / "tmp"
    spill.mkdir(parents=True, exist_ok=True)
    with scratch("spill-", spill) as folder:
        yield folder


@contextmanager
def session(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session in UTC, with at most ``memory_limit`` of memory. Its spill folder goes with it.

    Rows keep the order of their files only where a query has ``ORDER BY``. Stream them from ``connection.sql(…)``: Arrow
    from ``connection.execute(…)`` loses even that order.
    """
    with spill_folder(settings) as folder, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{settings.memory_bytes}B'")
        connection.execute(f"SET temp_directory = {literal(str(folder))}")
        connection.execute("SET preserve_insertion_order = false")  # it would hold rows back in memory
        connection.execute("SET enable_progress_bar = false")  # it would stand among a command's lines
        yield connection


def spare_threads(connection: duckdb.DuckDBPyConnection, width: int, memory_bytes: int) -> None:
    """Let so few threads of a session sort rows of ``width`` bytes that what they merge fits into this memory."""
    most = memory_bytes // (width * MERGED_ROWS)
    connection.execute(f"SET threads = {max(1, min(most, os.cpu_count() or 1))}")
