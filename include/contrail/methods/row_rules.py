"""The rules that apply to every table, as DuckDB queries.

Each query may read three tables:

- ``landed``: the rows as text, with ``_row``, ``_file`` and ``_line``;
- ``typed``: the same rows, typed, with ``_known_clock`` and ``_known_day``, the local time and date of ``known_at``;
- ``days``: ``day``, and its ``cutoff`` as an instant.

A query of a rule returns ``_row``, ``rule`` and ``detail`` of the rows that break it. A pipeline's own rules belong in
its contract.
"""

from collections.abc import Sequence

from contrail.config.names import listed, literal, quoted
from contrail.config.table_spec import ColumnSpec, TableSpec
from contrail.methods.casting import misfit_sql


def wrong_type(name: str, column: ColumnSpec) -> str:
    """Find text that does not have the column's type, and values that the type cannot hold."""
    own, before = quoted(name), literal(f'column {name}: "')
    return f"""
        SELECT l._row, {literal(f"type:{name}")} AS rule,
            {before} || left(l.{own}, 80) || '" ' || {misfit_sql(name, column.type)} AS detail
        FROM landed l SEMI JOIN (SELECT t._row FROM typed t WHERE t.{own} IS NULL) n USING (_row)
        WHERE l.{own} IS NOT NULL"""


def missing_value(name: str) -> str:
    """Find rows without a value in a required column."""
    said = literal(f"column {name}: no value, and it is required")
    return f"""
        SELECT l._row, {literal(f"not_null:{name}")} AS rule, {said} AS detail
        FROM landed l WHERE l.{quoted(name)} IS NULL"""


def known_outside_partition(known_at: str, timezone: str) -> str:
    """Find rows that became known on another local day than their partition's."""
    return f"""
        SELECT t._row, 'known_at_in_partition' AS rule,
            concat({literal(f"column {known_at}: ")}, t.{quoted(known_at)}::VARCHAR, ' is on ', t._known_day::VARCHAR,
                {literal(f" in {timezone}, in the file of ")}, t.partition_date::VARCHAR) AS detail
        FROM typed t WHERE t._known_day <> t.partition_date"""


def known_after_cutoff(known_at: str) -> str:
    """Find rows of a table known ahead that became known at or after their partition's cut-off."""
    own = f"t.{quoted(known_at)}"
    return f"""
        SELECT t._row, 'known_at_in_partition' AS rule,
            concat({literal(f"column {known_at}: ")}, {own}::VARCHAR, ' is not before the cut-off ', d.cutoff::VARCHAR,
                ' of partition ', t.partition_date::VARCHAR) AS detail
        FROM typed t JOIN days d ON d.day = t.partition_date WHERE {own} >= d.cutoff"""


def shared_keys(key: Sequence[str]) -> str:
    """List the keys that several rows of a partition share. It has a column for each part of the key."""
    return f"SELECT {listed(['partition_date', *key])} FROM typed GROUP BY ALL HAVING count(*) > 1"


def repeated_key(key: Sequence[str], columns: Sequence[str]) -> str:
    """Find rows that share their key within a partition. Of equal rows it finds all but the first, of others all."""
    names = ["partition_date", *key]
    keys, own = listed(names), ", ".join(f"t.{quoted(name)}" for name in names)
    values = ", ".join(f"t.{quoted(name)}" for name in columns)
    shown = ", ', ', ".join(f"{literal(f'{name}=')}, t.{quoted(name)}::VARCHAR" for name in key)
    return f"""
        WITH repeated AS ({shared_keys(key)}),
        candidates AS (
            SELECT t._row, concat({shown}) AS shown, row_number() OVER same AS place,
                concat('line ', first(l._line) OVER same, CASE WHEN first(l._file) OVER same <> l._file
                    THEN concat(' of ', first(l._file) OVER same) ELSE '' END) AS first_line,
                min(ROW({values})) OVER same AS least, max(ROW({values})) OVER same AS most
            FROM typed t JOIN repeated r USING ({keys}) JOIN landed l ON l._row = t._row
            WINDOW same AS (
                PARTITION BY {own} ORDER BY l._file, l._line
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
        SELECT _row, 'unique_key' AS rule,
            CASE WHEN least IS NOT DISTINCT FROM most THEN concat('the same row as ', first_line)
            ELSE concat('key ', shown, ' occurs more than once with different values, first on ', first_line) END AS detail
        FROM candidates WHERE place > 1 OR least IS DISTINCT FROM most"""


def known_key(key: Sequence[str], days: int, may_change: Sequence[str] = ()) -> str:
    """Find rows whose key is in one of the last ``days`` partitions (``earlier``: ``partition_date``, key, ``may_change``).

    A row that differs from the newest of them in a column of ``may_change`` replaces it, and breaks no rule.
    """
    same = " AND ".join(f"t.{quoted(name)} = e.{quoted(name)}" for name in key)
    equal = " AND ".join(f"t.{quoted(name)} IS NOT DISTINCT FROM e.{quoted(name)}" for name in may_change) or "true"
    return f"""
        SELECT t._row, 'unique_key' AS rule,
            printf('the key is in partition %s already', max(e.partition_date)::VARCHAR) AS detail
        FROM typed t JOIN earlier e ON {same}
            AND e.partition_date BETWEEN t.partition_date - {days} AND t.partition_date - 1
        GROUP BY t._row HAVING arg_max({equal}, e.partition_date)"""


def wrong_label(expression: str, binary: bool, rows: range) -> str:
    """Find rows from which no label can be made: infinite ones, and those of a binary task that are not 0 or 1."""
    fits, words = ("_label IN (0, 1)", "0 or 1") if binary else ("isfinite(_label)", "a finite number")
    return f"""
        SELECT _row, 'label' AS rule, 'label.expression gives ' || _label || ', and a label is {words}' AS detail
        FROM (
            SELECT _row, CAST(({expression}) AS DOUBLE) AS _label
            FROM typed WHERE _row BETWEEN {rows.start} AND {rows.stop - 1} AND _row NOT IN (SELECT _row FROM broken)
        ) WHERE NOT {fits}"""


_FIXED = {"rows": "count(*)", "bad_share": "avg((b.bad_row IS NOT NULL)::INT)"}
# Hours on the local clock. Elapsed hours would be one off on the days on which the clock changes.
_BY_TIME = {
    "known_from_hour": "epoch(min(t._known_clock) - t.partition_date::TIMESTAMP) / 3600",
    "known_to_hour": "epoch(max(t._known_clock) - t.partition_date::TIMESTAMP) / 3600",
}
_BY_COLUMN = {"null_share_": "avg(({} IS NULL)::INT)", "distinct_": "count(DISTINCT {})", "mean_": "avg({}::DOUBLE)"}


def profile_columns(source: TableSpec) -> dict[str, str]:
    """Return the figures that describe a partition: the name of each, and its SQL aggregate.

    The aggregates are over ``typed t`` and ``b.bad_row``, which is null for a good row.
    """
    found = dict(_FIXED)
    if source.known_at:
        found |= _BY_TIME
    for prefix, sql in _BY_COLUMN.items():
        numbers = (name for name, column in source.columns.items() if column.type in ("int", "float", "bool"))
        columns = numbers if prefix == "mean_" else source.columns
        found |= {prefix + name: sql.format(f"t.{quoted(name)}") for name in columns}
    return found
