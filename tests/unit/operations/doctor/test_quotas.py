"""Which quotas a target needs, and which limit of a metric holds in a region."""

from typing import Any

import pytest

from contrail.adapters.google_project import UNLIMITED, limit_of
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.operations.doctor.quotas import Quota, needed

A100S = {"machine_type": "a2-highgpu-2g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 2}
PLACE = {"project": "p", "region": "europe-west1", "service_account": "a", "image": "i"}


def here(**wanted: int) -> dict[Quota, int]:
    return {Quota("europe-west1", f"compute.googleapis.com/{name}"): count for name, count in wanted.items()}


def spark(**properties: str) -> DataprocTarget:
    given = {name.replace("__", "."): value for name, value in properties.items()}
    return DataprocTarget.model_validate({**PLACE, "kind": "dataproc", "subnetwork": "s", "properties": given})


def vertex(machine: str, kind: str | None = None, count: int = 0, spot: int = 0) -> VertexTarget:
    asked = {"machine_type": machine, "accelerator_type": kind, "accelerator_count": count, "spot_attempts": spot}
    return VertexTarget.model_validate({**PLACE, "kind": "vertex", **asked})


def test_a_batch_needs_the_cpus_of_its_driver_and_first_executors() -> None:
    # The example of Google's page: four cores each for a driver and two executors.
    assert needed(spark()) == here(cpus=12)
    larger = {"spark__executor__instances": "4", "spark__executor__cores": "8", "spark__driver__cores": "16"}
    assert needed(spark(**larger)) == here(cpus=48)


def test_the_premium_tier_has_other_machines_and_may_have_gpus() -> None:
    target = spark(
        spark__dataproc__executor__compute__tier="premium",
        spark__dataproc__executor__resource__accelerator__type="l4",
        spark__executor__instances="3",
    )
    assert needed(target) == here(n2_cpus=16, nvidia_l4_gpus=3)


def test_a_training_needs_gpus_on_spot_for_when_there_is_none_and_elsewhere() -> None:
    def gpus(region: str, name: str) -> Quota:
        return Quota(region, f"aiplatform.googleapis.com/custom_model_training_{name}_gpus")

    assert needed(vertex("g2-standard-24", "NVIDIA_L4", 2)) == {gpus("europe-west1", "nvidia_l4"): 2}
    on_spot = {gpus("europe-west1", "preemptible_nvidia_l4"): 1, gpus("europe-west1", "nvidia_l4"): 1}
    assert needed(vertex("g2-standard-8", "NVIDIA_L4", 1, spot=2)) == on_spot
    other = {
        "region": "europe-west4",
        "machine_type": "a2-highgpu-2g",
        "accelerator_type": "NVIDIA_TESLA_A100",
        "accelerator_count": 2,
    }
    target = vertex("g2-standard-8", "NVIDIA_L4", 1, spot=2).model_dump() | {"fallbacks": [other]}
    assert needed(VertexTarget.model_validate(target)) == on_spot | {gpus("europe-west4", "nvidia_a100"): 2}


def test_a_quota_whose_name_is_not_known_is_not_guessed() -> None:
    assert needed(vertex("n2-standard-8")) == {}
    assert needed(vertex("a3-ultragpu-8g", "NVIDIA_H200_141GB", 8)) == {}


def bucket(limit: int, **dimensions: str) -> dict[str, Any]:
    return {"effectiveLimit": str(limit), **({"dimensions": dimensions} if dimensions else {})}


def regional(*buckets: dict[str, Any]) -> dict[str, Any]:
    return {"unit": "1/{project}/{region}", "quotaBuckets": list(buckets)}


ZONES = {"unit": "1/{project}/{zone}", "quotaBuckets": [bucket(3)]}


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ([regional(bucket(0), bucket(8, region="europe-west1"))], 8),
        ([regional(bucket(5), bucket(8, region="us-central1"))], 5),
        ([regional(bucket(-1))], UNLIMITED),
        ([regional(bucket(-1)), {"unit": "1/{project}", "quotaBuckets": [bucket(32)]}], 32),
        ([regional(bucket(24)), ZONES], 24),
        ([regional(bucket(7), bucket(99, region="europe-west1", family="x"))], 7),
        ([ZONES], 0),
        ([], 0),
        ([regional({})], 0),
    ],
    ids=("of the region", "the default", "none", "the smallest", "not of zones", "not of families", "only zones",
         "nothing", "a limit that is left out is 0"),
)  # fmt: skip
def test_the_limit_that_holds(limits: list[dict[str, Any]], wanted: int) -> None:
    assert limit_of({"consumerQuotaLimits": limits}, "europe-west1") == wanted
