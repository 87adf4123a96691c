"""Rows of a query to a Postgres database, as the database itself writes them as text, through one COPY.

The rows stream: neither the database's client nor this process holds them.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from contrail.adapters.sources import KEPT, Query
from contrail.config.names import quoted
from contrail.config.queries import with_parameters
from contrail.config.settings import Settings, connection_variable
from contrail.errors import ContrailError, DataError, EngineError, SpecError

_CONNECT_SECONDS = 30
# One form of instants and numbers, whatever the database's own settings are.
_FORMS = "SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'; SET IntervalStyle TO 'iso_8601'; SET extra_float_digits TO 1"
_BLOCK = 1 << 24  # a row must fit into it
_REFUSED = re.compile(
    r"authentication failed|no pg_hba.conf entry|does not exist|no password supplied|permission denied"
)
# Classes of SQLSTATE: lost connections, lack of resources, locks, an operator's hand, the system itself.
_PASSING = ("08", "40", "53", "55", "57", "58", "XX")
_OF_QUERY = ("0A", "26", "28", "34", "3D", "3F", "42")


@contextmanager
def postgres_rows(
    query: Query, parameters: dict[str, date | datetime], settings: Settings
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Run a query, and give its rows out; see ``sources.source_rows``."""
    import psycopg

    address = _address(query, settings)
    # A line break before the bracket: the query may end with a comment.
    asked = with_parameters(query.source.query, lambda name: f"%({name})s", lambda text: text.replace("%", "%%"))
    values: dict[str, Any] = {"none": None, **parameters}  # without any, psycopg would not undo the doubled %
    try:
        with psycopg.connect(
            address, connect_timeout=_CONNECT_SECONDS, application_name="contrail", client_encoding="UTF8"
        ) as connection:
            connection.execute(_FORMS)
            connection.commit()
            connection.read_only = True
            found = connection.execute(f"SELECT * FROM (\n{asked}\n) AS landed LIMIT 0", values)
            names = [column.name for column in found.description or ()]
            query.check(names)
            listed = ", ".join(f"{quoted(name)}::text".replace("%", "%%") for name in names)
            copy = f"COPY (SELECT {listed} FROM (\n{asked}\n) AS landed) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
            with connection.cursor() as cursor, cursor.copy(copy, values) as stream:
                yield _batches(_Stream(stream), names)
    except ContrailError:
        raise
    except psycopg.Error as error:
        raise _ours(query, error) from error


class _Stream:
    """What a COPY sends, as a file to read."""

    closed = False

    def __init__(self, copy: Any) -> None:
        self._copy = copy
        self._rest = bytes(copy.read())

    @property
    def is_empty(self) -> bool:
        return not self._rest

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = bytes(self._copy.read())
        given, self._rest = (self._rest[:size], self._rest[size:]) if size >= 0 else (self._rest, b"")
        return given

    def close(self) -> None:
        self.closed = True


def _batches(stream: _Stream, names: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows. Every value is in quotes, so that only a null is empty without them."""
    if stream.is_empty:
        return
    yield from pacsv.open_csv(
        pa.PythonFile(stream, mode="r"),
        read_options=pacsv.ReadOptions(column_names=names, block_size=_BLOCK),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _address(query: Query, settings: Settings) -> str:
    """The connection's URI. No message shows it: it may hold a password."""
    name = query.source.connection or ""
    known = settings.connections.get(name)
    if known:
        from contrail.adapters.secret_manager import read_secret

        where, found = f"the secret {known.secret}", read_secret(known.secret)
    else:
        where, value = connection_variable(name)
        found = value or ""
    if not found:
        raise SpecError(
            f"{query.place}: there is no connection '{name}'. Set {where} to postgresql://user:password@host/database, or "
            f"name its secret as connections.{name}.secret in the environment file. {KEPT}"
        )
    try:
        return _parsed(found.strip())
    except Exception:  # its words may repeat the password
        raise SpecError(
            f"{query.place}: {where} is no address of Postgres; write postgresql://user:password@host:5432/database. {KEPT}"
        ) from None


def _parsed(text: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    if text.startswith("{"):  # Airflow's JSON
        keys = {"host": "host", "port": "port", "login": "user", "password": "password", "schema": "dbname"}
        given = json.loads(text)
        return make_conninfo(**{ours: given[theirs] for theirs, ours in keys.items() if given.get(theirs)})
    if not text.startswith(("postgres://", "postgresql://")):
        raise ValueError
    conninfo_to_dict(text)  # raises for what is none
    return text


def _ours(query: Query, error: Any) -> ContrailError:
    state, said = error.sqlstate or "", " ".join(str(error).split())
    if (not state and _REFUSED.search(said)) or state.startswith("28"):
        return SpecError(
            f"{query.place}: the database refuses connection '{query.source.connection}': {said}. Mend its address or the "
            f"account's rights. {KEPT}"
        )
    if not state or state.startswith(_PASSING):
        return EngineError(f"{query.place}: the database does not answer properly: {said}. {KEPT} Try again later.")
    if state.startswith(_OF_QUERY):
        advice = "Give the account of the connection the right to read it" if state == "42501" else "Mend the query"
        return SpecError(f"{query.place}: Postgres refuses the query: {said}. {advice}. {KEPT}")
    return DataError(f"{query.place}: Postgres stopped with an error of its data: {said}. {KEPT}")
