"""The service of a target, and a target as the plain values that a trigger keeps."""

from typing import Any

from contrail.config.settings import Settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail_airflow.remote.dataproc import DataprocJobs
from contrail_airflow.remote.remote_jobs import GoogleTarget, RemoteJobs
from contrail_airflow.remote.vertex import VertexJobs


def jobs_of(target: GoogleTarget, settings: Settings) -> RemoteJobs:
    """The service of a target."""
    return DataprocJobs(target, settings) if isinstance(target, DataprocTarget) else VertexJobs(target, settings)


def describe(target: GoogleTarget) -> dict[str, Any]:
    """The target as plain values, for a trigger; ``target_from`` is its inverse."""
    return target.model_dump(mode="json")


def target_from(values: dict[str, Any]) -> GoogleTarget:
    """The target from the values of ``describe``."""
    return (DataprocTarget if values["kind"] == "dataproc" else VertexTarget).model_validate(values)
