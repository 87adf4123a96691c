"""Facts on Vertex AI's machines: as the loopback has them, written down apart, and as Google's messages name quotas."""

import re

import pytest
from google.cloud.aiplatform_v1.types import AcceleratorType
from tests.loopback import vertex_limits

from contrail.config.machines import (
    _KNOWN_REGIONS,
    _SERIES_REGIONS,
    MACHINES,
    N1_ACCELERATORS,
    NOT_PEERED,
    boot_disk,
    quota,
)


def test_every_machine_is_a_documented_pair_of_the_locked_client() -> None:
    for machine, (card, count) in MACHINES.items():
        assert any(
            re.fullmatch(name, machine) and re.fullmatch(kind, card) and count in numbers
            for name, kind, numbers in vertex_limits._WITH
        ), machine
    for card in {kind for kind, _ in MACHINES.values()} | set(N1_ACCELERATORS) | set(NOT_PEERED):
        assert card in AcceleratorType.__members__


def test_every_machine_with_a_gpu_has_its_regions() -> None:
    for machine in MACHINES:
        assert len([name for name in _SERIES_REGIONS if machine.startswith(name)]) == 1, machine
    for name, regions in _SERIES_REGIONS.items():
        assert any(machine.startswith(name) for machine in MACHINES), name
        assert set(regions.split()) <= set(_KNOWN_REGIONS.split())


@pytest.mark.parametrize("machine", [*MACHINES, "n4-standard-8", "n2-standard-8", "n1-standard-8", "e2-standard-8"])
def test_a_boot_disk_is_one_that_the_machine_takes(machine: str) -> None:
    assert (boot_disk(machine) == "pd-ssd") is not bool(vertex_limits._HYPERDISK_ALONE.match(machine))


@pytest.mark.parametrize(
    ("machine", "card", "spot", "name"),
    [
        ("g2-standard-8", "NVIDIA_L4", False, "custom_model_training_nvidia_l4_gpus"),
        ("g2-standard-8", "NVIDIA_L4", True, "custom_model_training_preemptible_nvidia_l4_gpus"),
        ("n1-standard-8", "NVIDIA_TESLA_T4", False, "custom_model_training_nvidia_t4_gpus"),
        ("a2-highgpu-1g", "NVIDIA_TESLA_A100", False, "custom_model_training_nvidia_a100_gpus"),
        ("a2-ultragpu-1g", "NVIDIA_A100_80GB", False, "custom_model_training_nvidia_a100_80gb_gpus"),
        ("a3-highgpu-1g", "NVIDIA_H100_80GB", True, "custom_model_training_preemptible_nvidia_h100_gpus"),
        ("a3-megagpu-8g", "NVIDIA_H100_MEGA_80GB", False, "custom_model_training_nvidia_h100_mega_gpus"),
        ("a3-ultragpu-8g", "NVIDIA_H200_141GB", False, "custom_model_training_nvidia_h200_gpus"),
        ("n1-standard-8", "", True, "custom_model_training_preemptible_cpus"),
        ("e2-standard-8", "", False, "custom_model_training_cpus"),
        ("n2-standard-8", "", False, "custom_model_training_n2_cpus"),
    ],
)
def test_a_quota_has_the_name_that_google_shows(machine: str, card: str, spot: bool, name: str) -> None:
    assert quota(machine, card, spot=spot) == name
