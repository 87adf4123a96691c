"""The places of a Vertex AI target: which attempt runs where, and what cannot be is refused when it is loaded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contrail.config.targets import VertexTarget

ATTACHMENT = "projects/1/regions/europe-west1/networkAttachments/jobs"
NETWORK = "projects/1/global/networks/contrail"
GPU = {
    "kind": "vertex", "project": "p", "region": "europe-west1", "service_account": "a@p", "image": "i",
    "machine_type": "g2-standard-8", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1,
}  # fmt: skip
H200 = {"machine_type": "a3-ultragpu-8g", "accelerator_type": "NVIDIA_H200_141GB", "accelerator_count": 8}
A100 = {"machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 1}


def made(**changed: Any) -> VertexTarget:
    return VertexTarget.model_validate({**GPU, **changed})


def places(target: VertexTarget, attempts: int) -> list[str]:
    return [str(target.place(number)) for number in range(1, attempts + 1)]


def test_attempts_run_on_spot_then_on_demand_then_at_each_fallback_in_turn() -> None:
    target = made(
        spot_attempts=2, fallbacks=[{"region": "europe-west4"}, {"region": "europe-west4", **A100, "spot": True}]
    )
    l4, a100 = "g2-standard-8 with 1 NVIDIA_L4", "a2-highgpu-1g with 1 NVIDIA_TESLA_A100"
    assert places(target, 7) == [
        f"{l4} on spot in europe-west1",
        f"{l4} on spot in europe-west1",
        f"{l4} in europe-west1",
        f"{l4} in europe-west4",
        f"{a100} on spot in europe-west4",
        f"{l4} in europe-west1",
        f"{l4} in europe-west4",
    ]
    assert (target.attempts, target.regions) == (5, ("europe-west1", "europe-west4"))


@given(spot=st.integers(0, 5), others=st.integers(0, 5), attempt=st.integers(1, 60))
def test_every_place_is_tried_once_before_any_is_tried_again(spot: int, others: int, attempt: int) -> None:
    regions = ["europe-west2", "europe-west3", "europe-west4", "us-central1", "us-east4"][:others]
    target = made(spot_attempts=spot, fallbacks=[{"region": region} for region in regions])
    tried = [target.place(number) for number in range(1, target.attempts + 1)]
    assert [place.region for place in tried] == ["europe-west1"] * (spot + 1) + regions
    assert [place.spot for place in tried] == [True] * spot + [False] * (1 + others)
    assert target.place(attempt) == target.place(attempt), "the same attempt has the same place"
    assert attempt <= spot or not target.place(attempt).spot


def test_a_fallback_with_another_machine_does_not_keep_the_accelerator() -> None:
    target = made(fallbacks=[{"machine_type": "n2-standard-16"}])
    assert places(target, 2)[1] == "n2-standard-16 in europe-west1"


def test_a_fallback_in_another_region_has_its_own_attachment() -> None:
    elsewhere = ATTACHMENT.replace("west1", "west4")
    target = made(
        network_attachment=ATTACHMENT, fallbacks=[{"region": "europe-west4", "network_attachment": elsewhere}]
    )
    assert [target.place(n).network_attachment for n in (1, 2)] == [ATTACHMENT, elsewhere]
    peered = made(network=NETWORK, fallbacks=[{**H200, "network_attachment": ATTACHMENT}])
    assert [(p.network, p.network_attachment) for p in map(peered.place, (1, 2))] == [
        (NETWORK, None),
        (None, ATTACHMENT),
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({**A100}, "europe-west1 has no a2-highgpu-1g (2026-08-17). The nearest regions that have it: europe-west4"),
        ({"region": "us-west2"}, "The nearest regions that have it: us-central1, us-east1, us-east4, us-west1, us-west4, no"),
        ({"region": "africa-south1"}, "Regions that have it: asia-east1, "),
        ({"fallbacks": [{"region": "europe-west4"}, {**A100}]}, "fallbacks.1: europe-west1 has no a2-highgpu-1g"),
        ({"fallbacks": [{"machine_type": "a2-highgpu-1g"}]}, "fallbacks.0: a2-highgpu-1g comes with accelerator_type NVIDIA_T"),
        ({**H200, "network": NETWORK}, "does not peer NVIDIA_H200_141GB with a network. Leave network out, and give network_at"),
        ({"network": NETWORK, "fallbacks": [{**H200}]}, "fallbacks.0: Vertex AI does not peer NVIDIA_H200_141GB"),
        ({"network": NETWORK, "network_attachment": ATTACHMENT}, "network and network_attachment exclude each other"),
        ({"network_attachment": ATTACHMENT.replace("west1", "west4")}, "is in europe-west4; a job in europe-west1 needs one"),
        ({"network_attachment": ATTACHMENT, "fallbacks": [{"region": "europe-west4"}]}, "fallbacks.0: network_attachment is in"),
        ({"ip_ranges": ["contrail-vertex"]}, "ip_ranges are those of a peering: give network too"),
        ({"network_attachment": "jobs"}, "String should match pattern"),
        ({"queue_minutes": 1}, "greater than or equal to 5"),
        ({"timeout_minutes": 7 * 24 * 60 + 1}, "less than or equal to 10080"),
        ({"boot_disk_gb": 64_001}, "less than or equal to 64000"),
        ({"machine_type": "a4x-highgpu-4g"}, "no machine type a4x-highgpu-4g is known"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_is_refused_when_it_is_loaded(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        made(**changed)
    assert words in str(raised.value)


def test_nobody_judges_a_region_or_a_series_that_is_not_in_the_table() -> None:
    made(region="europe-west99")  # it may have opened since
    made(machine_type="n2-standard-8", accelerator_type=None, accelerator_count=0, region="africa-south1")
