"""Which quotas a target needs, and which limit of a metric holds in a region."""

from typing import Any

import pytest

from contrail.adapters.google_project import UNLIMITED, limit_of
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.operations.doctor.quotas import needed

PLACE = {"project": "p", "region": "europe-west1", "service_account": "a", "image": "i"}


def spark(**properties: str) -> DataprocTarget:
    given = {name.replace("__", "."): value for name, value in properties.items()}
    return DataprocTarget.model_validate({**PLACE, "kind": "dataproc", "subnetwork": "s", "properties": given})


def vertex(machine: str, kind: str | None = None, count: int = 0, spot: int = 0) -> VertexTarget:
    asked = {"machine_type": machine, "accelerator_type": kind, "accelerator_count": count, "spot_attempts": spot}
    return VertexTarget.model_validate({**PLACE, "kind": "vertex", **asked})


def test_a_batch_needs_the_cpus_of_its_driver_and_first_executors() -> None:
    # The example of Google's page: four cores each for a driver and two executors.
    assert needed(spark()) == {"compute.googleapis.com/cpus": 12}
    larger = {"spark__executor__instances": "4", "spark__executor__cores": "8", "spark__driver__cores": "16"}
    assert needed(spark(**larger)) == {"compute.googleapis.com/cpus": 48}


def test_the_premium_tier_has_other_machines_and_may_have_gpus() -> None:
    target = spark(
        spark__dataproc__executor__compute__tier="premium",
        spark__dataproc__executor__resource__accelerator__type="l4",
        spark__executor__instances="3",
    )
    assert needed(target) == {"compute.googleapis.com/n2_cpus": 16, "compute.googleapis.com/nvidia_l4_gpus": 3}


def test_a_training_needs_gpus_on_spot_and_for_when_there_is_none() -> None:
    metric = "aiplatform.googleapis.com/custom_model_training_{}nvidia_l4_gpus"
    assert needed(vertex("g2-standard-24", "NVIDIA_L4", 2)) == {metric.format(""): 2}
    on_spot = needed(vertex("g2-standard-8", "NVIDIA_L4", 1, spot=2))
    assert on_spot == {metric.format("preemptible_"): 1, metric.format(""): 1}


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
