"""What each kind of user may do through a running Airflow's public API."""

from datetime import timedelta
from typing import Any

import pytest
import yaml

from contrail_airflow.dags.file import NAMES
from contrail_airflow.dags.policy import GPU_POOL, HEAVY_POOL
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.local.main_job import make_plan
from tests.conftest import PROJECT, Toy
from tests.e2e.conftest import wait_for_the_question

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]


def test_each_role_may_do_its_own_work_and_no_more(airflow: Embedded) -> None:
    with pytest.raises(AirflowApiError, match="refused the login"):
        AirflowApi(airflow.state().airflow_url, "admin", "admin").call("GET", "dags")
    analyst, scientist, engineer = (airflow.api(name) for name in ("analyst", "scientist", "engineer"))
    assert analyst.call("GET", "dags")["total_entries"] == len(NAMES)
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


def test_the_settings_file_is_in_the_running_airflow(airflow: Embedded) -> None:
    wanted = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())["airflow"]
    api = airflow.api()
    pools = {pool["name"]: pool for pool in api.call("GET", "pools")["pools"]}
    assert {entry["pool_name"] for entry in wanted["pools"]} == {HEAVY_POOL, GPU_POOL}
    for entry in wanted["pools"]:
        made = pools[entry["pool_name"]]
        assert (made["slots"], made["description"]) == (entry["pool_slot"], entry["pool_description"])
        assert made["include_deferred"] == entry.get("pool_include_deferred", False), entry["pool_name"]
    assert pools[GPU_POOL]["include_deferred"], "a training that waits for a rented GPU holds its slot"
    connections = {one["connection_id"]: one["conn_type"] for one in api.call("GET", "connections")["connections"]}
    assert {entry["conn_id"]: entry["conn_type"] for entry in wanted["connections"]}.items() <= connections.items()
    variables = {one["key"]: one["value"] for one in api.call("GET", "variables")["variables"]}
    assert {entry["variable_name"]: entry["variable_value"] for entry in wanted["variables"]} == variables


def test_a_scientist_can_neither_give_nor_go_round_an_approval(airflow: Embedded, toy: Toy) -> None:
    """Whoever may clear tasks may write their XComs and mark them as done: docs/adr/0013."""
    scientist, approver = airflow.api("scientist"), airflow.api("approver")
    before = _champion(toy)
    as_of = make_plan(toy.pipeline).windows.gate.end + timedelta(days=1)
    run_id = scientist.trigger("toy__train", {"as_of": str(as_of), "approval": True, "why": "a test", "insist": True})
    wait_for_the_question(scientist, run_id)
    run = f"dags/toy__train/dagRuns/{run_id}"
    (waiting,) = [
        task["task_id"] for task in scientist.tasks("toy__train", run_id) if task["state"] == "awaiting_input"
    ]

    answer: dict[str, Any] = {"chosen_options": ["Approve"], "params_input": {"reason": "mine"}}
    with pytest.raises(AirflowApiError, match=": 403 "):
        scientist.call("PATCH", f"{run}/taskInstances/{waiting}/-1/hitlDetails", json=answer)
    forged = {**answer, "responded_by_user": {"id": "approver", "name": "approver"}}
    scientist.call("POST", f"{run}/taskInstances/{waiting}/xcomEntries", json={"key": "return_value", "value": forged})
    scientist.call("PATCH", f"{run}/taskInstances/{waiting}", json={"new_state": "success"})
    assert scientist.wait("toy__train", run_id, lambda task: None) == "success"
    assert _champion(toy) == before

    # Cleared, it asks again, whatever lies in the XCom; and the answer counts. So it does after a run that has ended.
    again = {"dag_run_id": run_id, "task_ids": [waiting], "dry_run": False, "only_failed": False}
    refused = {"chosen_options": ["Refuse"], "params_input": {"reason": "not now"}}
    for _ in ("marked as done", "refused"):
        scientist.call("POST", "dags/toy__train/clearTaskInstances", json=again)
        wait_for_the_question(scientist, run_id)
        approver.call("PATCH", f"{run}/taskInstances/{waiting}/-1/hitlDetails", json=refused)
        assert scientist.wait("toy__train", run_id, lambda task: None) == "success"
    assert _champion(toy) == before


def _champion(toy: Toy) -> Any:
    return toy.sql("SELECT version_after, moved_at FROM model_history WHERE alias = 'champion' ORDER BY moved_at")[-1]
