"""The machines of Vertex AI: their accelerators, their boot disks, their networks, and the regions that have them.

Plain facts of Google's, each with its source and date. What a target may be is decided in ``contrail.config.targets``.
"""

# Machines that come with accelerators: the type, and how many each size has.
# Source: Google Cloud, "Configure compute resources for serverless training", table of valid numbers of GPUs, 2026-11.
# g4-*, a4-* and a4x-* are left out: nobody here knows their prices.
_L4, _A100, _H100 = "NVIDIA_L4", "NVIDIA_TESLA_A100", "NVIDIA_H100_80GB"
MACHINES: dict[str, tuple[str, int]] = {
    **{f"g2-standard-{cores}": (_L4, 1) for cores in (4, 8, 12, 16, 32)},
    "g2-standard-24": (_L4, 2),
    "g2-standard-48": (_L4, 4),
    "g2-standard-96": (_L4, 8),
    **{f"a2-highgpu-{count}g": (_A100, count) for count in (1, 2, 4, 8)},
    "a2-megagpu-16g": (_A100, 16),
    **{f"a2-ultragpu-{count}g": ("NVIDIA_A100_80GB", count) for count in (1, 2, 4, 8)},
    **{f"a3-highgpu-{count}g": (_H100, count) for count in (1, 2, 4, 8)},
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
}
N1_ACCELERATORS = {
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
}

# Accelerators whose jobs cannot be peered with a network; a network attachment (Private Service Connect) does instead.
# Source: Google Cloud, "Use a private IP for serverless training", the note at its top, 2026-11.
NOT_PEERED = ("NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200")

# Series that take no persistent disk. Source: the page on compute resources, "Boot disk options", names a3-ultragpu;
# Compute Engine's page on the series says the same of n4. 2026-11.
_HYPERDISK_ONLY = ("a3-ultragpu-", "n4-")

# The regions of Compute Engine in which a series exists. Vertex AI has no machine where Compute Engine has none, but it may
# lack one that Compute Engine has: its own table (locations, "Using accelerators") was not at hand.
# Source: `gcloud compute machine-types list`, as recorded in github.com/Cyclenerd/google-cloud-pricing-cost-calculator,
# tools/machinetyperegion.csv.
REGIONS_READ_ON = "2026-08-17"
_SERIES_REGIONS = {
    "g2-standard-": "asia-east1 asia-northeast1 asia-northeast3 asia-south1 asia-southeast1 europe-west1 europe-west2 "
    "europe-west3 europe-west4 europe-west6 me-central2 northamerica-northeast1 northamerica-northeast2 us-central1 us-east1 "
    "us-east4 us-west1 us-west4",
    "a2-highgpu-": "asia-northeast1 asia-northeast3 asia-southeast1 europe-west4 me-west1 us-central1 us-east1 us-west1 "
    "us-west3 us-west4",
    "a2-megagpu-": "asia-southeast1 europe-west4 us-central1",
    "a2-ultragpu-": "asia-southeast1 europe-west4 us-central1 us-east4 us-east5",
    "a3-highgpu-": "asia-east1 asia-northeast1 asia-northeast3 asia-south1 asia-south2 asia-southeast1 australia-southeast1 "
    "australia-southeast2 europe-north1 europe-west1 europe-west3 europe-west4 europe-west9 us-central1 us-east4 us-east5 "
    "us-west1 us-west4",
    "a3-megagpu-": "asia-east1 asia-northeast1 asia-southeast1 australia-southeast1 europe-north1 europe-west1 europe-west3 "
    "europe-west4 us-central1 us-east4 us-east5 us-west1 us-west4",
    "a3-ultragpu-": "asia-south1 asia-south2 europe-west1 europe-west4 us-central1 us-east4 us-east5 us-south1 us-west1",
}
# All regions of that list. A region that opened later is not judged.
_KNOWN_REGIONS = (
    "africa-south1 asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2 "
    "asia-southeast1 asia-southeast2 asia-southeast3 australia-southeast1 australia-southeast2 europe-central2 europe-north1 "
    "europe-north2 europe-southwest1 europe-west1 europe-west10 europe-west12 europe-west2 europe-west3 europe-west4 "
    "europe-west6 europe-west8 europe-west9 me-central1 me-central2 me-west1 northamerica-northeast1 northamerica-northeast2 "
    "northamerica-south1 southamerica-east1 southamerica-west1 us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 "
    "us-west2 us-west3 us-west4"
)
# Continents whose regions are near each other: each with itself first.
_NEAR = {"us": ("us", "northamerica"), "northamerica": ("northamerica", "us"), "australia": ("australia", "asia")}


def boot_disk(machine_type: str) -> str:
    """Return the type of boot disk that a machine takes."""
    return "hyperdisk-balanced" if machine_type.startswith(_HYPERDISK_ONLY) else "pd-ssd"


def lacking(machine_type: str, region: str) -> str:
    """Say that a region lacks a machine, and where the nearest are; empty where it has it, or where nobody here knows.

    A series without a row here is sold nearly everywhere, and a region that is not in the list may be new.
    """
    series = next((name for name in _SERIES_REGIONS if machine_type.startswith(name)), None)
    if series is None or region not in _KNOWN_REGIONS.split():
        return ""
    regions = _SERIES_REGIONS[series].split()
    if region in regions:
        return ""
    continent = region.split("-")[0]
    near = [r for name in _NEAR.get(continent, (continent,)) for r in regions if r.split("-")[0] == name]
    where = (
        f"The nearest regions that have it: {', '.join(near)}"
        if near
        else f"Regions that have it: {', '.join(regions)}"
    )
    return f"{region} has no {machine_type} ({REGIONS_READ_ON}). {where}"


def quota(machine_type: str, accelerator_type: str, *, spot: bool) -> str:
    """Return the name of the Vertex AI quota that a training on such a machine needs most.

    The names are those of Google's error messages: public reports show them for L4, T4, A100 and H100.
    """
    card = accelerator_type.removeprefix("NVIDIA_").removeprefix("TESLA_").lower()
    for size in ("h100_80gb", "h100_mega_80gb", "h200_141gb"):  # the quotas of these do not name their memory
        card = card.replace(size, size.rsplit("_", 1)[0])
    kind = f"nvidia_{card}_gpus" if card else _processors(machine_type)
    return f"custom_model_training_{'preemptible_' if spot else ''}{kind}"


def _processors(machine_type: str) -> str:
    series = machine_type.split("-")[0]
    return "cpus" if series in ("n1", "e2") else f"{series}_cpus"
