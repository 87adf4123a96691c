"""What each kind of user may do, asked of a running Airflow's public API."""

import pytest

from contrail_airflow.api import AirflowApi, AirflowApiError
from contrail_airflow.embedded import Embedded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]


def test_each_role_may_do_its_own_work_and_no_more(airflow: Embedded) -> None:
    with pytest.raises(AirflowApiError, match="refused the login"):
        AirflowApi(airflow.state().airflow_url, "admin", "admin").call("GET", "dags")
    analyst, scientist, engineer = (airflow.api(name) for name in ("analyst", "scientist", "engineer"))
    assert analyst.call("GET", "dags")["total_entries"] == 5
    connection = {"connection_id": "warehouse", "conn_type": "generic"}
    for user, method, path, body in (
        (analyst, "POST", "dags/toy__train/dagRuns", {"logical_date": None}),
        (analyst, "PATCH", "dags/toy__daily", {"is_paused": True}),
        (analyst, "POST", "connections", connection),
        (scientist, "POST", "connections", connection),
        (scientist, "PATCH", "pools/heavy", {"slots": 9}),
    ):
        with pytest.raises(AirflowApiError, match=": 403 "):
            user.call(method, path, json=body)
    engineer.call("POST", "connections", json=connection)
    scientist.pause("toy__backfill", False)
