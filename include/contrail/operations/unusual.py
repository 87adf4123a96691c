"""The days whose rows were unlike their table's own last ones, as ``validate`` recorded them in ``profiles``.

What is unusual is decided in ``contrail.methods`` and ``contrail.stages.validation``. This module reads it back.
"""

from datetime import date

from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


def unusual_days(lake: Lake, within: Partitions | None = None) -> dict[date, tuple[str, ...]]:
    """What was unusual on each day, in order: a sentence for each table. Days without anything unusual are not there."""
    if not lake.exists("profiles"):
        return {}
    found: dict[date, dict[str, list[str]]] = {}
    for row in lake.scan("profiles", within, [PARTITION, "table_name", "unusual"]).to_pylist():
        if row["unusual"]:
            found.setdefault(row[PARTITION], {}).setdefault(row["table_name"], []).append(row["unusual"])
    return {
        day: tuple(f"{table}: {'; '.join(sorted(words))}" for table, words in sorted(tables.items()))
        for day, tables in sorted(found.items())
    }
