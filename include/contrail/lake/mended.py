"""``mended``: the record of rows that people mended, which is also where mended rows live.

The landing zone stays as it is, and so do the ``raw_`` tables. ``validate`` lays the newest mend of each row over the row as
it landed. This module has the table and its SQL. Who mends, and whether a mend is one, does not belong here.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import duckdb

from contrail.config.names import literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import TableSpec
from contrail.lake import readers
from contrail.lake.catalog import Tables
from contrail.lake.datasets import PARTITION, PARTITION_COLUMN, Dataset, documented

NAME = "mended"


def dataset(_: PipelineSpec) -> Dataset:
    """``mended``: one row for each mend of a row, with who, when, why, from which values and to which."""
    return Dataset(
        name=NAME,
        doc="Rows of the quarantine that a person mended, as validate reads them. A row mended again has a row for each mend.",
        columns={
            **PARTITION_COLUMN,
            "table_name": documented("string", "Landed table that the row belongs to."),
            "replay": documented("string", "Run of contrail replay that brought the mend."),
            "file": documented("string", "Landed file that holds the row."),
            "line": documented("int", "Line of the row in that file."),
            "mend": documented("int", "Number of the mend of this row, from 1. The highest counts."),
            "rule": documented("string", "Rule for which the row was in quarantine."),
            "row": documented("string", "The row as landed, as JSON."),
            "mended": documented("string", "The row as mended, as JSON."),
            "changes": documented(
                "string", "JSON: each column that changed, with its value before and its value after, as text."
            ),
            "person": documented("string", "Person who mended the row."),
            "reason": documented("string", "Reason for the mend."),
            "mended_at": documented("timestamp", "Time of the mend, UTC."),
        },
        key=("file", "line"),
        partition_by=(PARTITION, "table_name", "replay"),
        receipts=("replay", "mended_at"),
        published_by=("replay",),
    )


def scope(table: str) -> str:
    """The part of a commit's scope that says of which landed table it is."""
    return f"table_name={table}"


def create_newest(
    connection: duckdb.DuckDBPyConnection, tables: Tables, table: str, days: Iterable[date] | None, snapshot: int | None
) -> None:
    """Make the table ``mends`` of a session: the newest mend of each row of these days, or of all, as of a snapshot."""
    connection.execute(
        f"CREATE TABLE mends ({PARTITION} DATE, file VARCHAR, line BIGINT, mend BIGINT, landed VARCHAR, mended VARCHAR, "
        "said VARCHAR)"
    )
    if snapshot is None:
        return
    readers.view(tables, connection, "all_mends", NAME, days, snapshot_id=snapshot)
    # Two machines may have mended a row at once. Then the later one counts, for every reader alike.
    connection.execute(
        f"INSERT INTO mends SELECT {PARTITION}, file, line, mend, row, mended, "
        f"{said('all_mends')} FROM all_mends "
        f"WHERE table_name = {literal(table)} "
        "QUALIFY row_number() OVER (PARTITION BY file, line ORDER BY mend DESC, mended_at DESC, replay DESC) = 1"
    )


def said(row: str) -> str:
    """SQL that says of a row of this table who mended it, when and why."""
    when = f"strftime({row}.mended_at, '%Y-%m-%d %H:%M UTC')"
    return f"printf('%s mended it on %s (%s)', {row}.person, {when}, {row}.reason)"


def laid_over(source: TableSpec) -> str:
    """SQL for the rows of ``landed_files`` with ``mends`` laid over them.

    A mend counts while its row reads as it did when it was mended. A file that was delivered again may have another row there.
    """
    columns = ", ".join(f"{value_now(source, name)} AS {quoted(name)}" for name in source.columns)
    return f"SELECT f.* REPLACE ({columns}) FROM {with_mends(source)}"


def with_mends(source: TableSpec) -> str:
    """SQL for ``landed_files f``, each row with its mend ``m``, which is null where none counts."""
    same = f"m.file = f._file AND m.line = f._line AND {same_row('m.landed', source, 'f')}"
    return f"landed_files f LEFT JOIN mends m ON {same}"


def value_now(source: TableSpec, name: str) -> str:
    """SQL for the value of a column of ``with_mends``."""
    own = f"f.{quoted(name)}"
    return f"CASE WHEN m.file IS NULL THEN {own} ELSE {value_in('m.mended', source, name, own)} END"


def same_row(json: str, source: TableSpec, row: str) -> str:
    """SQL that says whether a row in JSON and a row of text columns have the same values, as far as JSON has them."""
    own = {name: f"{row}.{quoted(name)}" for name in source.columns}
    same = (f"{sql} IS NOT DISTINCT FROM {value_in(json, source, name, sql)}" for name, sql in own.items())
    return f"({' AND '.join(same)})"


def value_in(json: str, source: TableSpec, name: str, otherwise: str) -> str:
    """SQL for the value of a column in a row in JSON, by today's name or an earlier one; ``otherwise`` where it has none."""
    paths = [literal(f'$."{each}"') for each in _names(source, name)]
    cases = " ".join(f"WHEN json_exists({json}, {path}) THEN json_extract_string({json}, {path})" for path in paths)
    return f"CASE {cases} ELSE {otherwise} END"


def _names(source: TableSpec, name: str) -> Sequence[str]:
    return (name, *source.columns[name].renamed_from)
