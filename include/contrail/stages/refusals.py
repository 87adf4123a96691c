"""Refused files and partitions: their rows in the lake and their words for a person.

The stages that refuse share this. Each stage decides what it refuses, and why.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa

from contrail.lake import datasets
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
    run: StageRun[StageOptions], table: str, days: Iterable[date], refusals: Sequence[Refusal]
) -> None:
    """Replace this stage's refusals of a table and these partitions; those of mended partitions go away."""
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
    run.lake.publish(dataset, rows, handled, run.provenance(inputs={}), scope)


def _recorded(run: StageRun[StageOptions], table: str, days: Sequence[date]) -> bool:
    if not run.lake.exists("refusals"):
        return False
    known = run.lake.scan("refusals", columns=["partition_date", "stage", "table_name"]).to_pylist()
    return any(
        row["stage"] == run.stage and row["table_name"] == table and row["partition_date"] in days for row in known
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
