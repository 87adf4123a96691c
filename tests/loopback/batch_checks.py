"""What Dataproc refuses of a batch: fields, labels, properties and sizes beyond Google's limits (``limits.py``)."""

import re
from collections.abc import Mapping

from google.cloud.dataproc_v1.types import batches
from google.cloud.dataproc_v1.types.shared import AuthenticationConfig

from tests.loopback import limits
from tests.loopback.refusals import denied, invalid

_GB = {"m": 1 / 1024, "g": 1.0, "t": 1024.0}
_PARENT = re.compile(r"projects/[^/]+/(regions|locations)/([^/]+)")
_SUBNETWORK = re.compile(r"(projects/[^/]+/regions/([^/]+)/subnetworks/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def check_batch(request: batches.CreateBatchRequest) -> None:
    """Refuse a batch that Google would refuse, or that could not run there."""
    if not limits.BATCH_ID.fullmatch(request.batch_id):
        raise invalid(f"batch_id {request.batch_id!r} must be 4-63 of /[a-z][0-9]-/")
    if not limits.REQUEST_ID.fullmatch(request.request_id):
        raise invalid(f"request_id {request.request_id!r} has more than 40 characters, or others than [A-Za-z0-9_-]")
    parent = _PARENT.fullmatch(request.parent)
    if not parent or parent[2] not in limits.REGIONS:
        raise invalid(f"bad parent {request.parent}")
    batch = request.batch
    if not re.fullmatch(r"(gs|file)://.+\.py", batch.pyspark_batch.main_python_file_uri):
        raise invalid(f"pyspark_batch.main_python_file_uri {batch.pyspark_batch.main_python_file_uri!r} is no .py file")
    _check_labels(batch.labels)
    _check_execution(batch, parent[2])
    _check_properties(batch.runtime_config.properties)


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > limits.BATCH_LABELS:
        raise invalid(f"{len(labels)} labels; no more than {limits.BATCH_LABELS} can be associated with a batch")
    for key, value in labels.items():
        for said, form in ((key, limits.BATCH_LABEL_KEY), (value, limits.BATCH_LABEL_VALUE)):
            if not form.fullmatch(said):
                # The service's own words.
                raise invalid(
                    f'Not a valid value: "{said}". Only lowercase letters, numbers, and dashes are allowed. The value must '
                    "start with lowercase letter or number and end with a lowercase letter or number."
                )


def _check_execution(batch: batches.Batch, region: str) -> None:
    execution = batch.environment_config.execution_config
    chosen = execution.authentication_config.user_workload_authentication_type
    if chosen != AuthenticationConfig.AuthenticationType.SERVICE_ACCOUNT:
        raise denied(
            f"authentication type {chosen.name}: this runtime runs the workload as its creator, who has no access to the "
            "data. Set SERVICE_ACCOUNT"
        )
    if not limits.SERVICE_ACCOUNT.fullmatch(execution.service_account):
        raise invalid(f"service_account {execution.service_account!r} is no account")
    if execution.staging_bucket:
        raise invalid("staging_bucket: runtimes since 3.0 use none")
    subnetwork = _SUBNETWORK.fullmatch(execution.subnetwork_uri)
    if not subnetwork or subnetwork[2] not in (None, region):
        raise invalid(f"subnetwork {execution.subnetwork_uri!r} is none of {region}")
    seconds = execution.ttl.total_seconds() if execution.ttl else None
    shortest, longest = limits.BATCH_TTL_SECONDS
    if seconds is None or not shortest <= seconds <= longest:
        raise invalid(f"ttl {seconds} s: from {shortest} to {longest} s; left out, it would be four hours")
    runtime = batch.runtime_config
    if not re.fullmatch(r"[1-9]\.\d+", runtime.version):
        raise invalid(f"runtime version {runtime.version!r} is no major.minor")
    if not limits.IMAGE.fullmatch(runtime.container_image):
        raise invalid(f"container_image {runtime.container_image!r} is not in Artifact Registry")


def _check_properties(properties: Mapping[str, str]) -> None:
    for name in properties:
        if not limits.BATCH_PROPERTY.fullmatch(name) or limits.BATCH_PROPERTIES_REFUSED.fullmatch(name):
            raise invalid(f"unsupported property {name}")
    for role in ("driver", "executor"):
        _check_node(role, properties)
    least, most = limits.BATCH_INSTANCES
    counted = ("executor.instances", "dynamicAllocation.initialExecutors", "dynamicAllocation.maxExecutors")
    for name in (f"spark.{part}" for part in (*counted, "dynamicAllocation.minExecutors")):
        if not least <= int(properties.get(name, least)) <= most:
            raise invalid(f"{name} {properties[name]}: from {least} to {most}")


def _check_node(role: str, properties: Mapping[str, str]) -> None:
    compute, disk = (properties.get(f"spark.dataproc.{role}.{part}.tier", "standard") for part in ("compute", "disk"))
    if not {compute, disk} <= limits.BATCH_TIERS:
        raise invalid(f"tiers of the {role}: {compute}, {disk}; they are {', '.join(sorted(limits.BATCH_TIERS))}")
    if disk == "premium" and compute != "premium":
        raise invalid(f"premium disks of the {role} need its premium compute tier")
    card = properties.get(f"spark.dataproc.{role}.resource.accelerator.type", "")
    if card and (role == "driver" or card not in limits.BATCH_ACCELERATOR_CORES):
        raise invalid(f"the {role} takes no accelerator {card}")
    if card and {compute, disk} != {"premium"}:
        raise invalid(f"accelerators of the {role} need the premium tiers of compute and disk")
    cores = int(properties.get(f"spark.{role}.cores", "12" if card.startswith("a100") else "4"))
    if cores not in (allowed := limits.BATCH_ACCELERATOR_CORES.get(card, limits.BATCH_CORES)):
        raise invalid(f"spark.{role}.cores {cores}: one of {', '.join(map(str, sorted(allowed)))}")
    _check_memory(role, cores, compute, properties)
    size = properties.get(f"spark.dataproc.{role}.disk.size")
    if size and not card and _gb(size) < limits.BATCH_DISK_GB_AT_LEAST:
        raise invalid(f"spark.dataproc.{role}.disk.size {size}: at least {limits.BATCH_DISK_GB_AT_LEAST}g")


def _check_memory(role: str, cores: int, tier: str, properties: Mapping[str, str]) -> None:
    """Memory and its overhead, of each core. A PySpark batch has 40 % of overhead, unless its properties say otherwise."""
    memory = properties.get(f"spark.{role}.memory")
    if memory is None:
        return
    own = _gb(memory) * 1024
    overhead = properties.get(f"spark.{role}.memoryOverhead")
    each = (own + (_gb(overhead) * 1024 if overhead else 0.4 * own)) / cores
    least, most = limits.BATCH_MEMORY_MB_A_CORE[tier]
    if not least <= each <= most:
        raise invalid(f"memory of the {role} with its overhead: {each:.0f}m a core; from {least}m to {most}m in {tier}")


def _gb(size: str) -> float:
    found = re.fullmatch(r"(\d+)([mgt])b?", size.lower())
    if not found:
        raise invalid(f"{size!r} is no size with a unit m, g or t")
    return int(found[1]) * _GB[found[2]]
