"""Which of several waiting tasks of a daily DAG runs first."""

import re
from datetime import date
from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# Above every day's ordinal (735,000 in 2013), so that scheduled runs stay above Airflow's usual weights.
_SCHEDULED = 3_000_000


class EarlierPartitionFirst(PriorityWeightStrategy):
    """Run the earlier day first, a scheduled run before everything else, and a backfill after everything else.

    A day's features read what earlier days validated. Airflow starts ten runs of a backfill at once, and breaks ties in
    no fixed order. With equal weights, a later day could build its features with a hole in its window. A backfill
    weighs less than the usual weight of 1, so that it never delays another pipeline's morning run.
    """

    def get_weight(self, ti: "TaskInstance") -> int:
        """The weight of a task of a run; the run id carries the partition."""
        days = re.findall(r"\d{4}-\d{2}-\d{2}", ti.run_id or "")
        ordinal = date.fromisoformat(days[-1]).toordinal() if days else 0
        return -ordinal if str(ti.run_id).startswith("backfill__") else _SCHEDULED - ordinal
