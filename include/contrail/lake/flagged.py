"""How many of each day's published predictions were flagged: two counts a day, never the rows."""

from collections.abc import Iterable
from datetime import date

from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.sessions import session


def flagged_counts(
    lake: Lake, days: Iterable[date], model_version: str, snapshot: int | None = None
) -> dict[date, tuple[int, int]]:
    """Count the flagged and all predictions that a model version made, by day. A regression has none."""
    if not lake.exists("predictions") or "decision" not in lake.table("predictions").schema().column_names:
        return {}
    with session(lake.settings) as connection:
        lake.view(connection, "predictions", "predictions", days, snapshot_id=snapshot)
        found = connection.execute(
            f"SELECT {PARTITION}, count(*) FILTER (decision), count(*) FROM predictions "
            "WHERE model_version = ? GROUP BY 1 ORDER BY 1",
            [model_version],
        ).fetchall()
    return {day: (flagged, rows) for day, flagged, rows in found}
