"""The check of one landed table: its rows are typed, checked and counted by partition.

It works in DuckDB, without the lake and without Great Expectations. The validate stage brings the rows, adds the verdicts
of the contract, and takes the results.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import literal, quoted
from contrail.config.table_spec import TableSpec
from contrail.errors import SpecError
from contrail.methods import row_rules
from contrail.methods.casting import cast_list
from contrail.partitions import cutoff_instant

PARTITION = "partition_date"
ROW = "_row"
_VALUES, _TIME, _KEY, _LABEL, _CONTRACT = range(5)
_MOST_STOPPED = 20  # each such row takes some twenty queries to find; more of them are a wrong expression


class TableCheck:
    """The rows of one table for a range of partitions, and the rules that they broke.

    Args:
        source: The table's spec.
        landed: The table's rows as text, with ``partition_date``, ``_file`` and ``_line``.
        timezone: Zone of the pipeline's local dates.
        cutoff: Local time of a partition's cut-off.
    """

    def __init__(self, source: TableSpec, landed: pa.Table, timezone: str, cutoff: time) -> None:
        self.source, self.timezone, self.cutoff = source, timezone, cutoff
        self._daily = source.kind == "daily"
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._landed, self._stopped = len(landed), 0
        self._register("landed", landed.append_column(ROW, pa.array(range(len(landed)), pa.int64())))
        known_at = quoted(source.known_at) if source.known_at else None
        clock = f"timezone({literal(timezone)}, {known_at}) AS _known_clock, _known_clock::DATE AS _known_day"
        self._run(
            f"CREATE TABLE typed AS SELECT *{f', {clock}' if known_at else ''} FROM "
            f"(SELECT {ROW}, {PARTITION}, {cast_list(source.columns)} FROM landed)"
        )
        self._run(f"CREATE TABLE broken ({ROW} BIGINT, rank INT, rule VARCHAR, detail VARCHAR)")
        self.days: list[date] = sorted(day for (day,) in self._all(f"SELECT DISTINCT {PARTITION} FROM landed"))
        self._register_days()

    def close(self) -> None:
        """Free the memory."""
        self._connection.close()

    def _run(self, query: str) -> None:
        self._connection.execute(query)

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def _arrow(self, query: str) -> pa.Table:
        return self._connection.sql(query).to_arrow_table()

    def _register(self, name: str, table: pa.Table) -> None:
        self._connection.register(name, table)

    def _register_days(self) -> None:
        """Register the cut-off of each local day on which a row lies or became known."""
        days = set(self.days)
        if self._daily:
            days |= {day for (day,) in self._all("SELECT DISTINCT _known_day FROM typed WHERE _known_day IS NOT NULL")}
        utc = pa.timestamp("us", "UTC")
        ordered = sorted(days)
        cutoffs = [cutoff_instant(day, self.cutoff, self.timezone) for day in ordered]
        self._register("days", pa.table({"day": pa.array(ordered, pa.date32()), "cutoff": pa.array(cutoffs, utc)}))

    # ---- rules ----

    def check_rows(self) -> None:
        """Apply the rules of every table: types, required values, knowledge time, and the key within a partition."""
        for query in self._value_rules():
            self._mark(_VALUES, query)
        if self.source.known_at and self._daily:
            if self.source.known_ahead:
                self._mark(_TIME, row_rules.known_after_cutoff(self.source.known_at))
            else:
                self._mark(_TIME, row_rules.known_outside_partition(self.source.known_at, self.timezone))
        self._mark(_KEY, row_rules.repeated_key(self.source.key, list(self.source.columns)))

    def check_label(self, expression: str, binary: bool) -> None:
        """Mark rows from which no label can be made, in a table of outcomes. A null is no label, and breaks no rule.

        Raises:
            SpecError: for an expression that does not fit the table, or stops at more than 20 rows.
        """
        self._check_label(expression, binary, range(self._landed))

    def _check_label(self, expression: str, binary: bool, rows: range) -> None:
        try:
            self._mark(_LABEL, row_rules.wrong_label(expression, binary, rows))
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
            raise SpecError(f"label.expression ({expression}) does not fit its table: {error}") from error
        except (duckdb.DataError, duckdb.ProgrammingError) as error:
            # One row stopped the query. Halve the range until it is alone.
            if len(rows) == 1:
                self._stopped += 1
                if self._stopped > _MOST_STOPPED:
                    raise SpecError(
                        f"label.expression ({expression}) has no value for more than {_MOST_STOPPED} rows: {error}"
                    ) from error
                self._mark_rows(_LABEL, "label", {rows[0]: f"label.expression has no value: {error}"})
                return
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                self._check_label(expression, binary, half)

    def check_earlier(self, earlier: pa.Table, days: int, may_change: Sequence[str] = ()) -> None:
        """Mark rows whose key was already good in an earlier partition.

        Call it after the contract, because a feed may deliver a bad row again, corrected, on the next day.

        Args:
            earlier: ``partition_date``, key and ``may_change`` of the good rows of the ``days`` partitions before the range.
            days: In how many partitions before a row's own its key is looked for.
            may_change: A row that differs in one of these columns replaces the earlier one, and breaks no rule.
        """
        self._register("before", earlier)
        named = ", ".join(quoted(name) for name in [PARTITION, *self.source.key, *may_change])
        self._run(f"CREATE TABLE earlier AS SELECT {named} FROM before UNION ALL SELECT {named} FROM ({self._clean()})")
        self._mark(_KEY, row_rules.known_key(self.source.key, days, may_change))

    def _value_rules(self) -> list[str]:
        """Return queries for the columns with bad values. Good columns are only counted."""
        columns = self.source.columns
        counts = ", ".join(f"count({quoted(name)})" for name in columns)
        ((total, *given),) = self._all(f"SELECT count(*), {counts} FROM landed")
        (typed,) = self._all(f"SELECT {counts} FROM typed")
        queries = []
        for (name, column), texts, values in zip(columns.items(), given, typed, strict=True):
            queries += [row_rules.wrong_type(name, column)] if values < texts else []
            queries += [row_rules.missing_value(name)] if column.required and texts < total else []
        return queries

    def _mark(self, rank: int, query: str) -> None:
        self._run(f"INSERT INTO broken SELECT {ROW}, {rank}, rule, detail FROM ({query})")

    def mark(self, order: int, rule: str, details: Mapping[int, str]) -> None:
        """Mark rows that broke a rule of the contract. ``order`` decides which broken rule is named first."""
        if details:
            self._mark_rows(_CONTRACT + order, rule, details)

    def _mark_rows(self, rank: int, rule: str, details: Mapping[int, str]) -> None:
        rows = pa.table({ROW: pa.array(details.keys(), pa.int64()), "detail": pa.array(details.values(), pa.string())})
        self._register("_marked", rows)
        self._connection.execute(f"INSERT INTO broken SELECT {ROW}, {rank}, ?, detail FROM _marked", [rule])

    def _clean(self) -> str:
        return f"SELECT * FROM typed ANTI JOIN broken USING ({ROW})"

    # ---- what the contract looks at ----

    def clean_rows(
        self,
        columns: Mapping[str, str],
        tables: Mapping[str, pa.Table],
        brought: Mapping[str, str],
    ) -> pa.Table:
        """Return the rows that broke no rule so far: ``_row``, and ``columns``, each a SQL expression.

        The expressions may use ``tables`` and the values ``brought`` from them. They call this table's rows ``t``.

        Raises:
            SpecError: for an expression that DuckDB refuses, or that has no value for a row.
        """
        for name, table in tables.items():
            self._register(name, table)
        structs = "".join(f", ({sql}) AS {quoted(name)}" for name, sql in brought.items())
        listed = ", ".join([ROW, *(f"(\n{sql}\n) AS {quoted(name)}" for name, sql in columns.items())])
        try:
            return self._arrow(f"SELECT {listed} FROM (SELECT *{structs} FROM ({self._clean()}) t) t ORDER BY {ROW}")
        except (duckdb.DataError, duckdb.ProgrammingError) as error:
            raise SpecError(f"a derived value of the contract in expectations.py has no value: {error}") from error

    def profile(self, columns: Iterable[str]) -> pa.Table:
        """Return one row per partition: ``partition_date``, and the figures ``columns`` (``row_rules.profile_columns``)."""
        known = row_rules.profile_columns(self.source)
        listed = [f"{known[name]} AS {quoted(name)}" for name in columns]
        return self._arrow(
            f"SELECT {', '.join([f't.{PARTITION}', *listed])} FROM typed t "
            f"LEFT JOIN (SELECT DISTINCT {ROW} AS bad_row FROM broken) b ON b.bad_row = t.{ROW} "
            f"GROUP BY t.{PARTITION} ORDER BY t.{PARTITION}"
        )

    def by_day(self, figures: Mapping[str, str]) -> pa.Table:
        """Return one row per partition with good rows: ``partition_date``, and SQL aggregates over these rows."""
        listed = ", ".join([PARTITION, *(f"{sql} AS {quoted(name)}" for name, sql in figures.items())])
        return self._arrow(f"SELECT {listed} FROM ({self._clean()}) GROUP BY {PARTITION} ORDER BY {PARTITION}")

    # ---- results ----

    def good_rows(self, refused: Iterable[date]) -> pa.Table:
        """Return the typed rows to publish. They broke no rule, and their partition is not refused.

        Rows of a daily table have ``visible_from``, the first partition whose cut-off is after ``known_at``.
        """
        listed, join = [f"c.{quoted(name)}" for name in self.source.columns], ""
        if self._daily and self.source.known_at:
            seen = f"c.{quoted(self.source.known_at)} < d.cutoff"
            visible = f"CASE WHEN {seen} THEN c._known_day ELSE c._known_day + 1 END"
            listed = [f"c.{PARTITION}", *listed, f"({visible})::DATE AS visible_from"]
            join = "LEFT JOIN days d ON d.day = c._known_day"
        out = ", ".join(f"DATE '{day}'" for day in refused)
        where = f"WHERE c.{PARTITION} NOT IN ({out})" if out else ""
        return self._arrow(f"SELECT {', '.join(listed)} FROM ({self._clean()}) c {join} {where} ORDER BY c.{ROW}")

    def bad_rows(self) -> pa.Table:
        """Return the bad rows: ``partition_date``, first ``rule``, ``detail``, ``row`` as JSON, ``file`` and ``line``."""
        fields = ", ".join(f"{literal(name)}: l.{quoted(name)}" for name in self.source.columns)
        return self._arrow(f"""
            WITH worst AS (
                SELECT {ROW}, arg_min(rule, rank) AS rule, arg_min(detail, rank) AS first_detail,
                    list_sort(list(DISTINCT rule)) AS rules
                FROM broken GROUP BY {ROW})
            SELECT l.{PARTITION}, w.rule, w.first_detail || CASE WHEN len(w.rules) > 1 THEN
                    '; also broke ' || array_to_string(list_filter(w.rules, lambda r: r <> w.rule), ', ')
                    ELSE '' END AS detail,
                to_json({{{fields}}})::VARCHAR AS row, l._file AS file, l._line AS line
            FROM worst w JOIN landed l ON l.{ROW} = w.{ROW} ORDER BY w.{ROW}""")

    def bad_by_rule(self, day: date | None = None) -> dict[str, int]:
        """Count the bad rows of each first broken rule, most first, in one partition or in all."""
        where = f"WHERE l.{PARTITION} = DATE '{day}'" if day else ""
        found = self._all(f"""
            SELECT w.rule, count(*) FROM (SELECT {ROW}, arg_min(rule, rank) AS rule FROM broken GROUP BY {ROW}) w
            JOIN landed l ON l.{ROW} = w.{ROW} {where} GROUP BY w.rule ORDER BY 2 DESC, 1""")
        return dict(found)

    def examples(self, count: int = 3) -> dict[str, list[str]]:
        """Return some bad rows of each first broken rule, with file, line and finding."""
        found = self._all(f"""
            WITH worst AS (
                SELECT {ROW}, arg_min(rule, rank) AS rule, arg_min(detail, rank) AS detail FROM broken GROUP BY {ROW})
            SELECT w.rule, list(l._file || ', line ' || l._line || ': ' || w.detail ORDER BY w.{ROW})[:{count}]
            FROM worst w JOIN landed l ON l.{ROW} = w.{ROW} GROUP BY w.rule""")
        return dict(found)

    def first_bad(self, day: date) -> str:
        """Describe a partition's first bad row: file, line and detail."""
        ((file, line, rule, detail),) = self._all(f"""
            SELECT l._file, l._line, b.rule, b.detail FROM broken b JOIN landed l ON l.{ROW} = b.{ROW}
            WHERE l.{PARTITION} = DATE '{day}' ORDER BY l._line, b.rank LIMIT 1""")
        return f"{file}, line {line}: {rule}: {detail}"
