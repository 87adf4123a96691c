"""The only plugin that Airflow loads from this folder. It registers classes of the package beside it.

Airflow also runs every module of a plugins folder by its own name, so the package is in .airflowignore.
"""

from airflow.plugins_manager import AirflowPlugin

from contrail_airflow.operators import run_notes
from contrail_airflow.page.mount import EXTERNAL_VIEWS, FASTAPI_APPS
from contrail_airflow.remote import given_up
from contrail_airflow.scheduling.priority import EarlierPartitionFirst
from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable, UntilTimetable


class ContrailPlugin(AirflowPlugin):
    """Contrail's page, timetables and priority strategy, and the listeners that end remote jobs and write notes."""

    name = "contrail"
    timetables = [ClosedPartitionTimetable, UntilTimetable]  # noqa: RUF012 - Airflow reads a plain list
    listeners = [given_up, run_notes]  # noqa: RUF012
    priority_weight_strategies = [EarlierPartitionFirst]  # noqa: RUF012
    fastapi_apps = FASTAPI_APPS
    external_views = EXTERNAL_VIEWS
