"""Everything that a person asks about the lake's tables: what they hold, how fresh they are, and who made each snapshot.

It reads no rows. Questions about rows belong to ``contrail.lake.sql``.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime

from contrail.config.pipeline import Pipeline
from contrail.config.table_spec import ColumnSpec
from contrail.errors import DamagedError, SpecError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.lake.records import all_datasets
from contrail.lake.views import shown

_SNAPSHOTS = 200  # the newest, which a person sees
# What a provenance may say besides its own fields, and a table of snapshots shows.
_SAID = ("person", "reason", "model_version", "backfill")


class TableLine(Frozen):
    """A table in the list. ``last`` is its newest partition; ``rows`` is None for a view, and where nothing is published."""

    name: str
    doc: str
    view: bool
    first: date | None = None
    last: date | None = None
    rows: int | None = None
    changed_at: datetime | None = None


class TableColumn(Frozen):
    """A column. ``personal`` values are shown as pseudonyms; ``key`` columns identify a row."""

    name: str
    type: str
    required: bool
    personal: bool
    key: bool
    doc: str


class Snapshot(Frozen):
    """A snapshot, who made it and from what. ``rows`` counts the table, ``written`` what its job wrote.

    ``same`` names those of the ``partitions`` whose rows stayed as they were. ``said`` has what the stage added: the
    person, the reason, the model's version, the backfill; and who last went back to it.
    """

    snapshot: str
    committed_at: datetime
    current: bool
    tags: tuple[str, ...]
    stage: str
    partitions: str
    same: str
    rows: int
    written: int | None
    run_id: str
    code_revision: str
    inputs: tuple[str, ...]
    said: Mapping[str, str]


class TableDetails(Frozen):
    """A table with its columns and its newest snapshots. ``snapshots_kept`` counts all that the lake still has.

    ``lost`` says what is wrong with the file of earlier ones, and is empty where nothing is.
    """

    table: TableLine
    columns: tuple[TableColumn, ...]
    snapshots: tuple[Snapshot, ...]
    snapshots_kept: int
    lost: str = ""


def tables(lake: Lake, pipeline: Pipeline) -> tuple[TableLine, ...]:
    """List every table of a pipeline, and the views over them."""
    existing = set(lake.table_names())
    return tuple(_line(lake, pipeline, dataset, existing) for dataset in shown(pipeline.spec).values())


def table(lake: Lake, pipeline: Pipeline, name: str) -> TableDetails:
    """Describe one table or view.

    Raises:
        SpecError: for a name that the pipeline does not have; the message lists the names.
    """
    known = shown(pipeline.spec)
    if name not in known:
        raise SpecError(f"no table '{name}'. Tables: {', '.join(known)}")
    existing = set(lake.table_names())
    lost: list[DamagedError] = []
    entries = lake.history(name, lost.append) if name in existing else []
    return TableDetails(
        table=_line(lake, pipeline, known[name], existing),
        columns=tuple(_column(known[name], column, spec) for column, spec in known[name].columns.items()),
        snapshots=tuple(_snapshot(entry) for entry in entries[:_SNAPSHOTS]),
        snapshots_kept=len(entries),
        lost="".join(map(str, lost)),
    )


def _line(lake: Lake, pipeline: Pipeline, dataset: Dataset, existing: set[str]) -> TableLine:
    line = TableLine(name=dataset.name, doc=dataset.doc, view=dataset.name not in all_datasets(pipeline.spec))
    found = lake.find(dataset.name) if dataset.name in existing else None
    current = found.current_snapshot() if found else None
    if current is None:
        return line
    days = lake.ends(dataset.name) if PARTITION in dataset.partition_by else None
    summary = current.summary.additional_properties if current.summary else {}
    return line.model_copy(
        update={
            "first": days.start if days else None,
            "last": days.end if days else None,
            "rows": int(summary.get("total-records", 0)),
            "changed_at": datetime.fromtimestamp(current.timestamp_ms / 1000, UTC),
        }
    )


def _column(dataset: Dataset, name: str, spec: ColumnSpec) -> TableColumn:
    return TableColumn(
        name=name,
        type=spec.type,
        required=spec.required,
        personal=spec.personal,
        key=name in dataset.key,
        doc=spec.doc,
    )


def _snapshot(entry: HistoryEntry) -> Snapshot:
    made = entry.provenance
    return Snapshot(
        snapshot=str(entry.snapshot),  # a browser's numbers lose its last digits
        committed_at=datetime.fromisoformat(entry.committed_at),
        current=entry.current,
        tags=entry.tags,
        stage=made.stage,
        partitions=entry.commit.label,
        same=entry.commit.same_label,
        rows=entry.rows,
        written=entry.commit.job_rows,
        run_id=made.run_id,
        code_revision=made.code_revision,
        inputs=tuple(f"{name}@{snapshot}" for name, snapshot in made.inputs.items()),
        said={
            **{name: made.extra[name] for name in _SAID if made.extra.get(name)},
            **({"rollback": entry.rollback} if entry.rollback else {}),
        },
    )
