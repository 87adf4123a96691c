"""Documented limits of Vertex AI's custom jobs, written down apart from the product's own tables.

Sources, read in 2026-11: the messages of ``google.cloud.aiplatform_v1.types`` (custom_job, machine_resources,
service_networking), and Google Cloud's pages "Configure compute resources for serverless training" (machines, numbers of
GPUs, boot disks) and "Use a private IP for serverless training". Machines of a region: ``contrail.config.machines``.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

from google.cloud.aiplatform_v1.types import custom_job, machine_resources

from contrail.config.machines import lacking
from tests.loopback.refusals import LABEL

_MAX_NAME, _MAX_LABELS, _MAX_ENV, _MAX_TIME = 128, 64, 100, timedelta(days=7)
_DISKS, _DISK_GB = ("pd-ssd", "pd-standard", "hyperdisk-balanced"), (100, 64_000)
_HYPERDISK_ALONE = re.compile(r"a3-ultragpu-|a4-|g4-|n4-")
_NOT_PEERED = ("NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200")
# Machines without accelerators, or with those of n1.
_PLAIN = re.compile(
    r"e2-(standard-(4|8|16|32)|highmem-(2|4|8|16)|highcpu-(16|32))"
    r"|n4-(standard|highmem|highcpu)-(2|4|8|16|32|48|64|80)"
    r"|n2-(standard-(4|8|16|32|48|64|80)|highmem-(2|4|8|16|32|48|64|80)|highcpu-(16|32|48|64|80))"
    r"|n1-(standard-(4|8|16|32|64|96)|highmem-(2|4|8|16|32|64|96)|highcpu-(16|32|64|96))"
    r"|c2-standard-(4|8|16|30|60)|m1-(ultramem-(40|80|160)|megamem-96)"
)
# (machine, accelerator, numbers)
_WITH = [
    (r"g2-standard-(4|8|12|16|32)", "NVIDIA_L4", (1,)),
    (r"g2-standard-24", "NVIDIA_L4", (2,)),
    (r"g2-standard-48", "NVIDIA_L4", (4,)),
    (r"g2-standard-96", "NVIDIA_L4", (8,)),
    *((f"g4-standard-{48 * n}", "NVIDIA_RTX_PRO_6000", (n,)) for n in (1, 2, 4, 8)),
    *((f"a2-highgpu-{n}g", "NVIDIA_TESLA_A100", (n,)) for n in (1, 2, 4, 8)),
    *((f"a2-ultragpu-{n}g", "NVIDIA_A100_80GB", (n,)) for n in (1, 2, 4, 8)),
    *((f"a3-highgpu-{n}g", "NVIDIA_H100_80GB", (n,)) for n in (1, 2, 4, 8)),
    (r"a2-megagpu-16g", "NVIDIA_TESLA_A100", (16,)),
    (r"a3-megagpu-8g", "NVIDIA_H100_MEGA_80GB", (8,)),
    (r"a3-ultragpu-8g", "NVIDIA_H200_141GB", (8,)),
    (r"a4-highgpu-8g", "NVIDIA_B200", (8,)),
    (r"n1-(standard|highmem|highcpu)-(2|4|8|16)", "NVIDIA_TESLA_(T4|P4|P100)", (1, 2, 4)),
    (r"n1-(standard|highmem|highcpu)-32", "NVIDIA_TESLA_(T4|P4|P100)", (2, 4)),
    (r"n1-(standard|highmem|highcpu)-(64|96)", "NVIDIA_TESLA_(T4|P4)", (4,)),
    (r"n1-(standard|highmem)-(2|4|8)", "NVIDIA_TESLA_V100", (1, 2, 4, 8)),
    (r"n1-(standard|highmem|highcpu)-16", "NVIDIA_TESLA_V100", (2, 4, 8)),
    (r"n1-(standard|highmem|highcpu)-32", "NVIDIA_TESLA_V100", (4, 8)),
    (r"n1-(standard|highmem|highcpu)-(64|96)", "NVIDIA_TESLA_V100", (8,)),
]


def problems(job: custom_job.CustomJob, region: str) -> Iterator[str]:
    """What Vertex AI would refuse in a custom job for a region."""
    if not 0 < len(job.display_name) <= _MAX_NAME:
        yield f"display_name has 1 to {_MAX_NAME} characters"
    if len(job.labels) > _MAX_LABELS or not all(re.fullmatch("[a-z]" + LABEL.pattern, key) for key in job.labels):
        yield f"label keys {list(job.labels)} are not allowed"
    if bad := [v for v in job.labels.values() if not LABEL.fullmatch(v)]:
        yield f"label values {bad} are not allowed"
    spec = job.job_spec
    if len(spec.worker_pool_specs) != 1:
        yield "one of job_spec.worker_pool_specs is required"
        return
    if spec.scheduling.timeout > _MAX_TIME:
        yield f"timeout is at most {_MAX_TIME}"
    if "@" not in spec.service_account:
        yield f"service_account {spec.service_account!r} is not the address of one"
    pool = spec.worker_pool_specs[0]
    if pool.replica_count != 1 or len(pool.container_spec.env) > _MAX_ENV or not pool.container_spec.command:
        yield "one replica with a command and at most 100 variables"
    yield from _machine(pool.machine_spec, region)
    yield from _disk(pool.disk_spec, pool.machine_spec.machine_type)
    yield from _network(spec, pool.machine_spec.accelerator_type.name, region)


def _machine(machine: machine_resources.MachineSpec, region: str) -> Iterator[str]:
    name, card, count = machine.machine_type, machine.accelerator_type.name, machine.accelerator_count
    known = [row for row in _WITH if re.fullmatch(row[0], name)]
    if not known and not _PLAIN.fullmatch(name):
        yield f"machine type {name} is not supported for training"
    elif not count and known and not name.startswith("n1-"):
        yield f"{name} must be used with {known[0][1]}"
    elif count and not any(re.fullmatch(kind, card) and count in numbers for _, kind, numbers in known):
        yield f"{count} of {card} are not valid with {name}"
    if lacking(name, region):
        yield f"machine type {name} is not available in {region}"


def _disk(disk: machine_resources.DiskSpec, machine: str) -> Iterator[str]:
    low, high = _DISK_GB
    if not low <= disk.boot_disk_size_gb <= high:
        yield f"boot_disk_size_gb is {low} to {high}"
    # An empty type means the machine's own.
    if disk.boot_disk_type and disk.boot_disk_type not in _DISKS:
        yield f"boot_disk_type is one of {_DISKS}"
    if disk.boot_disk_type.startswith("pd-") and _HYPERDISK_ALONE.match(machine):
        yield f"{disk.boot_disk_type} is not supported on {machine}"


def _network(spec: custom_job.CustomJobSpec, card: str, region: str) -> Iterator[str]:
    attachment = spec.psc_interface_config.network_attachment
    if spec.network and not re.fullmatch(r"projects/\d+/global/networks/[a-z0-9-]+", spec.network):
        yield f"network {spec.network} is not projects/NUMBER/global/networks/NAME"
    if spec.network and card in _NOT_PEERED:
        yield f"VPC peering is not supported with {card}"
    if spec.reserved_ip_ranges and not spec.network:
        yield "reserved_ip_ranges need a network"
    if attachment and not re.fullmatch(rf"projects/[^/]+/regions/{region}/networkAttachments/[a-z0-9-]+", attachment):
        yield f"network attachment {attachment} is not of {region}"
