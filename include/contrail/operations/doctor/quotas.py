"""Whether quotas have room for the first job of each target. A quota that is used up by others is not seen.

Sources, read on 2026-11-26: Google Cloud, "Managed Service for Apache Spark serverless quotas" (tiers and accelerators);
"Vertex AI quotas". ``contrail.config.machines`` has the names of Vertex AI's; those of H100-mega, H200 and B200 are not known.
"""

from dataclasses import dataclass

from contrail.adapters import google_project
from contrail.adapters.google_api import GoogleApi
from contrail.config import machines
from contrail.config.machines import NOT_PEERED
from contrail.config.targets import DataprocTarget, Place, VertexTarget
from contrail.methods.cost import cores_of, tier_of
from contrail.operations.doctor.findings import FaultError, NotCheckedError

_SPARK_CPUS = {"standard": "cpus", "premium": "n2_cpus"}
_SPARK_GPUS = {"l4": "nvidia_l4_gpus", "a100-40": "nvidia_a100_gpus", "a100-80": "nvidia_a100_80gb_gpus"}


@dataclass(frozen=True)
class Quota:
    """A quota of a region: ``metric`` is its name."""

    region: str
    metric: str


def needed(target: DataprocTarget | VertexTarget) -> dict[Quota, int]:
    """How much of each quota a job of a target needs, at any of its places. Quotas whose names are not known are left out."""
    if isinstance(target, VertexTarget):
        places = [target.place(attempt) for attempt in range(1, target.attempts + 1)]
        return {
            Quota(place.region, f"aiplatform.googleapis.com/{_metric(place)}"): place.accelerator_count
            for place in places
            if place.accelerator_type and place.accelerator_type not in NOT_PEERED
        }
    found = {Quota(target.region, f"compute.googleapis.com/{_SPARK_CPUS[tier_of(target)]}"): cores_of(target)}
    if gpus := _SPARK_GPUS.get(target.accelerator_type):
        executors = int(target.properties.get("spark.executor.instances", "2"))
        each = int(target.properties.get("spark.executor.resource.gpu.amount", "1"))
        found[Quota(target.region, f"compute.googleapis.com/{gpus}")] = executors * each
    return found


def _metric(place: Place) -> str:
    return machines.quota(place.machine_type, place.accelerator_type or "", spot=place.spot)


def quota(api: GoogleApi, target: DataprocTarget | VertexTarget) -> str:
    """Whether the limits of a target's quotas have room for one job."""
    wanted = needed(target)
    if not wanted:
        raise NotCheckedError(f"the names of the quotas of {target.size} are not known here", _page(api))
    limits = {one: google_project.quota(api, one.metric, one.region) for one in wanted}
    small = [
        f"{one.region}: {one.metric} is {limits[one]}, a job needs {count}"
        for one, count in wanted.items()
        if limits[one] != google_project.UNLIMITED and limits[one] < count
    ]
    if small:
        raise FaultError(f"{'; '.join(small)}. Ask for more; it can take days", _page(api))
    return ", ".join(f"{one.region}: {_shown(one.metric, limit)}" for one, limit in limits.items())


def _page(api: GoogleApi) -> str:
    return f"xdg-open 'https://console.cloud.google.com/iam-admin/quotas?project={api.project}'"


def _shown(metric: str, limit: int) -> str:
    return f"{metric.partition('/')[2]} {'has no limit' if limit == google_project.UNLIMITED else limit}"
