"""When a pipeline's daily partitions run."""

from collections.abc import Iterable
from datetime import UTC, datetime

from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import CronPartitionTimetable


class ClosedPartitionTimetable(CronPartitionTimetable):
    """A run for each day at its cut-off; a backfill never reaches a day whose cut-off is still to come.

    Airflow's own timetable would queue runs of the future, which block the backfill and move the next scheduled run.
    """

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterable[DagRunInfo]:
        """The partitions of a backfill, up to the last whose cut-off has passed."""
        for info in super().iter_partition_dagrun_infos(earliest=earliest, latest=latest):
            if info.run_after <= datetime.now(UTC):
                yield info
