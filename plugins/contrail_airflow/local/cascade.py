"""Runs that start each other by asset for the same days, watched together."""

from typing import Any

from contrail.partitions import Partitions
from contrail_airflow.local.api import FINISHED, AirflowApi


class Cascade:
    """The runs of several DAGs for the same days that began after this object was made."""

    def __init__(self, api: AirflowApi, dag_ids: list[str], days: Partitions) -> None:
        self._api = api
        self._wanted = {(dag_id, str(day)) for dag_id in dag_ids for day in days}
        self._before = {run["dag_run_id"] for dag_id in dag_ids for run in api.runs(dag_id)}
        self._dag_ids = dag_ids
        self._states: dict[str, str] = {}
        self._succeeded: set[tuple[str, str]] = set()

    def changes(self) -> list[dict[str, Any]]:
        """Runs whose state has changed since the last call, oldest first."""
        runs = [run for dag_id in self._dag_ids for run in reversed(self._api.runs(dag_id)) if self._ours(run)]
        changed = [run for run in runs if self._states.get(run["dag_run_id"]) != run["state"]]
        self._states |= {run["dag_run_id"]: run["state"] for run in changed}
        self._succeeded |= {(run["dag_id"], run["partition_key"]) for run in changed if run["state"] == "success"}
        return changed

    def _ours(self, run: dict[str, Any]) -> bool:
        return run["dag_run_id"] not in self._before and (run["dag_id"], run["partition_key"]) in self._wanted

    @property
    def active(self) -> bool:
        """Whether a run has not ended yet."""
        return any(state not in FINISHED for state in self._states.values())

    @property
    def missing(self) -> str:
        """The DAGs and days that have not succeeded, as text for a person."""
        return ", ".join(f"{dag_id} {day}" for dag_id, day in sorted(self._wanted - self._succeeded))

    @property
    def done(self) -> bool:
        """Whether every DAG has succeeded for every day."""
        return self._succeeded == self._wanted
