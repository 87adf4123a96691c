"""The rows of a table that have a key, at any snapshot, under the names that their columns have today.

A prediction outlives changes of the spec: its key, its features and their table may have had other names. How a person
writes a key is here too. What a row means does not belong here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from contrail.config.names import listed, quoted
from contrail.config.personal import hidden
from contrail.config.problems import hint
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnType
from contrail.errors import MissingInputError, SpecError
from contrail.lake import readers, snapshots
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.moving import moved_tables
from contrail.lake.parquet import earlier_of
from contrail.lake.records import all_datasets
from contrail.lake.sessions import session
from contrail.lake.sql import in_words
from contrail.methods.casting import cast_sql, misfit_sql
from contrail.partitions import Partitions

_SPANS = (1, 31, 366)  # days in which the newest row of a key is looked for, before all of them


def parse_key(spec: PipelineSpec, text: str) -> dict[str, str]:
    """Read a key as a person writes it: values by name, or values alone in the order of the key.

    Raises:
        SpecError: with the forms that this pipeline's key may have.

    Example:
        >>> parse_key(spec, "7"), parse_key(spec, "ship_date=2024-03-01, parcel=7")
        ({'parcel': '7'}, {'ship_date': '2024-03-01', 'parcel': '7'})
    """
    entity = entity_columns(spec)
    given = text.strip()
    if given.startswith("{"):
        return _object(spec, given)
    parts = [part.strip() for part in given.split(",")]
    if any("=" in part for part in parts):
        pairs = [part.partition("=") for part in parts]
        if all(name.strip() and equals and value.strip() for name, equals, value in pairs):
            return {name.strip(): value.strip() for name, _, value in pairs}
    elif all(parts):
        for names in (entity, list(spec.key)):
            if len(parts) == len(names):
                return dict(zip(names, parts, strict=True))
    raise SpecError(f"'{given}' is no key of {spec.name}. {key_help(spec)}")


def entity_columns(spec: PipelineSpec) -> list[str]:
    """The columns of the key that name the same thing on every day: those that are no dates or times."""
    columns = spec.tables[spec.entities].columns
    return [name for name in spec.key if columns[name].type not in ("date", "timestamp")]


def key_help(spec: PipelineSpec) -> str:
    """How a key of this pipeline may be written."""
    entity = entity_columns(spec)
    forms = [names for names in (entity, list(spec.key)) if names]
    values = " or ".join(dict.fromkeys(",".join(f"<{name}>" for name in names) for names in forms))
    named = ",".join(f"{name}=…" for name in (entity or spec.key))
    return f"Write {values}; or name them: {named}; or, where values have commas, a JSON object."


def _object(spec: PipelineSpec, text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SpecError(f"the key is no valid JSON ({error}). {key_help(spec)}") from error
    if not found or any(isinstance(value, dict | list | None) for value in found.values()):
        raise SpecError(f"each value of the key must be a text, a number, true or false. {key_help(spec)}")
    return {name: str(value) for name, value in found.items()}


def checked_key(lake: Lake, spec: PipelineSpec, key: Mapping[str, object]) -> dict[str, str]:
    """Check that each name is a column of the key, and each value one of its type. Return the values as text.

    Raises:
        SpecError: naming what is not.
    """
    columns, given = spec.tables[spec.entities].columns, {name: str(value) for name, value in key.items()}
    for name in given:
        if name not in spec.key:
            raise SpecError(f"'{name}' is no column of the key of {spec.name}; {hint(name, spec.key, 'the key')}")
    with session(lake.settings) as connection:
        for name, value in given.items():
            kind: ColumnType = columns[name].type
            query = f"SELECT {cast_sql('v', kind)} IS NULL, {misfit_sql('v', kind)} FROM (SELECT $1::VARCHAR AS v)"
            ((wrong, words),) = connection.execute(query, [value]).fetchall()
            if wrong:
                shown = hidden({name: value}, spec.personal)[name]
                raise SpecError(f"{name} of the key: '{shown}' {words}")
    return given


def rows_with(
    lake: Lake,
    spec: PipelineSpec,
    table: str,
    key: Mapping[str, str],
    days: Partitions | None,
    snapshot: int | None = None,
    names: Sequence[str] = (),
    sample: tuple[int, int] | None = None,
) -> pa.Table:
    """Read the rows of a table that have these values in columns of the key, in the order of partition and key.

    Args:
        lake: The pipeline's tables.
        spec: Says what columns are called now, and what they were called before.
        table: The table, or one that was moved away.
        key: Values as text; see ``checked_key``.
        days: Partitions to read; None for all.
        snapshot: The table as it was at this snapshot. Default: as it is now.
        names: Further columns that must have these names, where the table ever called them so.
        sample: So many of these rows, chosen at random from a seed.

    Raises:
        MissingInputError: when the snapshot has expired.
    """
    schema = readers.schema(lake, table, snapshot)
    files = readers.files(lake, table, days, snapshot)
    shown = ", ".join(f"{quoted(there)} AS {quoted(now)}" for there, now in _today(spec, table, schema, names))
    with session(lake.settings) as connection, in_words(lake, spec):
        readers.create_view(connection, "found", schema, files, select=f"SELECT {shown}")
        relation = connection.table("found")
        kinds = dict(zip(relation.columns, relation.types, strict=True))
        same = [f"{quoted(name)} = ${n}::{kinds[name]}" for n, name in enumerate(key, start=1)]
        query = f"SELECT * FROM found WHERE {' AND '.join(same) or 'true'}"
        if sample:
            query += f" USING SAMPLE reservoir({sample[0]} ROWS) REPEATABLE ({sample[1]})"
        query = f"SELECT * FROM ({query}) ORDER BY {listed((PARTITION, *spec.key))}"
        return connection.sql(query, params=list(key.values())).to_arrow_table()


def _today(spec: PipelineSpec, table: str, schema: pa.Schema, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each column of a table, and what it is called now. A column that the spec has no more keeps its name."""
    known = {name: field.name for field in schema for name in (*earlier_of(field), field.name)}
    dataset = next(d for name, d in all_datasets(spec).items() if table in (name, *moved_tables([table], name)))
    wanted = {name: (name, *column.renamed_from) for name, column in dataset.columns.items()}
    wanted = {name: (name,) for name in names} | wanted
    found = (
        (next((known[other] for other in others if other in known), None), name) for name, others in wanted.items()
    )
    now = {there: name for there, name in found if there}
    return ((field.name, now.get(field.name, field.name)) for field in schema)


def holder_of(lake: Lake, name: str, snapshot: int) -> str | None:
    """The table that has a snapshot: this one, or one that was moved away from its name. None: it has expired."""
    existing = lake.table_names()
    candidates = [one for one in (name, *moved_tables(existing, name)) if one in existing]
    return next((one for one in candidates if snapshots.find(lake.table(one), snapshot)), None)


def newest_day(lake: Lake, spec: PipelineSpec, key: Mapping[str, str], snapshot: int | None) -> date:
    """The newest day on which the key has a prediction. A recent one is found without a look at the older days.

    Raises:
        MissingInputError: when it has none.
    """
    last = lake.ends("predictions")
    if last is not None:
        for span in (*_SPANS, len(last)):
            back = Partitions(max(last.start, last.end - timedelta(days=span - 1)), last.end)
            days = rows_with(lake, spec, "predictions", key, back, snapshot).column(PARTITION)
            if len(days):
                found: Any = days[-1].as_py()
                return found
    raise MissingInputError(
        f"{spec.name} has no prediction of any day with {said(spec, key)}; {no_predictions(lake, spec)}."
    )


def no_predictions(lake: Lake, spec: PipelineSpec) -> str:
    """The days that have predictions, or what to do when none has."""
    has = lake.ends("predictions")
    return f"it has {has}" if has else f"it has none yet: contrail status -p {spec.name} says what comes next"


def said(spec: PipelineSpec, key: Mapping[str, object]) -> str:
    """A key in words, as messages show it: what is of persons is hidden."""
    return ", ".join(f"{name}={value}" for name, value in hidden(key, spec.personal).items()) or "no key given"
