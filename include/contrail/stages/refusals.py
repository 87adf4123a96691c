"""Refused files and partitions: their rows in the lake and their words for a person.

The stages that refuse share this. Each stage decides what it refuses, and why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.lake.lake import Lake
from contrail.partitions import as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

_SHOWN = 20


@dataclass(frozen=True)
class Refusal:
    """One refused partition of one table, the rule that it broke, and where."""

    partition: date
    table: str
    rule: str
    detail: str
    file: str | None = None
    kept_uri: str | None = None


def reference_partition(run: StageRun[StageOptions]) -> date:
    """The partition under which a reference table, which has none, keeps its refusals and its quarantine."""
    return run.pipeline.spec.first_partition


def publish_refusals(
    run: StageRun[StageOptions],
    table: str,
    days: Iterable[date],
    refusals: Sequence[Refusal],
    inputs: Mapping[str, int | None] | None = None,
) -> None:
    """Replace this stage's refusals of a table and these partitions; those of mended partitions go away.

    Call it before the rows that mark these partitions as done are published. A run may be killed between the two.
    """
    handled = sorted({*days, *(refusal.partition for refusal in refusals)})
    if not handled or not (refusals or _recorded(run, table, handled)):
        return
    dataset = datasets.refusals(run.pipeline.spec)
    columns = {
        "partition_date": [refusal.partition for refusal in refusals],
        "stage": [run.stage] * len(refusals),
        "table_name": [table] * len(refusals),
        "rule": [refusal.rule for refusal in refusals],
        "detail": [refusal.detail for refusal in refusals],
        "file": [refusal.file for refusal in refusals],
        "kept_uri": [refusal.kept_uri for refusal in refusals],
        "run_id": [run.run_id] * len(refusals),
        "refused_at": [datetime.now(UTC)] * len(refusals),
    }
    rows = pa.table(
        {name: pa.array(values, dataset.arrow_schema().field(name).type) for name, values in columns.items()}
    )
    scope = {"stage": run.stage, "table_name": table}
    run.lake.publish(dataset, rows, handled, run.provenance(inputs or {}, table), scope)


def _recorded(run: StageRun[StageOptions], table: str, days: Sequence[date]) -> bool:
    if not run.lake.exists("refusals"):
        return False
    known = run.lake.scan("refusals", columns=["partition_date", "stage", "table_name"]).to_pylist()
    return any(
        row["stage"] == run.stage and row["table_name"] == table and row["partition_date"] in days for row in known
    )


def refused_by(lake: Lake, stage: str, table: str) -> list[Refusal]:
    """The refusals of a table that a stage recorded, and that still stand."""
    if not lake.exists("refusals"):
        return []
    names = {"partition_date": "partition", "table_name": "table"}
    columns = ["partition_date", "table_name", "rule", "detail", "file", "kept_uri"]
    rows = lake.scan("refusals", columns=[*columns, "stage"]).to_pylist()
    mine = [row for row in rows if row["stage"] == stage and row["table_name"] == table]
    return [Refusal(**{names.get(name, name): row[name] for name in columns}) for row in mine]


def check_validated(pipeline: str, lake: Lake, table: str) -> None:
    """Check that a landed table has been validated at least once.

    Raises:
        MissingInputError: with the refusal that is the reason, if there is one, and the commands that help.
    """
    if lake.exists(f"validated_{table}"):
        return
    refused = [*refused_by(lake, "ingest", table), *refused_by(lake, "validate", table)]
    if not refused:
        lake.table(f"validated_{table}")
    days = f"--from {min(r.partition for r in refused)} --to {max(r.partition for r in refused)}"
    raise MissingInputError(
        f"{pipeline}: {table} has no good rows yet, because it was refused:\n{describe(refused)}\n"
        "Nothing was published. Land a mended file, or change the contract in expectations.py, and run:\n"
        f"  contrail ingest -p {pipeline} {days}\n  contrail validate -p {pipeline} {days}"
    )


def describe(refusals: Sequence[Refusal]) -> str:
    """One paragraph for each refusal; neighbouring days with the same words share one."""
    groups: dict[tuple[str, str, str], list[Refusal]] = {}
    for refusal in refusals:
        # A missing file's path differs from day to day, but the detail about it does not.
        groups.setdefault((refusal.table, refusal.rule, refusal.detail), []).append(refusal)
    shown = [_paragraph(group) for group in list(groups.values())[:_SHOWN]]
    more = [f"  and {len(groups) - _SHOWN} more: SELECT * FROM refusals"] if len(groups) > _SHOWN else []
    return "\n".join([*shown, *more])


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _paragraph(group: Sequence[Refusal]) -> str:
    first = group[0]
    days = ", ".join(str(found) for found in as_ranges(refusal.partition for refusal in group))
    count = f" ({len(group)} partitions)" if len(group) > 1 else ""
    file = f"\n    file: {first.file}" if first.file and len(group) == 1 else ""
    kept = f"\n    a copy is kept: {first.kept_uri}" if first.kept_uri else ""
    return f"  {first.table} {days}{count}: {first.rule}: {first.detail}{file}{kept}"
