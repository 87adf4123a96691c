"""Who made an earlier snapshot of a table current again. Going back within a table's metadata makes no snapshot that says so."""

import json
from datetime import UTC, datetime
from typing import NamedTuple

from pyiceberg.table import Table

from contrail.config.settings import current_person

_PROPERTY = "contrail.rollbacks"
_KEPT = 20


class Rollback(NamedTuple):
    """A snapshot that somebody made current again. ``at`` is UTC in ISO 8601, to the second."""

    snapshot: int
    before: int
    at: str
    person: str

    @property
    def words(self) -> str:
        """What a person reads of it."""
        return f"back from {self.before} by {self.person} at {self.at[:16].replace('T', ' ')} UTC"


def of(table: Table) -> list[Rollback]:
    """List the newest rollbacks of a table, the oldest first."""
    return [Rollback(*one) for one in json.loads(table.properties.get(_PROPERTY, "[]"))]


def with_another(table: Table, snapshot: int, before: int) -> dict[str, str]:
    """Return the property that keeps a rollback from one snapshot to another, by who runs this process, and those before."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    made = [*of(table), Rollback(snapshot, before, at, current_person())]
    return {_PROPERTY: json.dumps(made[-_KEPT:])}
