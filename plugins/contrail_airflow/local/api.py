"""A small client of Airflow's public REST API, for the embedded start and the main job."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

FINISHED = frozenset({"success", "failed"})
_READ_ATTEMPTS = 3
# An API server that was started again answers within half a minute, on a busy machine within two.
_AWAY_SECONDS = 120.0


def _nothing() -> None:
    """Nobody knows whether it still runs."""


def _client() -> httpx.Client:
    """Each call opens a connection of its own, because Airflow may have restarted since the last one.

    The client is kept, because making one reads all certificates, which takes 170 times the processor time of a call.
    """
    return httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))


class AirflowApiError(Exception):
    """The API answered with an error, or not at all."""


@dataclass
class AirflowApi:
    """Airflow at ``url``, as ``username``. ``check`` raises once there is no use in waiting for it."""

    url: str
    username: str
    password: str
    check: Callable[[], None] = field(default=_nothing, repr=False)
    _token: str = field(default="", repr=False)
    _client: httpx.Client = field(default_factory=_client, repr=False)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call ``/api/v2``, and return the decoded answer.

        Raises:
            AirflowApiError: with the method, path, status and the server's words.
        """
        headers = {"Authorization": f"Bearer {self._token or self._login()}"}
        answer = self._send(method, f"{self.url}/api/v2/{path}", headers=headers, **arguments)
        if answer.is_error:
            raise AirflowApiError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _login(self) -> str:
        body = {"username": self.username, "password": self.password}
        answer = self._send("POST", f"{self.url}/auth/token", json=body)
        if answer.is_error:
            raise AirflowApiError(f"Airflow refused the login of {self.username}: {answer.status_code}")
        self._token = str(answer.json()["access_token"])
        return self._token

    def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        """Send a request. Try a GET again: the server may be starting again, and a busy SQLite may refuse a reader once."""
        reads, refused, end = method == "GET", 0, time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                answer = self._client.request(method, url, **arguments)
            except httpx.HTTPError as error:
                if not reads or time.monotonic() > end:
                    raise AirflowApiError(f"{method} {url}: Airflow does not answer ({error})") from error
                self.check()
            else:
                refused += 1
                if not (reads and answer.is_server_error and refused < _READ_ATTEMPTS):
                    return answer
            time.sleep(max(1, refused))

    def wait_for_dags(self, dag_ids: list[str], timeout: float) -> None:
        """Wait until the DAG processor has read these DAGs."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = {dag["dag_id"] for dag in self.call("GET", "dags", params={"limit": 100})["dags"]}
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
        """Start a run with these parameters, and return its run id."""
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})["dag_run_id"])

    def backfill(self, dag_id: str, first: str, last: str) -> int:
        """Start Airflow's own backfill of a range, completed runs included, and return its id."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": "completed",
            "max_active_runs": 2,
        }
        return int(self.call("POST", "backfills", json=body)["id"])

    def active_backfills(self, dag_id: str) -> list[int]:
        """Ids of the backfills of a DAG that have not ended; Airflow allows one."""
        found = self.call("GET", "backfills", params={"dag_id": dag_id, "order_by": "-id", "limit": 20})["backfills"]
        return [backfill["id"] for backfill in found if backfill["completed_at"] is None]

    def abandon(self, dag_id: str) -> int:
        """Cancel the backfills and fail the runs of a DAG that have not ended, and return the number of runs."""
        for backfill in self.active_backfills(dag_id):
            self.call("PUT", f"backfills/{backfill}/cancel")
        active = self.runs(dag_id, state=["queued", "running"])
        for run in active:
            self.call("PATCH", f"dags/{dag_id}/dagRuns/{run['dag_run_id']}", json={"state": "failed"})
        return len(active)

    def runs(self, dag_id: str, **filters: Any) -> list[dict[str, Any]]:
        """The newest runs of a DAG, at most 100, newest first."""
        query = {"limit": 100, "order_by": "-id", **filters}
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

    def wait(
        self,
        dag_id: str,
        run_id: str,
        on_task: Callable[[dict[str, Any]], None],
        check: Callable[[], None] = lambda: None,
    ) -> str:
        """Wait for a run to end, and return its state.

        ``on_task`` gets each task that changes its state. ``check`` is called all the time, and raises when waiting has
        become pointless.
        """
        seen: dict[str, str] = {}
        while True:
            state = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            for task in self.tasks(dag_id, run_id):
                if seen.get(task["task_id"]) != task["state"]:
                    seen[task["task_id"]] = task["state"]
                    on_task(task)
            if state in FINISHED:
                return str(state)
            check()
            time.sleep(1)  # each look takes the server's processor time from the stages'
