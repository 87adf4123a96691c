"""One landed table during its validation: the session in which its rows are judged, and what was found so far."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import duckdb

from contrail.adapters.checks import Verdict
from contrail.adapters.contracts import Contract
from contrail.lake import mended
from contrail.lake.datasets import PARTITION
from contrail.lake.sessions import session
from contrail.methods.table_check import ROW, TableCheck
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import ValidateOptions as Options
from contrail.stages.refusals import Refusal, reference_partition
from contrail.stages.validation.unusual import Unusual

# Lays further mends over the landed rows, in the session that will judge them.
Mend = Callable[[duckdb.DuckDBPyConnection], None]


@dataclass
class Table:
    """One landed table during its validation. ``left`` are the days that stay as they are, because they are not due yet."""

    name: str
    contract: Contract
    partitions: Partitions | None
    inputs: Mapping[str, int | None]
    connection: duckdb.DuckDBPyConnection
    check: TableCheck
    verdicts: list[Verdict] = field(default_factory=list)
    partition_verdicts: list[Verdict] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unusual: Unusual = field(default_factory=Unusual)
    left: list[date] = field(default_factory=list)


@contextmanager
def opened(run: StageRun[Options], name: str, contract: Contract, mend: Mend | None = None) -> Iterator[Table]:
    """The rows of a table in a session that keeps within the memory limit. They never leave it as a whole."""
    inputs = _inputs(run, name, contract)
    spec, raw, partitions = run.pipeline.spec, f"raw_{name}", run.partitions_of(name)
    with session(run.settings) as connection:
        run.lake.view(connection, "landed_files", raw, partitions, snapshot_id=inputs[raw], row=ROW)
        days = partitions or [reference_partition(run)]
        mended.create_newest(connection, run.lake, name, days, inputs.get(mended.NAME))
        if mend:
            mend(connection)
        day = f", DATE '{reference_partition(run)}' AS {PARTITION}" if partitions is None else ""  # it is one partition
        any_mend = connection.execute("SELECT 1 FROM mends LIMIT 1").fetchall()
        rows = mended.laid_over(spec.tables[name]) if any_mend else "FROM landed_files"
        connection.execute(f"CREATE VIEW landed AS SELECT *{day} FROM ({rows})")
        check = TableCheck(spec.tables[name], connection, spec.timezone, spec.cutoff)
        yield Table(name, contract, partitions, inputs, connection, check)


def _inputs(run: StageRun[Options], name: str, contract: Contract) -> dict[str, int | None]:
    read = [f"raw_{name}", *(f"validated_{each.table}" for each in contract.references.values())]
    read += [mended.NAME] if run.lake.exists(mended.NAME) else []
    return {table: run.lake.snapshot_id(table) for table in read}
