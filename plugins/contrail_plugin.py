"""The one entry that Airflow loads from this folder: it registers what the package beside it defines.

Airflow also runs every module of a plugins folder by its own name, so the package is in .airflowignore.
"""

from airflow.plugins_manager import AirflowPlugin

from contrail_airflow.remote import given_up
from contrail_airflow.scheduling.priority import EarlierPartitionFirst
from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable


class ContrailPlugin(AirflowPlugin):
    """Contrail's timetables and priorities, and what ends remote jobs."""

    name = "contrail"
    timetables = [ClosedPartitionTimetable]  # noqa: RUF012 - Airflow reads a plain list
    listeners = [given_up]  # noqa: RUF012
    priority_weight_strategies = [EarlierPartitionFirst]  # noqa: RUF012
