"""Whether the days of a table look like its own last ones. The figures of each day are kept in ``profiles``.

A day costs the same every day: the history is read from ``profiles``, never from the rows themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from contrail.config.table_spec import TableSpec
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.methods.table_check import TableCheck
from contrail.methods.usual_days import DAYS, DayFigures, Finding, aggregates, figures_of, judge
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import ValidateOptions as Options
from contrail.stages.refusals import Refusal

_BACK = DAYS + 14  # days without rows have no profile, so look further back for enough of them


@dataclass(frozen=True)
class Unusual:
    """The findings of each day, and the words about those that are unusual."""

    findings: Mapping[date, Sequence[Finding]] = field(default_factory=dict)

    @property
    def words(self) -> dict[date, str]:
        """What is unusual, by day."""
        said = {day: [each.words for each in found if each.words] for day, found in self.findings.items()}
        return {day: "; ".join(words) for day, words in said.items() if words}


class Profiles:
    """The profiles of the days before a run, of all tables, read once when the first table asks."""

    def __init__(self, run: StageRun[Options]) -> None:
        self._run = run

    @cached_property
    def _known(self) -> dict[str, list[DayFigures]]:
        run = self._run
        if not run.lake.exists("profiles"):
            return {}
        start = run.partitions.start
        within = Partitions(start - timedelta(days=_BACK), start - timedelta(days=1))
        columns = [PARTITION, "table_name", "figure", "value", "unusual"]
        days: dict[tuple[str, date], list[dict[str, Any]]] = {}
        for row in run.lake.scan("profiles", within, columns).to_pylist():
            days.setdefault((row["table_name"], row[PARTITION]), []).append(row)
        found: dict[str, list[DayFigures]] = {}
        for (table, day), rows in sorted(days.items()):
            figures = {row["figure"]: row["value"] for row in rows}
            unusual = frozenset(row["figure"] for row in rows if row["unusual"])
            found.setdefault(table, []).append(DayFigures(day, figures, unusual))
        return found

    def before(self, table: str, day: date) -> list[DayFigures]:
        """The known days of a table before a day, in order."""
        return [each for each in self._known.get(table, ()) if each.day < day]


def find_unusual(
    run: StageRun[Options], name: str, partitions: Partitions | None, check: TableCheck, profiles: Profiles
) -> Unusual:
    """Judge the good rows of each day of a daily table against the days before it, unless the spec says ``off``."""
    spec = run.pipeline.spec
    source = spec.tables[name]
    if partitions is None or source.unusual == "off":
        return Unusual()
    label = spec.label.expression if name == spec.label.table else None
    rows = check.by_day(aggregates(source, label)).to_pylist()
    made = {row.pop(PARTITION): figures_of(row) for row in rows}
    if source.may_be_empty:
        made = {day: {"rows": 0.0} for day in partitions} | made
    known = profiles.before(name, partitions.start)
    findings: dict[date, Sequence[Finding]] = {}
    for day in sorted(made):
        today = DayFigures(day, made[day])
        findings[day] = judge(today, known[-_BACK:])
        known.append(replace(today, unusual=frozenset(each.figure for each in findings[day] if each.words)))
    return Unusual(findings)


def refusals_of(name: str, source: TableSpec, unusual: Unusual) -> list[Refusal]:
    """The refusals of unusual days, where the spec says ``refuse``."""
    if source.unusual != "refuse":
        return []
    remedy = f"If the day is good, set tables.{name}.unusual to warn, and validate it again"
    return [Refusal(day, name, "unusual", f"{words}. {remedy}") for day, words in unusual.words.items()]


def publish_profiles(run: StageRun[Options], name: str, days: Iterable[date], unusual: Unusual) -> None:
    """Replace the profiles of the days whose rows are published."""
    taken = [day for day in days if day in unusual.findings]
    if not taken:
        return
    dataset = records.profiles(run.pipeline.spec)
    found = [(day, each) for day in taken for each in unusual.findings[day]]
    columns = {
        PARTITION: [day for day, _ in found],
        "table_name": [name] * len(found),
        "figure": [each.figure for _, each in found],
        "value": [each.value for _, each in found],
        "usual_least": [each.least for _, each in found],
        "usual_most": [each.most for _, each in found],
        "unusual": [each.words or None for _, each in found],
    }
    schema = dataset.arrow_schema()
    rows = pa.table({column: pa.array(values, schema.field(column).type) for column, values in columns.items()})
    run.lake.publish(dataset, rows, taken, run.provenance({}, name), {"table_name": name})
