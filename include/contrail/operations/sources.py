"""The source rows of one row of features: those that ``build`` was given for its day, with file and line.

What ``build`` was not given cannot have made the row. So these are all the rows that could have, and never too few. The
nearest come first: those that have most in common with the entity. Which of them matter, ``leave_out`` finds.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
from pydantic import Field

from contrail.config.names import listed, literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.errors import DamagedError, MissingInputError
from contrail.frozen import Frozen
from contrail.lake import history
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.labels import later_outcomes
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.methods.windows import VISIBLE
from contrail.operations.landed_lines import FILE, LINE, MENDED, add_lines
from contrail.operations.receipt import Receipt
from contrail.partitions import Partitions, as_ranges
from contrail.stages.fingerprint import Fingerprint

SHOWN = 10  # rows of a table that are shown
ROW, SHARED = "_row", "_shared"
_MOST_VALUES = 1_000


class SourceRow(Frozen):
    """A source row. ``shares`` has the columns that it has in common with the entity.

    ``file`` and ``line`` are None where the landed rows are no longer kept. ``mended`` says who mended the row, when and why.
    """

    day: date | None
    shares: tuple[str, ...]
    values: Mapping[str, Any]
    file: str | None
    line: int | None
    mended: str | None = Field(default=None, exclude_if=lambda said: said is None)


class SourceGroup(Frozen):
    """The rows of a table that have the same columns in common with the entity, on the days from ``first`` to ``last``."""

    shares: tuple[str, ...]
    rows: int
    first: date | None
    last: date | None


class Checked(Frozen):
    """A run of ``validate`` that published source rows of some days, with its code and the digest of its contract."""

    run_id: str
    committed_at: str
    code_revision: str
    contract: str
    days: tuple[str, ...]


class Source(Frozen):
    """A table that ``build`` read, at a snapshot, and the rows of it that ``build`` was given for the day.

    ``files`` counts the rows by landed file. ``shown`` has the nearest rows. ``gone`` says why there are none to show.
    """

    table: str
    snapshot: int | None
    rows: int = 0
    groups: tuple[SourceGroup, ...] = ()
    shown: tuple[SourceRow, ...] = ()
    files: Mapping[str, int] = {}
    checked: tuple[Checked, ...] = ()
    gone: str = ""


@dataclass(frozen=True)
class Given:
    """What ``build`` was given for one day, in a DuckDB session: a table ``given_<table>`` for each of ``tables``.

    Beside the validated columns they have ``_file``, ``_line`` and ``_mended``; ``_shared``, the columns in common with the
    entity; and ``_row``, the number of the row from 0 on, the nearest last. ``gone`` says why another table has no rows.
    """

    connection: duckdb.DuckDBPyConnection
    tables: tuple[str, ...]
    gone: Mapping[str, str]


def sources_of(lake: Lake, spec: PipelineSpec, receipt: Receipt, personal: bool = False) -> tuple[Source, ...]:
    """List the source rows of a prediction's features, by table, in the order of the spec.

    Args:
        lake: The pipeline's tables.
        spec: The pipeline.
        receipt: Of the prediction. Without ``receipt.features`` nothing is known of its sources.
        personal: Show the values of personal columns.
    """
    if receipt.features is None:
        return ()
    with given(lake, spec, receipt) as found:
        return tuple(_source(lake, spec, receipt, found, table, personal) for table in spec.tables)


@contextmanager
def given(lake: Lake, spec: PipelineSpec, receipt: Receipt) -> Iterator[Given]:
    """Open what ``build`` was given for the day of a prediction; its features must be known."""
    tables, gone = list[str](), dict[str, str]()
    with session(lake.settings) as connection:
        for table in spec.tables:
            try:
                _see(lake, spec, connection, table, receipt)
                tables.append(table)
            except (MissingInputError, DamagedError) as error:
                gone[table] = str(error)
        order = [spec.entities, *(name for name in spec.tables if name != spec.entities)]
        near = _own(spec, connection, receipt) if spec.entities in tables else {}
        for table in (name for name in order if name in tables):
            made = _made(lake, spec, table, receipt)
            rows = add_lines(lake, connection, table, spec.tables[table], f"seen_{table}", made)
            _give(spec, connection, table, tables, rows, near)
        yield Given(connection, tuple(tables), gone)


def _snapshot(table: str, receipt: Receipt) -> int | None:
    assert receipt.features is not None
    return receipt.features.inputs.get(f"validated_{table}")


def _see(lake: Lake, spec: PipelineSpec, connection: duckdb.DuckDBPyConnection, table: str, receipt: Receipt) -> None:
    """Make ``seen_<table>``: the rows that the cut-off of the day may see, by the rules of ``stages.features``."""
    name, snapshot, day = f"validated_{table}", _snapshot(table, receipt), receipt.partition
    if snapshot is None:
        raise MissingInputError(f"the run of features names no snapshot of {name}")
    source = spec.tables[table]
    days = Partitions(day, day).reaching_back(spec.features.lookback_days) if source.kind == "daily" else None
    lake.view(connection, f"held_{table}", name, days, None, snapshot)
    there = connection.table(f"held_{table}").columns
    if lacking := [one for one, other in _links(spec, table).items() if other is None and one not in there]:
        raise MissingInputError(
            f"{name} does not have {', '.join(lacking)} yet, as the spec calls it now; contrail validate -p "
            f"{spec.name} --from {receipt.partition} brings the table to the spec"
        )
    shown, where = "*", "true"
    if days:
        if not source.known_ahead:  # a file of day D is complete when D is over
            shown = f"* REPLACE (greatest({VISIBLE}, {PARTITION} + 1)::DATE AS {VISIBLE})"
        where = f"{VISIBLE} <= DATE '{day}'"
    rows = f"SELECT {shown} FROM {quoted(f'held_{table}')}"
    if days and table == spec.label.table:
        with later_outcomes(lake, spec, days, snapshot) as later:
            connection.register("stream", later)
            connection.execute("CREATE TABLE later_outcomes AS SELECT * FROM stream")
            connection.unregister("stream")
        rows += f" ANTI JOIN later_outcomes USING ({listed((PARTITION, *spec.key))})"
    connection.execute(f"CREATE TABLE {quoted(f'seen_{table}')} AS SELECT * FROM ({rows}) WHERE {where}")


def _made(lake: Lake, spec: PipelineSpec, table: str, receipt: Receipt) -> dict[date | None, HistoryEntry]:
    """The commit that validated each day of a table; the day None where it has no days."""
    name, snapshot, day = f"validated_{table}", _snapshot(table, receipt), receipt.partition
    assert snapshot is not None
    daily = spec.tables[table].kind == "daily"
    days = Partitions(day, day).reaching_back(spec.features.lookback_days) if daily else Partitions(day, day)
    found = history.makers(lake, name, snapshot, days)
    made: Iterable[tuple[date | None, HistoryEntry]] = found.items()
    if daily:
        return dict(made)
    return {None: found[day]} if day in found else {}


# ---- what is near ----


def _links(spec: PipelineSpec, table: str) -> dict[str, str | None]:
    """The columns by which rows of a table can be like the entity, and the table that has each; None for the table's own.

    They are keys and categories. A row also has those of the row of another table whose whole key it has.
    """
    columns = spec.tables[table].columns
    wanted = {*spec.key, *(name for other in spec.tables.values() for name in other.key), *spec.features.categories}
    found: dict[str, str | None] = {name: None for name in columns if name in wanted}
    for other, source in spec.tables.items():
        if other != table and set(source.key) <= columns.keys():
            found |= {name: other for name in source.columns if name in wanted and name not in found}
    return found


def _own(spec: PipelineSpec, connection: duckdb.DuckDBPyConnection, receipt: Receipt) -> dict[str, list[Any]]:
    """The entity's own values of the columns by which rows can be like it."""
    same = " AND ".join(f"{quoted(name)} = $key_{n}" for n, name in enumerate(receipt.whole_key))
    names = [name for name, other in _links(spec, spec.entities).items() if other is None]
    query = f"SELECT {listed(names)} FROM {quoted(f'seen_{spec.entities}')} WHERE {same} AND {PARTITION} = $day"
    params = {f"key_{n}": value for n, value in enumerate(receipt.whole_key.values())} | {"day": receipt.partition}
    found = connection.execute(query, params).fetchone()
    own = dict(zip(names, found, strict=True)) if found else dict(receipt.whole_key)
    return {name: [value] for name, value in own.items() if value is not None}


def _give(
    spec: PipelineSpec,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    tables: list[str],
    rows: str,
    near: dict[str, list[Any]],
) -> None:
    """Make ``given_<table>``, and add to ``near`` what its nearest rows say of the entity."""
    links = {name: other for name, other in _links(spec, table).items() if other is None or other in tables}
    joined = f"({rows}) t"
    for other in dict.fromkeys(one for one in links.values() if one):
        keys = listed(spec.tables[other].key)
        brought = ", ".join(f"max({quoted(name)}) AS {quoted(name)}" for name, one in links.items() if one == other)
        joined += f" LEFT JOIN (SELECT {keys}, {brought} FROM {quoted(f'seen_{other}')} GROUP BY {keys}) USING ({keys})"
    like = {name: f"list_contains($near_{n}, {quoted(name)})" for n, name in enumerate(near) if name in links}
    shared = ", ".join(f"CASE WHEN {sql} THEN {literal(name)} END" for name, sql in like.items())
    own = connection.sql(f"FROM ({rows}) LIMIT 0").columns
    order = listed(name for name in (PARTITION, *spec.tables[table].key) if name in own)
    params = {f"near_{n}": near[name] for n, name in enumerate(near) if name in like}
    connection.execute(
        f"CREATE TABLE {quoted(f'given_{table}')} AS SELECT *, row_number() OVER (ORDER BY len({SHARED}), {SHARED}, {order}) "
        f"- 1 AS {ROW} FROM (SELECT {listed(own)}, {listed(n for n in links if links[n])}{',' if any(links.values()) else ''} "
        f"list_filter([{shared}]::VARCHAR[], lambda x: x IS NOT NULL) AS {SHARED} FROM {joined})",
        params,
    )
    most = f"(SELECT max(len({SHARED})) FROM {quoted(f'given_{table}')})"
    for name in (name for name in links if name not in near):
        values = connection.execute(
            f"SELECT DISTINCT {quoted(name)} FROM {quoted(f'given_{table}')} WHERE len({SHARED}) = {most} "
            f"AND {most} > 0 AND {quoted(name)} IS NOT NULL LIMIT {_MOST_VALUES}"
        ).fetchall()
        if values:
            near[name] = [value for (value,) in values]


# ---- in words and numbers ----


def _source(lake: Lake, spec: PipelineSpec, receipt: Receipt, found: Given, table: str, personal: bool) -> Source:
    snapshot = _snapshot(table, receipt)
    if table in found.gone:
        return Source(table=table, snapshot=snapshot, gone=found.gone[table])
    rows, daily = quoted(f"given_{table}"), spec.tables[table].kind == "daily"
    day = PARTITION if daily else "NULL::DATE"
    groups = found.connection.sql(
        f"SELECT {SHARED}, count(*), min({day}), max({day}) FROM {rows} GROUP BY 1 ORDER BY len({SHARED}) DESC, 1"
    ).fetchall()
    files = found.connection.sql(f"SELECT {FILE}, count(*) FROM {rows} WHERE {FILE} IS NOT NULL GROUP BY 1 ORDER BY 1")
    total = sum(count for _, count, *_ in groups)
    like = "true" if total <= SHOWN else f"len({SHARED}) > 0"
    shown = found.connection.sql(f"SELECT *, {day} AS _day FROM {rows} WHERE {like} ORDER BY {ROW} DESC LIMIT {SHOWN}")
    hidden = frozenset() if personal else spec.tables[table].personal
    return Source(
        table=table,
        snapshot=snapshot,
        rows=total,
        groups=tuple(
            SourceGroup(shares=tuple(shares), rows=count, first=first, last=last)
            for shares, count, first, last in groups
        ),
        shown=tuple(_row(spec, table, row, hidden) for row in shown.to_arrow_table().to_pylist()),
        files=dict(files.fetchall()),
        checked=_checked(_made(lake, spec, table, receipt)),
    )


def _row(spec: PipelineSpec, table: str, row: Mapping[str, Any], hidden: frozenset[str]) -> SourceRow:
    values = {name: None if name in hidden else row[name] for name in spec.tables[table].columns if name in row}
    shares, mended = tuple(row[SHARED]), row[MENDED]
    return SourceRow(day=row["_day"], shares=shares, values=values, file=row[FILE], line=row[LINE], mended=mended)


def _checked(made: Mapping[date | None, HistoryEntry]) -> tuple[Checked, ...]:
    days: dict[int, list[date]] = {}
    for day, entry in made.items():
        days.setdefault(entry.snapshot, []).extend([day] if day else [])
    found = []
    for entry in {entry.snapshot: entry for entry in made.values()}.values():
        print_ = Fingerprint.read(entry.provenance)
        found.append(
            Checked(
                run_id=entry.provenance.run_id,
                committed_at=entry.committed_at,
                code_revision=entry.provenance.code_revision,
                contract=print_.files.get("expectations.py", "") if print_ else "",
                days=tuple(map(str, as_ranges(days[entry.snapshot]))),
            )
        )
    return tuple(found)
