"""Whether a pipeline's ``build`` returned the entities that it was asked for: all of them, and no other.

A row that an inner join loses is a prediction that nobody misses.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from upath import UPath

from contrail.config.names import listed
from contrail.config.personal import hidden
from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION
from contrail.lake.parquet import parquet_files, plain, read_batches
from contrail.lake.sessions import session
from contrail.methods.windows import VISIBLE
from contrail.stages.base import StageRun

if TYPE_CHECKING:
    import duckdb

_KEPT = "Nothing was published; features are as they were."


def check_asked(run: StageRun[Any], built: UPath, snapshot: int | None) -> None:
    """Compare the keys of built features with the entities that were known at their cut-off.

    Args:
        run: Names the pipeline and its partitions.
        built: Folder of the Parquet files that the engine wrote.
        snapshot: Of the validated entities.

    Raises:
        SpecError: with the numbers, an example, and what in ``features.py`` to look at.
    """
    spec = run.pipeline.spec
    with session(run.settings) as connection:
        if not _register(run, connection, built, snapshot):
            return  # the publisher's audit names every column of another type
        (number,) = connection.sql("SELECT count(*) FROM asked").fetchall()[0]
        left_out, example = _without(connection, "asked", "returned", spec.personal)
        if left_out:
            raise SpecError(
                f"{_place(run)} left out {left_out} of {number} rows of {spec.entities}, for example {example}. "
                "Each needs a row of features, or nobody would notice that it has no prediction. A left join keeps the "
                f"rows whose other table has none. {_KEPT}"
            )
        not_asked, example = _without(connection, "returned", "asked", spec.personal)
        if not_asked:
            raise SpecError(
                f"{_place(run)} returned {not_asked} rows that are no {spec.entities} of {run.partitions} known at "
                f"their cut-off, for example {example}. Begin with contrail.api.asked_rows. {_KEPT}"
            )


def _register(run: StageRun[Any], connection: "duckdb.DuckDBPyConnection", built: UPath, snapshot: int | None) -> bool:
    """Make the tables ``asked`` and ``returned`` of keys; False if a key of the built rows has another type."""
    name = f"validated_{run.pipeline.spec.entities}"
    schema = run.lake.schema(name)
    keys = list(dict.fromkeys([PARTITION, *run.pipeline.spec.key]))
    own = pa.schema([schema.field(each) for each in keys])
    known = own.append(schema.field(VISIBLE))
    files = run.lake.files(name, run.partitions, snapshot)
    _create(connection, "entities", plain(known), read_batches(files, known) if files else ())
    chosen = listed(keys)
    connection.execute(f"CREATE VIEW asked AS SELECT {chosen} FROM entities WHERE {VISIBLE} <= {PARTITION}")
    other: list[Exception] = []
    _create(connection, "returned", plain(own), _keys(built, plain(own), other))
    return not other


def _create(
    connection: "duckdb.DuckDBPyConnection", table: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]
) -> None:
    connection.register("stream", pa.RecordBatchReader.from_batches(schema, rows))
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM stream")
    connection.unregister("stream")


def _place(run: StageRun[Any]) -> str:
    return f"{run.pipeline.folder / 'features.py'}: build()"


def _keys(built: UPath, schema: pa.Schema, other: list[Exception]) -> Iterator[pa.RecordBatch]:
    """Yield the keys of the built rows. If one has another type, put the error into ``other`` and end."""
    # An engine writes no file of no rows.
    if files := sorted(str(path) for path in built.glob("**/*.parquet")):
        for batch in parquet_files(files).to_batches(columns=schema.names):
            try:
                yield batch.cast(schema)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                other.append(error)
                return


def _without(
    connection: "duckdb.DuckDBPyConnection", rows: str, others: str, personal: Collection[str]
) -> tuple[int, dict[str, str]]:
    """The number of rows that the other table lacks, and one of them as messages show it."""
    names = [name for name, *_ in connection.sql(f"DESCRIBE {rows}").fetchall()]
    missing = f"FROM {rows} ANTI JOIN {others} USING ({listed(names)})"
    (number,) = connection.sql(f"SELECT count(*) {missing}").fetchall()[0]
    first = connection.sql(f"SELECT * {missing} LIMIT 1").fetchall() if number else []
    example = {name: str(value) for row in first for name, value in zip(names, row, strict=True)}
    return number, hidden(example, personal)
