"""When a pipeline's DAGs run by themselves. Each timetable ends with the pipeline's data.

A DAG's ``end_date`` would end its schedule too. But Airflow's form starts a run as of now, and a run after the end date
succeeds without a single task.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any, Self
from zoneinfo import ZoneInfo

from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable, CronTriggerTimetable


class _UntilMixin:
    """Ends a timetable with the day ``last``; None for no end."""

    last: date | None

    def _until(self, restriction: TimeRestriction) -> TimeRestriction:
        if self.last is None:
            return restriction
        zone = ZoneInfo(str(self._timezone.name))  # type: ignore[attr-defined]
        end: Any = datetime.combine(self.last, time(23), zone)
        return restriction._replace(latest=min(filter(None, (restriction.latest, end))))

    def serialize(self) -> dict[str, Any]:
        """The timetable as JSON."""
        return {**super().serialize(), "last": str(self.last) if self.last else None}  # type: ignore[misc]

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The timetable that ``serialize`` wrote."""
        made: Self = super().deserialize(data)  # type: ignore[misc]
        made.last = date.fromisoformat(data["last"]) if data.get("last") else None
        return made


class UntilTimetable(_UntilMixin, CronTriggerTimetable):
    """A cron that ends with a day."""

    def __init__(self, cron: str, *, timezone: str, last: date | None = None, **kwargs: Any) -> None:
        super().__init__(cron, timezone=timezone, **kwargs)
        self.last = last

    def next_dagrun_info(self, *, restriction: TimeRestriction, **kwargs: Any) -> DagRunInfo | None:
        """The next run; None after the last day."""
        return super().next_dagrun_info(restriction=self._until(restriction), **kwargs)


class ClosedPartitionTimetable(_UntilMixin, CronPartitionTimetable):
    """A run for each day at its cut-off; a backfill never reaches a day whose cut-off is still to come.

    Airflow's own timetable would queue runs of the future, which block the backfill and move the next scheduled run.
    """

    def __init__(self, cron: str, *, timezone: str, last: date | None = None, **kwargs: Any) -> None:
        super().__init__(cron, timezone=timezone, **kwargs)
        self.last = last

    def next_dagrun_info_v2(self, *, restriction: TimeRestriction, **kwargs: Any) -> DagRunInfo | None:
        """The next partition; None after the last."""
        return super().next_dagrun_info_v2(restriction=self._until(restriction), **kwargs)

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterable[DagRunInfo]:
        """The partitions of a backfill, up to the last whose cut-off has passed."""
        for info in super().iter_partition_dagrun_infos(earliest=earliest, latest=latest):
            ended = self.last is not None and str(info.partition_key) > str(self.last)
            if info.run_after <= datetime.now(UTC) and not ended:
                yield info
