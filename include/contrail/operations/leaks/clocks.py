"""Whether each source's clock agrees with what its rows report: nothing is known before it happens.

A feed whose local time was marked as UTC, or the other way round, tells the future by some hours. Contracts may find the
same, where somebody wrote the rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from contrail.config.names import listed, literal, quoted
from contrail.config.personal import MASK, hidden
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.operations.leaks.findings import LEAK, WARNING, Finding, Level, Row, Told, told
from contrail.operations.leaks.moved import EXAMPLES
from contrail.partitions import Partitions
from contrail.stages.refusals import counted

# Of fewer rows, single ones may be wrong. More of them show how the feed's clock runs.
_SHARE = 0.01
# Another zone is the reason when it mends so many of the rows that contradict.
_MENDED = 0.9
_RULE = "known_at_in_partition"


@dataclass(frozen=True)
class _Event:
    """What rows of a table report: SQL of its instant, null where there is none; ``words`` name it, ``rows`` have it.

    ``hidden``: one of the times is of persons.
    """

    table: str
    known_at: str
    at: str
    words: str
    rows: str
    hidden: bool = False


def of_clocks(connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, partitions: Partitions) -> Told:
    """Compare known-at columns with events, with the days of files, and with the time at which files were taken in."""
    for table in spec.daily_tables:
        lake.view(connection, f"clock_{table}", f"validated_{table}", partitions)
    events = list(_events(spec))
    findings = [found for event in events if (found := _contradicted(connection, spec, event))]
    for table in spec.daily_tables:
        findings += [*_ahead(connection, lake, spec, table, partitions)]
    findings += _out_of_their_files(connection, lake, spec, partitions)
    compared = (
        ", ".join(f"{event.table}.{event.known_at} with {event.words}" for event in events) or "No table has events"
    )
    return told(f"{compared}.", findings)


def _events(spec: PipelineSpec) -> Iterator[_Event]:
    """The times and dates of each table whose rows report what has happened, and of the entities that outcomes are of."""
    for table in spec.daily_tables:
        source = spec.tables[table]
        if source.known_ahead or source.known_at is None:
            continue
        for name, column in source.columns.items():
            if name != source.known_at and (at := _instant(spec, f"t.{quoted(name)}", column.type)):
                hidden = bool({name, source.known_at} & source.personal)
                yield _Event(table, source.known_at, at, name, f"clock_{table} t", hidden)
    label, entities = spec.tables[spec.label.table], spec.tables[spec.entities]
    times = [name for name, c in entities.columns.items() if c.type == "timestamp" and name != entities.known_at]
    if times and not label.known_ahead and spec.label.table != spec.entities:
        # What is expected of a thing may come late or early. Its outcome cannot come before the first of it.
        first = f"least({', '.join(f'e.{quoted(name)}' for name in times)})"
        keys, own = listed(spec.key), ", ".join((quoted(PARTITION), quoted(str(label.known_at))))
        rows = (
            f"(SELECT {own}, {keys} FROM clock_{spec.label.table}) t "
            f"JOIN (SELECT {keys}, {', '.join(map(quoted, times))} FROM clock_{spec.entities}) e USING ({keys})"
        )
        words = f"the first of {' and '.join(times)} in {spec.entities}"
        hidden = bool({*times, label.known_at} & spec.personal)
        yield _Event(spec.label.table, str(label.known_at), first, words, rows, hidden)


def _instant(spec: PipelineSpec, column: str, kind: str) -> str | None:
    if kind == "timestamp":
        return column
    # A date begins at its local midnight.
    return f"timezone({literal(spec.timezone)}, {column}::TIMESTAMP)" if kind == "date" else None


def _contradicted(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, event: _Event) -> Finding | None:
    """The rows that were known before what they report, and whether another zone explains them."""
    known, zone = f"t.{quoted(event.known_at)}", literal(spec.timezone)
    early = f"{known} < {event.at}"
    local_as_utc = f"timezone({zone}, timezone('UTC', {known})) >= {event.at}"
    utc_as_local = f"timezone('UTC', timezone({zone}, {known})) >= {event.at}"
    ((rows, wrong, local, utc),) = connection.sql(
        f"SELECT count({event.at}), count(*) FILTER ({early}), count(*) FILTER ({early} AND {local_as_utc}), "
        f"count(*) FILTER ({early} AND {utc_as_local}) FROM {event.rows}"
    ).fetchall()
    if not wrong:
        return None
    mended, why = max(
        (local, f"local time of {spec.timezone} marked as UTC"), (utc, f"UTC taken for local time of {spec.timezone}")
    )
    level: Level = WARNING
    says = f"{wrong:,} of {rows:,} rows were known before {event.words}"
    if wrong > _SHARE * rows and mended >= _MENDED * wrong:
        level, says = LEAK, f"{says}; {mended:,} of them agree if the times are {why}"
    return Finding(
        check="clock",
        level=level,
        subject=f"{event.table}.{event.known_at}",
        says=says,
        rows=wrong,
        examples=_examples(connection, spec, event, early),
    )


def _examples(connection: duckdb.DuckDBPyConnection, spec: PipelineSpec, event: _Event, early: str) -> tuple[Row, ...]:
    source = spec.tables[event.table]
    key = [name for name in source.key if name != event.known_at]
    shown = [name for name in key if name in spec.key or event.rows.startswith("clock_")]
    found: pa.Table = connection.sql(
        f"SELECT t.{PARTITION}, {''.join(f't.{quoted(name)}, ' for name in shown)}"
        f"t.{quoted(event.known_at)}::VARCHAR AS _value, ({event.at})::VARCHAR AS _other "
        f"FROM {event.rows} WHERE {early} ORDER BY ALL LIMIT {EXAMPLES}"
    ).to_arrow_table()
    return tuple(
        Row(
            partition=row[PARTITION],
            key=hidden({name: row[name] for name in shown}, source.personal),
            value=MASK if event.hidden else row["_value"],
            other=MASK if event.hidden else row["_other"],
        )
        for row in found.to_pylist()
    )


def _ahead(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, table: str, partitions: Partitions
) -> Iterator[Finding]:
    """Days whose rows claim to be known after their file was taken in."""
    known_at = spec.tables[table].known_at
    if known_at is None:
        return
    newest = dict(
        connection.sql(f"SELECT {PARTITION}, max({quoted(known_at)}) FROM clock_{table} GROUP BY ALL").fetchall()
    )
    states = lake.partitions(f"validated_{table}", partitions)
    ahead = [day for day, last in newest.items() if last and (at := states[day].updated_at) and last > at]
    if ahead:
        days = counted(len(ahead), "day")
        says = f"rows of {days}, first {min(ahead)}, claim to be known after they were in the lake"
        yield Finding(check="clock", level=WARNING, subject=f"{table}.{known_at}", says=says, rows=len(ahead))


def _out_of_their_files(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, partitions: Partitions
) -> list[Finding]:
    """Rows that validation set aside, because they became known on another day than that of their file."""
    if not lake.exists("quarantine"):
        return []
    lake.view(connection, "clock_quarantine", "quarantine", partitions, [PARTITION, "table_name", "rule"])
    found = connection.sql(
        f"SELECT table_name, count(*) FROM clock_quarantine WHERE rule = '{_RULE}' GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    says = "of the quarantine became known on another day than that of their file: is their time zone right?"
    return [
        Finding(
            check="clock",
            level=WARNING,
            subject=f"{table}.{spec.tables[table].known_at}",
            says=f"{counted(rows, 'row')} {says}",
            rows=rows,
        )
        for table, rows in found
        if table in spec.tables
    ]
