"""The check of one landed table: its rows are typed, checked and counted by partition.

It works in a DuckDB session, without the lake and without Great Expectations, and no range of rows leaves the session.
The validate stage brings the session with the rows, adds the verdicts of the contract, and takes the results.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import listed, literal, quoted
from contrail.config.personal import masked_sql
from contrail.config.table_spec import TableSpec
from contrail.errors import SpecError
from contrail.methods import row_rules
from contrail.methods.casting import cast_list
from contrail.partitions import cutoff_instant

PARTITION = "partition_date"
ROW = "_row"
_VALUES, _TIME, _KEY, _LABEL, _CONTRACT = range(5)
_BATCH = 50_000  # rows of a batch of a stream
_FEW_ROWS = 1_000_000  # each takes about 200 bytes while its quantiles are found
_MOST_STOPPED = 20  # each such row takes some twenty queries to find; more of them are a wrong expression


@dataclass(frozen=True)
class Partners:
    """Rows of another table to which rows refer, as SQL.

    Attributes:
        relation: A query with the columns by which a partner is found, each partner once, and what it brings, ``found``.
        same: Whether ``p``, one of them, is the partner of the row ``t``.
    """

    relation: str
    same: str


class TableCheck:
    """The rows of one table for a range of partitions, and the rules that they broke.

    Args:
        source: The table's spec.
        connection: A session in UTC whose relation ``landed`` has the table's rows: its columns as text,
            ``partition_date``, ``_file``, ``_line``, and ``_row``, the number of the row from 0 on.
        timezone: Zone of the pipeline's local dates.
        cutoff: Local time of a partition's cut-off.
    """

    def __init__(self, source: TableSpec, connection: duckdb.DuckDBPyConnection, timezone: str, cutoff: time) -> None:
        self.source, self.timezone, self.cutoff = source, timezone, cutoff
        self._daily = source.kind == "daily"
        self.connection, self._stopped = connection, 0
        self._marks, self._ranked = 0, False
        known_at = quoted(source.known_at) if source.known_at else None
        clock = f"timezone({literal(timezone)}, {known_at}) AS _known_clock, _known_clock::DATE AS _known_day"
        self._run(
            f"CREATE TABLE typed AS SELECT *{f', {clock}' if known_at else ''} FROM "
            f"(SELECT {ROW}, {PARTITION}, {cast_list(source.columns)} FROM landed)"
        )
        self._run(f"CREATE TABLE broken ({ROW} BIGINT, rank BIGINT, rule VARCHAR, detail VARCHAR)")
        ((self.landed,),) = self._all("SELECT count(*) FROM typed")
        self.days: list[date] = sorted(day for (day,) in self._all(f"SELECT DISTINCT {PARTITION} FROM typed"))
        self._register_days()

    def _run(self, query: str) -> None:
        self.connection.execute(query)

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def _arrow(self, query: str) -> pa.Table:
        return self.connection.sql(query).to_arrow_table()

    def _stream(self, query: str) -> pa.RecordBatchReader:
        return self.connection.sql(query).to_arrow_reader(_BATCH)

    def _register(self, name: str, table: pa.Table) -> None:
        self.connection.register(name, table)

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
        if self._all(f"FROM ({row_rules.shared_keys(self.source.key)}) LIMIT 1"):  # else no file is opened again
            self._mark(_KEY, row_rules.repeated_key(self.source.key, list(self.source.columns)))

    def check_label(self, expression: str, binary: bool) -> None:
        """Mark rows from which no label can be made, in a table of outcomes. A null is no label, and breaks no rule.

        Raises:
            SpecError: for an expression that does not fit the table, or stops at more than 20 rows.
        """
        self._check_label(expression, binary, range(self.landed))

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

    def check_earlier(self, before: str, days: int, may_change: Sequence[str] = ()) -> None:
        """Mark rows whose key was already good in an earlier partition.

        Call it after the contract, because a feed may deliver a bad row again, corrected, on the next day.

        Args:
            before: A relation of the session with the ``partition_date``, key and ``may_change`` of the good rows of the
                ``days`` partitions before the range.
            days: In how many partitions before a row's own its key is looked for.
            may_change: A row that differs in one of these columns replaces the earlier one, and breaks no rule.
        """
        named = listed([PARTITION, *self.source.key, *may_change])
        own = f"SELECT {named} FROM ({self._clean()})"
        self._run(f"CREATE TABLE earlier AS SELECT {named} FROM {quoted(before)} UNION ALL {own}")
        self._mark(_KEY, row_rules.known_key(self.source.key, days, may_change))

    def _value_rules(self) -> list[str]:
        """Return queries for the columns with bad values. Of a column without nulls, no text is read again."""
        columns = self.source.columns
        (typed,) = self._all(f"SELECT {_counts(columns)} FROM typed")
        values = dict(zip(columns, typed, strict=True))
        open_ones = [name for name in columns if values[name] < self.landed]
        if not open_ones:
            return []
        (given,) = self._all(f"SELECT {_counts(open_ones)} FROM landed")
        queries = []
        for name, texts in zip(open_ones, given, strict=True):
            queries += [row_rules.wrong_type(name, columns[name])] if values[name] < texts else []
            queries += [row_rules.missing_value(name)] if columns[name].required and texts < self.landed else []
        return queries

    def _mark(self, rank: int, query: str) -> None:
        self._run(f"INSERT INTO broken SELECT {ROW}, {self._place(rank)}, rule, detail FROM ({query})")

    def mark(self, order: int, rule: str, details: Mapping[int, str]) -> None:
        """Mark rows that broke a rule of the contract. ``order`` decides which broken rule is named first."""
        if details:
            self._mark_rows(_CONTRACT + order, rule, details)

    def _mark_rows(self, rank: int, rule: str, details: Mapping[int, str]) -> None:
        rows = pa.table({ROW: pa.array(details.keys(), pa.int64()), "detail": pa.array(details.values(), pa.string())})
        self._register("_marked", rows)
        place = self._place(rank)
        self.connection.execute(f"INSERT INTO broken SELECT {ROW}, {place}, ?, detail FROM _marked", [rule])

    def _place(self, rank: int) -> int:
        """The place of a rule among those that a row broke; of rules with the same rank, the first marked comes first."""
        self._marks, self._ranked = self._marks + 1, False
        return rank * 2**32 + self._marks

    def _clean(self) -> str:
        return f"SELECT * FROM typed ANTI JOIN broken USING ({ROW})"

    # ---- what the contract looks at ----

    def judge(self, columns: Mapping[str, str], partners: Mapping[str, Partners]) -> str:
        """Make the relation of the rows that broke no rule so far: ``_row``, and ``columns``, each a SQL expression.

        The expressions call a row ``t``. It has what each of its ``partners`` brings as a column of that name.

        Raises:
            SpecError: for an expression that DuckDB refuses, or that has no value for a row.
        """
        rows = self._clean()
        for name, each in partners.items():
            joined = f"FROM ({rows}) t LEFT JOIN ({each.relation}) p ON {each.same}"
            rows = f"SELECT t.*, p.found AS {quoted(name)} {joined}"
        listed = ", ".join([ROW, *(f"(\n{sql}\n) AS {quoted(name)}" for name, sql in columns.items())])
        try:
            self._run(f"CREATE TABLE judged AS SELECT {listed} FROM ({rows}) t")
        except (duckdb.DataError, duckdb.ProgrammingError) as error:
            raise SpecError(f"a derived value of the contract in expectations.py has no value: {error}") from error
        return "judged"

    def profile(self, columns: Iterable[str]) -> str:
        """Make the relation of one row per partition: ``day``, and the figures ``columns`` (``row_rules.profile_columns``)."""
        known = row_rules.profile_columns(self.source)
        listed = [f"{known[name]} AS {quoted(name)}" for name in columns]
        self._run(
            f"CREATE TABLE profile AS SELECT {', '.join([f't.{PARTITION}::VARCHAR AS day', *listed])} FROM typed t "
            f"LEFT JOIN (SELECT DISTINCT {ROW} AS bad_row FROM broken) b ON b.bad_row = t.{ROW} "
            f"GROUP BY t.{PARTITION}"
        )
        return "profile"

    def by_day(self, figures: Mapping[str, str]) -> pa.Table:
        """Return one row per partition with good rows: ``partition_date``, and SQL aggregates over these rows.

        Quantiles hold the values of their rows, whatever the limit. So a few partitions at a time are aggregated.
        """
        listed = ", ".join([PARTITION, *(f"{sql} AS {quoted(name)}" for name, sql in figures.items())])
        grouped = f"GROUP BY {PARTITION} ORDER BY {PARTITION}"
        return pa.concat_tables(
            self._arrow(f"SELECT {listed} FROM ({self._clean()}) WHERE {days} {grouped}") for days in self._few_days()
        )

    def _few_days(self) -> list[str]:
        """SQL of the days of a few rows, in order: all days together, if they have few."""
        found, rows = [[date.min]], 0
        for day, own in self._all(f"SELECT {PARTITION}, count(*) FROM typed GROUP BY ALL ORDER BY ALL"):
            if rows and rows + own > _FEW_ROWS:
                found.append([day])
                rows = 0
            found[-1].append(day)
            rows += own
        return [f"{PARTITION} BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'" for days in found]

    # ---- results ----

    def good_rows(self, refused: Iterable[date]) -> tuple[int, pa.RecordBatchReader]:
        """Count and stream the typed rows to publish. They broke no rule, and their partition is not refused.

        Rows of a daily table have ``visible_from``, the first partition whose cut-off is after ``known_at``. Read the
        stream before you ask for anything else.
        """
        listed, join = [f"c.{quoted(name)}" for name in self.source.columns], ""
        if self._daily and self.source.known_at:
            seen = f"c.{quoted(self.source.known_at)} < d.cutoff"
            visible = f"CASE WHEN {seen} THEN c._known_day ELSE c._known_day + 1 END"
            listed = [f"c.{PARTITION}", *listed, f"({visible})::DATE AS visible_from"]
            join = "LEFT JOIN days d ON d.day = c._known_day"
        out = ", ".join(f"DATE '{day}'" for day in refused)
        where = f"WHERE c.{PARTITION} NOT IN ({out})" if out else ""
        ((count,),) = self._all(f"SELECT count(*) FROM ({self._clean()}) c {where}")
        return count, self._stream(f"SELECT {', '.join(listed)} FROM ({self._clean()}) c {join} {where}")

    def bad_rows(self, **constants: str) -> pa.RecordBatchReader:
        """Stream the bad rows: ``partition_date``, first ``rule``, ``detail``, ``row`` as JSON, ``file`` and ``line``.

        Each of the ``constants``, a SQL expression, is a column of its own. Read the stream before you ask for anything
        else.
        """
        fields = ", ".join(f"{literal(name)}: l.{quoted(name)}" for name in self.source.columns)
        added = "".join(f", {sql} AS {quoted(name)}" for name, sql in constants.items())
        others = "array_to_string(list_filter(w.rules, lambda r: r <> w.rule), ', ')"
        return self._stream(f"""
            SELECT w.{PARTITION}, w.rule,
                w.detail || CASE WHEN len(w.rules) > 1 THEN '; also broke ' || {others} ELSE '' END AS detail,
                to_json({{{fields}}})::VARCHAR AS row, w._file AS file, w._line AS line{added}
            FROM {self.worst()} w JOIN landed l ON l.{ROW} = w.{ROW}""")

    def bad_by_rule(self, day: date | None = None) -> dict[str, int]:
        """Count the bad rows of each first broken rule, most first, in one partition or in all."""
        where = f"WHERE {PARTITION} = DATE '{day}'" if day else ""
        return dict(self._all(f"SELECT rule, count(*) FROM {self.worst()} {where} GROUP BY rule ORDER BY 2 DESC, 1"))

    def examples(self, count: int = 3) -> dict[str, list[str]]:
        """Return some bad rows of each first broken rule, with file, line and finding."""
        said = "_file || ', line ' || _line || ': ' || detail"
        return dict(self._all(f"SELECT rule, arg_min({said}, {ROW}, {count}) FROM {self.worst()} GROUP BY rule"))

    def first_bad(self, day: date) -> str:
        """Describe a partition's first bad row: file, line and detail."""
        ((file, line, rule, detail),) = self._all(f"""
            SELECT _file, _line, rule, detail FROM {self.worst()}
            WHERE {PARTITION} = DATE '{day}' ORDER BY _line, {ROW} LIMIT 1""")
        return f"{file}, line {line}: {rule}: {detail}"

    def worst(self) -> str:
        """The relation of the bad rows: where they lie, and which rule comes first of those that they broke.

        Details are without values of personal columns.
        """
        if not self._ranked:
            ((any_bad,),) = self._all("SELECT count(*) > 0 FROM broken")
            detail = masked_sql("w.detail", self.source.personal)
            landed = "landed" if any_bad else "(FROM landed LIMIT 0)"  # else every file would be opened for nothing
            self._run(f"""
                CREATE OR REPLACE TABLE worst AS
                SELECT l.{ROW}, l.{PARTITION}, l._file, l._line, w.rule, {detail} AS detail, w.rules FROM {landed} l JOIN (
                    SELECT {ROW}, arg_min(rule, rank) AS rule, arg_min(detail, rank) AS detail,
                        list_sort(list(DISTINCT rule)) AS rules
                    FROM broken GROUP BY {ROW}) w ON w.{ROW} = l.{ROW}""")
            self._ranked = True
        return "worst"


def _counts(columns: Iterable[str]) -> str:
    return ", ".join(f"count({quoted(name)})" for name in columns)
