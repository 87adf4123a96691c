"""A small client of Airflow's public REST API, for the embedded start and the main job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

FINISHED = frozenset({"success", "failed"})


class AirflowApiError(Exception):
    """The API answered with an error, or not at all."""


@dataclass
class AirflowApi:
    """Airflow at ``url``, as ``username``."""

    url: str
    username: str
    password: str
    _token: str = field(default="", repr=False)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One call of ``/api/v2``; the decoded answer.

        Raises:
            AirflowApiError: with the method, path, status and the server's words.
        """
        if not self._token:
            self._token = self._login()
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = httpx.request(method, f"{self.url}/api/v2/{path}", headers=headers, timeout=60, **arguments)
        except httpx.HTTPError as error:
            raise AirflowApiError(f"{method} {path}: Airflow does not answer ({error})") from error
        if answer.is_error:
            raise AirflowApiError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _login(self) -> str:
        body = {"username": self.username, "password": self.password}
        answer = httpx.post(f"{self.url}/auth/token", json=body, timeout=60)
        if answer.is_error:
            raise AirflowApiError(f"Airflow refused the login of {self.username}: {answer.status_code}")
        return str(answer.json()["access_token"])

    def wait_for_dags(self, dag_ids: list[str], timeout: float) -> None:
        """Wait until the DAG processor has read these DAGs."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = {dag["dag_id"] for dag in self.call("GET", "dags", params={"limit": 200})["dags"]}
            if found.issuperset(dag_ids):
                return
            time.sleep(0.5)
        errors = self.call("GET", "importErrors")["import_errors"]
        told = "\n".join(error["stack_trace"] for error in errors) or "no import errors were reported"
        raise AirflowApiError(f"the DAGs {sorted(set(dag_ids) - found)} did not appear in {timeout:.0f} s:\n{told}")

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run with these parameters; its run id."""
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})["dag_run_id"])

    def backfill(self, dag_id: str, first: str, last: str) -> int:
        """Start Airflow's own backfill of a range, running again what ran before; its id."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": "completed",
            "max_active_runs": 2,
        }
        return int(self.call("POST", "backfills", json=body)["id"])

    def runs(self, dag_id: str, **filters: Any) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first."""
        query = {"limit": 200, "order_by": "-id", **filters}
        return list(self.call("GET", f"dags/{dag_id}/dagRuns", params=query)["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def log_tail(self, dag_id: str, run_id: str, task: dict[str, Any], lines: int = 15) -> list[str]:
        """Last lines of a task's log."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{max(task['try_number'], 1)}"
        content = self.call("GET", path, params={"full_content": True})["content"]
        said = [entry["event"] if isinstance(entry, dict) else str(entry) for entry in content]
        return [line for line in said if not line.startswith("::")][-lines:]

    def wait(self, dag_id: str, run_id: str, on_task: Callable[[dict[str, Any]], None]) -> str:
        """Wait for a run to end, telling of each task that changes its state; the run's state."""
        seen: dict[str, str] = {}
        while True:
            state = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            for task in self.tasks(dag_id, run_id):
                if seen.get(task["task_id"]) != task["state"]:
                    seen[task["task_id"]] = task["state"]
                    on_task(task)
            if state in FINISHED:
                return str(state)
            time.sleep(0.5)
