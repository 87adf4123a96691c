"""The landed file and line of validated rows.

A validated row does not name them. Its landed row has the same values, so it is found by all of them, in the snapshot
that its validation read. Of landed rows that are alike, validation keeps the first, which is the one that is found. A row
that a person mended has the values of its mend.
"""

from collections.abc import Iterable, Mapping
from datetime import date

import duckdb

from contrail.config.names import literal, quoted
from contrail.config.table_spec import TableSpec
from contrail.errors import DamagedError, MissingInputError
from contrail.lake import mended
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.methods.casting import cast_sql
from contrail.partitions import Partitions

FILE, LINE, MENDED = "_file", "_line", "_mended"


def add_lines(
    lake: Lake,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    source: TableSpec,
    rows: str,
    made: Mapping[date | None, HistoryEntry],
) -> str:
    """Make a query for rows with ``_file`` and ``_line``, which are null where the landed row is no longer kept.

    ``_mended`` says who mended the row, when and why; null where nobody did.

    Args:
        lake: Has the landed rows.
        connection: A session with the rows.
        table: The landed table.
        source: Its spec.
        rows: Name of a relation of validated rows in the session.
        made: The commit that validated each day; the day None where the table has no days.
    """
    raw, relation = f"raw_{table}", connection.table(rows)
    there = set(lake.schema(raw).names) if lake.exists(raw) else set()
    columns = [name for name in source.columns if name in there and name in relation.columns]
    parts = (
        [_landed(lake, connection, raw, source, columns, *each) for each in _read(lake, raw, made)] if columns else []
    )
    if columns and lake.exists(mended.NAME):
        parts.append(_mended(lake, connection, table, source, columns, None if None in made else made))
    found = [part for part in parts if part]
    if not found:
        nothing = f"NULL::VARCHAR AS {FILE}, NULL::BIGINT AS {LINE}, NULL::VARCHAR AS {MENDED}"
        return f"SELECT *, {nothing} FROM {quoted(rows)}"
    named = [*([PARTITION] if source.kind == "daily" else []), *columns]
    keys = ", ".join(map(quoted, named))
    first = (
        f"SELECT {keys}, min(ROW({FILE}, {LINE}, {MENDED})) AS at FROM ({' UNION ALL '.join(found)}) GROUP BY {keys}"
    )
    same = " AND ".join(f"v.{quoted(name)} IS NOT DISTINCT FROM l.{quoted(name)}" for name in named)
    at = f"l.at[1] AS {FILE}, l.at[2] AS {LINE}, l.at[3] AS {MENDED}"
    return f"SELECT v.*, {at} FROM {quoted(rows)} v LEFT JOIN ({first}) l ON {same}"


def _read(lake: Lake, raw: str, made: Mapping[date | None, HistoryEntry]) -> list[tuple[int | None, list[date] | None]]:
    """The snapshots of the landed table to read, and the days in each. One read has all days that did not change since."""
    lineage = lake.lineage(raw)
    found: dict[int | None, list[date] | None] = {}
    for day, entry in made.items():
        snapshot = entry.provenance.inputs.get(raw)
        if day is None:
            return [(snapshot, None)]
        unchanged = lineage.unchanged_since(snapshot, Partitions(day, day))
        days = found.setdefault(None if unchanged else snapshot, [])
        assert days is not None
        days.append(day)
    return list(found.items())


def _landed(
    lake: Lake,
    connection: duckdb.DuckDBPyConnection,
    raw: str,
    source: TableSpec,
    columns: Iterable[str],
    snapshot: int | None,
    days: list[date] | None,
) -> str | None:
    """A query for the landed rows of a snapshot, typed. None: the snapshot has expired, or its files are gone."""
    view = f"{raw}_{snapshot or 'now'}"
    try:
        lake.view(connection, view, raw, days, None, snapshot)
    except (MissingInputError, DamagedError):
        return None
    typed = ", ".join(f"{cast_sql(name, source.columns[name].type)} AS {quoted(name)}" for name in columns)
    return f"SELECT {f'{PARTITION}, ' if days else ''}{typed}, {FILE}, {LINE}, NULL::VARCHAR AS {MENDED} FROM {quoted(view)}"


def _mended(
    lake: Lake,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    source: TableSpec,
    columns: Iterable[str],
    days: Iterable[date | None] | None,
) -> str:
    """A query for rows as people mended them, typed, with each mend of a row."""
    view, names = f"mends_of_{table}", list(columns)
    lake.view(connection, view, mended.NAME, None if days is None else [day for day in days if day])
    texts = ", ".join(f"{mended.value_in('m.mended', source, name, 'NULL')} AS {quoted(name)}" for name in names)
    typed = ", ".join(f"{cast_sql(name, source.columns[name].type)} AS {quoted(name)}" for name in names)
    own = f"m.{PARTITION}, m.file AS {FILE}, m.line AS {LINE}, {mended.said('m')} AS {MENDED}"
    rows = f"SELECT {own}, {texts} FROM {quoted(view)} m WHERE m.table_name = {literal(table)}"
    return f"SELECT {'' if days is None else f'{PARTITION}, '}{typed}, {FILE}, {LINE}, {MENDED} FROM ({rows})"
