"""Whether quotas have room for the first job of each target. A quota that is used up by others is not seen.

Sources, read on 2026-11-26: Google Cloud, "Managed Service for Apache Spark serverless quotas" (tiers and accelerators);
"Vertex AI quotas" and quota errors quoted in public repositories (names of the metrics of custom training).
"""

from contrail.adapters import google_project
from contrail.adapters.google_api import GoogleApi
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.methods.cost import cores_of, tier_of
from contrail.operations.doctor.findings import FaultError, NotCheckedError

_VERTEX = {
    "NVIDIA_L4": "nvidia_l4",
    "NVIDIA_TESLA_A100": "nvidia_a100",
    "NVIDIA_A100_80GB": "nvidia_a100_80gb",
    "NVIDIA_H100_80GB": "nvidia_h100",
    "NVIDIA_TESLA_T4": "nvidia_t4",
    "NVIDIA_TESLA_V100": "nvidia_v100",
    "NVIDIA_TESLA_P4": "nvidia_p4",
    "NVIDIA_TESLA_P100": "nvidia_p100",
}
_SPARK_CPUS = {"standard": "cpus", "premium": "n2_cpus"}
_SPARK_GPUS = {"l4": "nvidia_l4_gpus", "a100-40": "nvidia_a100_gpus", "a100-80": "nvidia_a100_80gb_gpus"}


def needed(target: DataprocTarget | VertexTarget) -> dict[str, int]:
    """How much of each quota the first job of a target needs. Empty where the names of its quotas are not known."""
    if isinstance(target, DataprocTarget):
        found = {f"compute.googleapis.com/{_SPARK_CPUS[tier_of(target)]}": cores_of(target)}
        if gpus := _SPARK_GPUS.get(target.accelerator_type):
            executors = int(target.properties.get("spark.executor.instances", "2"))
            each = int(target.properties.get("spark.executor.resource.gpu.amount", "1"))
            found[f"compute.googleapis.com/{gpus}"] = executors * each
        return found
    kind = _VERTEX.get(target.accelerator_type or "")
    if kind is None:
        return {}
    names = [f"custom_model_training_{kind}_gpus"]  # on demand, also when spot attempts are used up
    if target.spot_attempts:
        names.insert(0, f"custom_model_training_preemptible_{kind}_gpus")
    return {f"aiplatform.googleapis.com/{name}": target.accelerator_count for name in names}


def quota(api: GoogleApi, target: DataprocTarget | VertexTarget) -> str:
    """Whether the limits of a target's quotas have room for one job."""
    wanted = needed(target)
    if not wanted:
        raise NotCheckedError(f"the names of the quotas of {target.size} are not known here", _page(api))
    limits = {metric: google_project.quota(api, metric, target.region) for metric in wanted}
    small = [
        f"{metric} is {limits[metric]}, a job needs {count}"
        for metric, count in wanted.items()
        if limits[metric] != google_project.UNLIMITED and limits[metric] < count
    ]
    if small:
        raise FaultError(f"{target.region}: {'; '.join(small)}. Ask for more; it can take days", _page(api))
    return f"{target.region}: " + ", ".join(_shown(metric, limit) for metric, limit in limits.items())


def _page(api: GoogleApi) -> str:
    return f"xdg-open 'https://console.cloud.google.com/iam-admin/quotas?project={api.project}'"


def _shown(metric: str, limit: int) -> str:
    return f"{metric.partition('/')[2]} {'has no limit' if limit == google_project.UNLIMITED else limit}"
