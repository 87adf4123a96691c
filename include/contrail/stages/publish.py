"""Copy what analysts query from the lake to the warehouse, a partition at a time, and compare the two.

The stage copies a partition when its record in the warehouse differs from the rows that the lake has now. It also makes
the views, which leave out what analysts may not see. Other stages compute the rows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from contrail.adapters.bigquery import Warehouse
from contrail.adapters.bigquery_replacement import Publication, Replacement
from contrail.config.names import quoted
from contrail.errors import DataError, SpecError
from contrail.lake import records
from contrail.lake.datasets import Dataset
from contrail.lake.loadable import loadable
from contrail.lake.readers import create_view
from contrail.lake.sessions import session
from contrail.lake.warehouse import (
    TABLES,
    Fingerprint,
    Fingerprints,
    differences,
    fingerprints,
    published,
    views,
)
from contrail.partitions import as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import PublishOptions as Options
from contrail.stages.results import CopiedTable, PublishDetails, StageResult

# The job that published a partition before, then its new number of rows and checksum.
Change = tuple[str | None, int | None, int | None]

# Attempts at a table. The stage reads the lake again if another run committed to it meanwhile.
_ROUNDS = 3


def execute(run: StageRun[Options]) -> StageResult[PublishDetails]:
    """Publish the range's predictions, performance and drift, as far as the lake has these tables.

    Raises:
        SpecError: when the environment has no ``analysts``, or the warehouse's tables cannot take the columns.
        MissingInputError: when the options name a table that the lake does not have.
        DataError: naming the partitions in which warehouse and lake differ.
        InputsChangedError: when another publisher was first. The stage must compare again.
    """
    analysts = run.settings.analysts
    if analysts is None:
        raise SpecError(
            f"the environment '{run.settings.name}' has no `analysts`, so there is no warehouse to publish to. Analysts query "
            f'the lake here: contrail query --pipeline {run.pipeline.name} "SELECT * FROM predictions_latest"'
        )
    asked = run.options.tables
    if unknown := sorted(set(asked) - set(TABLES)):
        raise SpecError(f"not published: {', '.join(unknown)}. Tables: {', '.join(TABLES)}")
    warehouse = Warehouse(analysts, run.pipeline.name, run.settings.dispatch.labels)
    tables = list(published(run.pipeline.spec))
    for dataset in (*tables, records.publications(run.pipeline.spec)):
        warehouse.ensure(dataset)
    for view in views(run.pipeline.spec):
        warehouse.ensure_view(view)
    wanted = [dataset for dataset in tables if dataset.name in (asked or TABLES)]
    copied = {d.name: _publish(run, warehouse, d) for d in wanted if d.name in asked or run.lake.exists(d.name)}
    return result_of(
        run,
        rows=sum(table.rows for table in copied.values()),
        unchanged=not any(table.partitions for table in copied.values()),
        details=PublishDetails(tables=copied),
    )


@dataclass(frozen=True)
class _State:
    """A table of the lake at one snapshot."""

    snapshot: int
    fingerprints: Fingerprints


def _publish(run: StageRun[Options], warehouse: Warehouse, dataset: Dataset) -> CopiedTable:
    copied: set[date] = set()
    rows = 0
    for attempt in range(1, _ROUNDS + 1):
        # Read the records before the lake. A later record may be of newer rows, and stays.
        recorded = warehouse.publications(dataset.name, run.partitions)
        state = _read(run, dataset)
        again = run.options.again and attempt == 1
        if days := _outdated(state, recorded, again):
            rows = _copy(run, warehouse, dataset, state, days, recorded)
            copied |= set(days)
        wrong = differences(state.fingerprints, warehouse.fingerprints(dataset, run.partitions))
        if not wrong:
            break
        if attempt == _ROUNDS or run.lake.snapshot_id(dataset.name) == state.snapshot:
            raise _unequal(run, warehouse, dataset, wrong)
    shown = tuple(str(days) for days in as_ranges(copied))
    run.progress(f"{dataset.name}: {', '.join(shown) or 'no partition'} replaced; warehouse and lake are the same")
    return CopiedTable(rows=rows, partitions=shown, lake_snapshot=state.snapshot)


def _read(run: StageRun[Options], dataset: Dataset) -> _State:
    run.lake.table(dataset.name)  # an error names all tables, if this one does not exist
    snapshot = run.lake.snapshot_id(dataset.name) or 0
    files = run.lake.files(dataset.name, run.partitions, snapshot or None)
    with session(run.settings) as connection:
        create_view(connection, dataset.name, run.lake.schema(dataset.name), files)
        return _State(snapshot, fingerprints(connection, dataset, quoted(dataset.name), run.partitions))


def _outdated(state: _State, recorded: Mapping[date, Publication], again: bool) -> list[date]:
    """The partitions whose record is not of the lake's rows.

    This compares rows, not snapshots. A table has a new snapshot whenever another day was published, and an expired
    snapshot tells nothing. Every row names its run, so a partition that was computed again is outdated.
    """
    if again:
        return sorted({*state.fingerprints, *recorded})
    return differences(state.fingerprints, {day: record.rows for day, record in recorded.items()})


def _copy(
    run: StageRun[Options],
    warehouse: Warehouse,
    dataset: Dataset,
    state: _State,
    days: list[date],
    before: Mapping[date, Publication],
) -> int:
    """Load the rows, check them, and replace the partitions. Return the number of rows."""
    wanted = {day: found for day in days if (found := state.fingerprints.get(day))}
    work = work_name(run.pipeline.name, dataset.name, {day: _change(before.get(day), wanted.get(day)) for day in days})
    rows = sum(found.rows for found in wanted.values())
    staging = None
    if wanted:
        run.progress(f"{dataset.name}: loading {rows:,} rows of {len(days)} partitions")
        staging = warehouse.load(dataset, _files(run, dataset, state, days))
        if differences(wanted, warehouse.fingerprints(dataset, run.partitions, staging)):
            raise DataError(f"{staging} does not hold the lake's rows. Readers see what was there before.")
    noted = {day: Publication(dataset.name, state.snapshot, wanted.get(day, Fingerprint()), run.run_id) for day in days}
    replaced = {before[day].job for day in days if day in before}
    warehouse.replace(Replacement(dataset, staging, noted, replaced), work)
    if staging:
        warehouse.drop(staging)
    return rows


def _files(run: StageRun[Options], dataset: Dataset, state: _State, days: list[date]) -> list[str]:
    """The Parquet files of these partitions, with the columns of the warehouse's table."""
    own = [file for part in as_ranges(days) for file in run.lake.files(dataset.name, part, state.snapshot)]
    copy = run.staging / f"{dataset.name}.parquet"
    return loadable(own, run.lake.schema(dataset.name), dataset.staged_schema(), copy)


def _change(before: Publication | None, wanted: Fingerprint | None) -> Change:
    rows, checksum = (wanted.rows, wanted.checksum) if wanted else (None, None)
    return before.job if before else None, rows, checksum


def work_name(pipeline: str, table: str, changes: Mapping[date, Change]) -> str:
    """The name of the job that makes these changes, the same for every attempt.

    A change goes from the job that published the partition before to the new rows. With a name from the rows alone, a
    return to earlier rows would find the job of that time, and would change nothing.
    """
    told = json.dumps([pipeline, table, [[str(day), *change] for day, change in sorted(changes.items())]])
    return f"contrail-{pipeline}-{table}-{hashlib.sha256(told.encode()).hexdigest()[:20]}"


def _unequal(run: StageRun[Options], warehouse: Warehouse, dataset: Dataset, wrong: list[date]) -> DataError:
    days = ", ".join(str(part) for part in as_ranges(wrong))
    return DataError(
        f"{warehouse.name_of(dataset.name)} is not what the lake has in {len(wrong)} of {len(run.partitions)} partitions: "
        f"{days}. Somebody has changed rows there. To replace them: contrail publish --pipeline {run.pipeline.name} "
        f"--from {wrong[0]} --to {wrong[-1]} --table {dataset.name} --again"
    )
