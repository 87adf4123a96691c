"""Which model version scored a day, as its rows say.

A commit may hold days of several versions: a backfill as of each day over a change of champions makes one. So the provenance of
the commit does not tell whose version it was on one of them.
"""

from datetime import date

from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.partitions import Partitions


def scored_versions(lake: Lake, partitions: Partitions) -> dict[date, str]:
    """The model version of each published partition of ``predictions``."""
    if not lake.exists("predictions"):
        return {}
    with lake.connect(["predictions"], {"predictions": partitions}) as connection:
        sql = f"SELECT DISTINCT {PARTITION}, model_version FROM predictions ORDER BY ALL"
        return dict(connection.sql(sql).fetchall())
