"""What a home holds, as plain values that can be compared: rows, models, states, records, and what kinds of files lie there."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from contrail.adapters import registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.lake.records import all_datasets
from contrail.operations.status import partition_status
from tests.leftovers import leftovers

# A UUID, a digest, a number, and the random end of a temporary name.
_VARIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{6,}|\d+|(?<=[._-])[A-Za-z0-9_]{8}(?=/|$)")
# The pages of the newest validation, which the next one replaces.
_REPLACED = "great_expectations"
# What SQLite keeps beside a database that nobody has closed. Whoever opens it next takes them in.
_OF_SQLITE = ("-shm", "-wal", "-journal")
# Whoever reads it makes what is missing again, so it may be behind.
_CACHES = ("drift_profiles",)
Rows = dict[str, list[Any]]


@dataclass
class Observed:
    """A home at one moment.

    Attributes:
        tables: By name, by column: its values, as text, in the order of the rows.
        parts: By table, the columns whose values part its rows: a publication replaces such parts.
        facts: Whatever else there is, by a name for it.
    """

    tables: dict[str, Rows] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def rows(self, table: str, columns: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
        """The rows of a table with their number, without what is not in ``columns``."""
        found = self.tables.get(table, {})
        return Counter(zip(*(found[name] for name in columns), strict=True)) if found else Counter()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps([self.tables, self.parts, self.facts]))

    @classmethod
    def read(cls, path: Path) -> "Observed":
        return cls(*json.loads(path.read_text()))


def kind_of(name: str) -> str:
    """A name without what is another one in each run."""
    return _VARIES.sub("#", name)


def observe(name: str) -> Observed:
    """Look at the home of the process."""
    pipeline, current = load_pipeline(name), settings()
    lake = Lake(current, name)
    found = Observed()
    for table, dataset in all_datasets(pipeline.spec).items():
        if table not in _CACHES and lake.exists(table) and (rows := lake.scan(table)).num_rows:
            found.tables[table] = {column: [str(v) for v in rows[column].to_pylist()] for column in rows.column_names}
            found.parts[table] = [*dataset.partition_by]
    for one in partition_status(lake, pipeline):
        found.facts[f"state of {one.partition}"] = str(one.stages)
    if (current.home_path / "mlflow" / "mlflow.db").exists():
        for version in registry.versions(current, name):
            found.facts |= {f"version {version.version}: {tag}": value for tag, value in version.tags.items()}
        for alias in (registry.CHAMPION, registry.CHALLENGER):
            found.facts[f"alias {alias}"] = str(registry.alias_version(current, name, alias))
    return found


def files(name: str) -> Observed:
    """Name the kinds of files of the home, and count the files of tables that no snapshot refers to. Do so after upkeep."""
    home = settings().home_path
    kinds = {
        kind_of(str(path.relative_to(home)))
        for path in home.rglob("*")
        if path.is_file()
        and not {"warehouse", _REPLACED}.intersection(path.parts)
        and not path.name.endswith(_OF_SQLITE)
    }
    lake = Lake(settings(), name)
    left = [path for table in lake.table_names() for path in leftovers(lake.table(table))]
    return Observed(facts={f"a file {kind}": "there" for kind in kinds} | {"files of no snapshot": str(len(left))})


def partitions_of(observed: Observed, table: str, columns: tuple[str, ...]) -> dict[str, Counter[tuple[Any, ...]]]:
    """The rows of a table by partition, as far as ``columns`` tell partitions apart."""
    if (found := observed.tables.get(table)) is None:
        return {}
    keys = [found[name] for name in observed.parts[table] if name in columns]
    places = zip(*keys, strict=True) if keys else repeat(())
    parts: dict[str, Counter[tuple[Any, ...]]] = {}
    for place, row in zip(places, zip(*(found[name] for name in columns), strict=True), strict=False):
        parts.setdefault(" ".join(place), Counter())[row] += 1
    return parts
