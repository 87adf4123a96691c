"""Mended rows against the quarantine: which landed row each is of, what it changes, and what becomes of it.

``Matching`` works in sessions of DuckDB, so that no number of rows fills the memory. Nothing here is published.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import duckdb

from contrail.config.names import literal, quoted
from contrail.config.personal import MASK
from contrail.config.pipeline import Pipeline
from contrail.config.table_spec import TableSpec
from contrail.errors import DataError, SpecError
from contrail.lake import mended
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.methods.casting import cast_sql, misfit_sql
from contrail.methods.table_check import ROW, TableCheck
from contrail.operations.replaying.given import Given
from contrail.partitions import Partitions
from contrail.stages.refusals import counted
from contrail.stages.replayed import MendedRow

SHOWN = 20  # rows of an error
SAMPLE = 50  # rows of a result
_NOTHING = "Nothing was mended."


@dataclass(frozen=True)
class Mender:
    """Who mends, why, when, and in which run."""

    replay: str
    person: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Judged:
    """What becomes of mended rows: how many there are and pass, how many stay for which rule, and some of them.

    ``refused`` says which of their ``days`` break the contract all the same.
    """

    rows: int = 0
    passed: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    sample: tuple[MendedRow, ...] = ()
    days: tuple[date, ...] = ()
    refused: tuple[str, ...] = ()

    def __add__(self, other: "Judged") -> "Judged":
        kept = {rule: self.kept.get(rule, 0) + other.kept.get(rule, 0) for rule in {**self.kept, **other.kept}}
        return Judged(
            self.rows + other.rows,
            self.passed + other.passed,
            kept,
            (self.sample + other.sample)[:SAMPLE],
            (*self.days, *other.days),
            (*self.refused, *other.refused),
        )


@dataclass(frozen=True)
class Matching:
    """The rows that a person gave for one table, in a folder: how many there are, and the days of their landed rows.

    ``waiting`` has the days of those that are in quarantine. The others were mended just so before.
    """

    pipeline: Pipeline
    lake: Lake
    table: str
    given: Given
    folder: Path
    days: tuple[date, ...] = ()
    waiting: tuple[date, ...] = ()
    rows: int = 0

    @property
    def _source(self) -> TableSpec:
        return self.pipeline.spec.tables[self.table]

    @property
    def _named(self) -> list[str]:
        """The columns that the person gave and that the table has."""
        return [name for name in self.given.columns if name in self._source.columns]

    # ---- which row is meant ----

    def placed(self) -> "Matching":
        """Find the quarantined row that each given row is of, and its day.

        Raises:
            DataError: for a row that is twice, not in quarantine, or no longer.
        """
        source, named = self._source, self._named
        if not named:
            raise SpecError(f"the mended rows have no column of {self.table} beside _file and _line. {_NOTHING}")
        with session(self.lake.settings) as connection:
            connection.execute(f"CREATE VIEW given AS FROM read_parquet({literal(str(self.given.path))})")
            _view_quarantine(connection, self.lake, self.table, None)
            newest = self.lake.snapshot_id(mended.NAME) if self.lake.exists(mended.NAME) else None
            mended.create_newest(connection, self.lake, self.table, None, newest)
            same = " AND ".join(
                self._same(f"g.{quoted(name)}", mended.value_in("m.mended", source, name, "NULL")) for name in named
            )
            connection.execute(
                f"CREATE TABLE placed AS SELECT g.*, coalesce(q.{PARTITION}, m.{PARTITION}) AS day, q.rule, q.found, m.said, "
                f"{same} AS same FROM given g LEFT JOIN aside q ON q.file = g._file AND q.line = g._line "
                "LEFT JOIN mends m ON m.file = g._file AND m.line = g._line"
            )
            self._check_places(connection)
            days = connection.execute("SELECT day, count(found) > 0 FROM placed GROUP BY day ORDER BY day").fetchall()
            ((rows,),) = connection.execute("SELECT count(*) FROM placed").fetchall()
            kept = "SELECT * FROM placed WHERE found IS NOT NULL"
            connection.execute(f"COPY ({kept}) TO {literal(str(self._placed))} (FORMAT parquet)")
        waiting = tuple(day for day, waits in days if waits)
        return replace(self, days=tuple(day for day, _ in days), waiting=waiting, rows=rows)

    def _same(self, given: str, known: str) -> str:
        """SQL that says whether a given value is a known one. CSV cannot tell an empty text from none."""
        known = f"nullif({known}, '')" if self.given.is_csv else known
        return f"{given} IS NOT DISTINCT FROM {known}"

    @property
    def _placed(self) -> Path:
        return self.folder / "placed.parquet"

    def _check_places(self, connection: duckdb.DuckDBPyConnection) -> None:
        doubled = (
            "SELECT max(_place), _file, _line, 'is there twice, also in ' || min(_place) FROM placed "
            "GROUP BY _file, _line HAVING count(*) > 1"
        )
        self._refuse(connection, doubled, "Each row is mended once.")
        # An earlier mend that says the same is done already.
        gone = (
            "SELECT _place, _file, _line, coalesce('is no longer in quarantine: ' || said, 'is not in quarantine') FROM placed "
            "WHERE found IS NULL AND NOT coalesce(same AND said IS NOT NULL, false)"
        )
        self._refuse(
            connection,
            gone,
            "Only rows in quarantine can be mended. To change others, deliver the day again. Rows to mend:\n"
            f"  contrail quarantine -p {self.pipeline.name} --table {self.table}",
        )

    def _refuse(self, connection: duckdb.DuckDBPyConnection, wrong: str, remedy: str) -> None:
        """Refuse all of the rows for those of a query: place, file, line, and what is wrong."""
        found = connection.execute(f"SELECT *, count(*) OVER () FROM ({wrong}) ORDER BY 1 LIMIT {SHOWN}").fetchall()
        if not found:
            return
        lines = [f"  {self.given.words} {place}: {file}, line {line}, {words}" for place, file, line, words, _ in found]
        more = [f"  and {found[0][-1] - SHOWN:,} more"] if found[0][-1] > SHOWN else []
        head = f"{counted(found[0][-1], 'mended row')} refused. {_NOTHING}"
        raise DataError("\n".join([head, *lines, *more, remedy]))

    # ---- what it changes ----

    def lay(self, connection: duckdb.DuckDBPyConnection, days: Partitions | Sequence[date]) -> None:
        """Lay the mended rows of these days over the landed ones of a session, as the table ``mends`` has them.

        Raises:
            DataError: for a row that was delivered again meanwhile, and for a value that is none of its column.
        """
        connection.execute(f"CREATE VIEW placed AS FROM read_parquet({literal(str(self._placed))})")
        self._check_rows(connection, days)
        connection.execute(self._mending())
        self._check_types(connection)
        connection.execute("DELETE FROM mends USING mending n WHERE mends.file = n._file AND mends.line = n._line")
        connection.execute("INSERT INTO mends SELECT day, _file, _line, mend, landed, mended, '' FROM mending")

    def _check_rows(self, connection: duckdb.DuckDBPyConnection, days: Iterable[date]) -> None:
        """The row in quarantine is the one that is in the lake, unless it was mended meanwhile."""
        of_days = ", ".join(f"DATE '{day}'" for day in days)
        wrong = (
            "SELECT p._place, p._file, p._line, 'was delivered again since' FROM placed p "
            f"LEFT JOIN ({mended.with_mends(self._source)}) ON f._file = p._file AND f._line = p._line "
            f"WHERE p.day IN ({of_days}) AND "
            f"(f._file IS NULL OR (m.file IS NULL AND NOT {mended.same_row('p.found', self._source, 'f')}))"
        )
        first, last = min(days), max(days)
        again = f"contrail validate -p {self.pipeline.name} --from {first} --to {last}"
        self._refuse(
            connection, wrong, f"The quarantine is older than the lake's rows. Run, and mend what is left:\n  {again}"
        )

    def _mending(self) -> str:
        """SQL that makes the table of the rows that change: new values by column, and the record's own in JSON."""
        source, named = self._source, self._named
        now = {name: mended.value_now(source, name) for name in source.columns}
        new = dict(now)
        for name in named:
            given = f"p.{quoted(name)}"
            new[name] = f"CASE WHEN {self._same(given, now[name])} THEN {now[name]} ELSE {given} END"
        pairs = ", ".join(f"{{k: {literal(name)}, v: [{now[name]}, {new[name]}]}}" for name in named)
        changes = f"list_filter([{pairs}], lambda e: e.v[1] IS DISTINCT FROM e.v[2])"
        return (
            "CREATE TABLE mending AS SELECT * FROM (SELECT p._place, p._file, p._line, p.day, p.rule, "
            f"coalesce(m.mend, 0) + 1 AS mend, {_json({name: f'f.{quoted(name)}' for name in source.columns})} AS landed, "
            f"{_json(new)} AS mended, {changes} AS changed, "
            f"{', '.join(f'{sql} AS {quoted(name)}' for name, sql in new.items())} "
            f"FROM {mended.with_mends(source)} JOIN placed p ON p._file = f._file AND p._line = f._line) WHERE len(changed) > 0"
        )

    def _check_types(self, connection: duckdb.DuckDBPyConnection) -> None:
        wrong = []
        for name in self._named:
            column = self._source.columns[name]
            shown = literal(MASK) if name in self._source.personal else f"left({quoted(name)}, 80)"
            words = f"""'column {name}: "' || {shown} || '" ' || {misfit_sql(name, column.type)}"""
            wrong.append(
                f"SELECT _place, _file, _line, {words} FROM mending WHERE {quoted(name)} IS NOT NULL "
                f"AND list_contains([e.k FOR e IN changed], {literal(name)}) AND {cast_sql(name, column.type)} IS NULL"
            )
        self._refuse(connection, " UNION ALL ".join(wrong), "Give each value as its column's type.")

    # ---- what becomes of it ----

    def judged(self, check: TableCheck, days: Partitions | Sequence[date]) -> Judged:
        """Say which of the mended rows pass.

        Raises:
            DataError: for a mended row that has the key of a good row.
        """
        connection = check.connection
        self._check_keys(connection, check, days)
        connection.execute(
            f"CREATE TABLE outcome AS SELECT m.*, w.rule AS still, w.detail FROM mending m "
            f"LEFT JOIN {check.worst()} w ON w._file = m._file AND w._line = m._line"
        )
        counts = connection.execute("SELECT still, count(*) FROM outcome GROUP BY still").fetchall()
        kept = {rule: count for rule, count in counts if rule}
        sample = connection.execute(
            f"SELECT day, _file, _line, rule, to_json(map_from_entries(changed))::VARCHAR, still, detail FROM outcome "
            f"ORDER BY day, _file, _line LIMIT {SAMPLE}"
        ).fetchall()
        own = connection.execute("SELECT DISTINCT day FROM mending ORDER BY day").fetchall()
        rows = sum(count for _, count in counts)
        shown = tuple(MendedRow.of(row, self._source.personal) for row in sample)
        return Judged(rows, rows - sum(kept.values()), kept, shown, tuple(day for (day,) in own))

    def _check_keys(self, connection: duckdb.DuckDBPyConnection, check: TableCheck, days: Iterable[date]) -> None:
        """No good row gives way to a mended one."""
        source, spec = self._source, self.pipeline.spec
        _view_quarantine(connection, self.lake, self.table, days)
        same = " AND ".join(f"x.{quoted(name)} = t.{quoted(name)}" for name in source.key)
        mine = f"landed l JOIN mending n ON n._file = l._file AND n._line = l._line JOIN typed t USING ({ROW})"
        wrong = (
            "SELECT n._place, n._file, n._line, 'has the key of the good row at ' || o._file || ', line ' || o._line "
            f"FROM {mine} JOIN typed x ON x.{PARTITION} = t.{PARTITION} AND x.{ROW} <> t.{ROW} AND {same} "
            f"JOIN landed o ON o.{ROW} = x.{ROW} "
            "WHERE NOT EXISTS (FROM aside a WHERE a.file = o._file AND a.line = o._line) "
            "AND NOT EXISTS (FROM mending b WHERE b._file = o._file AND b._line = o._line)"
        )
        remedy = "Change the key of the mended row, or leave it in quarantine."
        self._refuse(connection, wrong, remedy)
        newest = self.table == spec.label.table and spec.label.counts == "newest"
        name, back = f"validated_{self.table}", 0 if source.known_ahead or newest else spec.remembered_days(self.table)
        if source.kind == "reference" or not back or not self.lake.exists(name):
            return
        after = Partitions(min(days), max(days)).shift(1)
        window = Partitions(after.start, Partitions(max(days), max(days)).shift(back).end)
        self.lake.view(connection, "later", name, window, [PARTITION, *source.key])
        wrong = (
            "SELECT n._place, n._file, n._line, 'has the key of a good row of ' || min(x.partition_date) "
            f"FROM {mine} JOIN later x ON {same} AND x.{PARTITION} BETWEEN t.{PARTITION} + 1 AND t.{PARTITION} + {back} "
            f"WHERE t.{ROW} NOT IN (SELECT {ROW} FROM broken) GROUP BY ALL"
        )
        self._refuse(connection, wrong, remedy)

    # ---- the record ----

    def record(self, connection: duckdb.DuckDBPyConnection, folder: Path, mender: Mender) -> None:
        """Write the rows of ``mended`` into a file of a folder."""
        values = {
            PARTITION: "day",
            "table_name": literal(self.table),
            "replay": literal(mender.replay),
            "file": "_file",
            "line": "_line",
            "mend": "mend",
            "rule": "rule",
            "row": "landed",
            "mended": "mended",
            "changes": "to_json(map_from_entries(changed))::VARCHAR",
            "person": literal(mender.person),
            "reason": literal(mender.reason),
            "mended_at": f"TIMESTAMPTZ {literal(mender.at.isoformat())}",
        }
        listed = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in values.items())
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        connection.execute(f"COPY (SELECT {listed} FROM mending) TO {literal(str(path))} (FORMAT parquet)")


def _json(values: dict[str, str]) -> str:
    return f"to_json({{{', '.join(f'{literal(name)}: {sql}' for name, sql in values.items())}}})::VARCHAR"


def _view_quarantine(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, days: Iterable[date] | None
) -> None:
    """Make the view ``aside`` of the rows of a table that are in quarantine."""
    if not lake.exists("quarantine"):
        connection.execute(
            f"CREATE TABLE aside ({PARTITION} DATE, file VARCHAR, line BIGINT, rule VARCHAR, found VARCHAR)"
        )
        return
    lake.view(connection, "set_aside", "quarantine", days, [PARTITION, "table_name", "file", "line", "rule", "row"])
    connection.execute(
        f'CREATE VIEW aside AS SELECT {PARTITION}, file, line, rule, "row" AS found FROM set_aside '
        f"WHERE table_name = {literal(table)}"
    )
