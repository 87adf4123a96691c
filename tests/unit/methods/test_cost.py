"""Costs and estimates, worked by hand from round prices."""

from typing import Any

import pytest

from contrail.config.prices import PriceTable
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import NoPriceError, SpecError
from contrail.methods.cost import (
    Assumption,
    BatchUsage,
    MachineUsage,
    cost_of,
    expected_cost,
    money,
    so_many,
    usage_of,
)

PRICES = PriceTable.model_validate(
    {
        "file": "round.yaml", "read_on": "2026-01-01", "region": "here", "currency": "EUR", "sources": ["https://x"],
        "dataproc": {"standard": {"dcu_hour": 0.1, "shuffle_gb_month": 0.73, "accelerator_hours": {"l4": 2}}},
        "vertex": {
            "machines": {"g2-standard-8": {"hour": 3, "spot_hour": 1}, "n1-standard-4": {"hour": 0.5}},
            "accelerators": {"NVIDIA_TESLA_T4": {"hour": 0.25}},
        },
    }
)  # fmt: skip
PLACE = {"project": "p", "region": "r", "service_account": "a", "image": "i", "timeout_minutes": 60}


def batch(**properties: str) -> DataprocTarget:
    named = {name.replace("__", "."): value for name, value in properties.items()}
    return DataprocTarget.model_validate({"kind": "dataproc", "subnetwork": "s", "properties": named, **PLACE})


def gpu(**changed: Any) -> VertexTarget:
    machine = {"machine_type": "g2-standard-8", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}
    return VertexTarget.model_validate({"kind": "vertex", **machine, **PLACE, **changed})


def seconds(count: float, **changed: Any) -> MachineUsage:
    return MachineUsage(machine_type="g2-standard-8", seconds=count, **changed)


def test_a_batch_costs_its_dcus_its_shuffle_storage_and_its_accelerators() -> None:
    hour = 3600
    assert cost_of(BatchUsage(dcu_seconds=12 * hour, shuffle_gb_seconds=0), PRICES) == pytest.approx(1.2)
    # 730 GB for an hour are a GB for Google's month of 730 hours.
    assert cost_of(BatchUsage(dcu_seconds=0, shuffle_gb_seconds=730 * hour), PRICES) == pytest.approx(0.73)
    used = BatchUsage(dcu_seconds=0, shuffle_gb_seconds=0, accelerator_seconds=hour / 2, accelerator_type="l4")
    assert cost_of(used, PRICES) == pytest.approx(1.0)
    with pytest.raises(NoPriceError, match=r"no price for a100 of Dataproc Serverless in round.yaml"):
        cost_of(used.model_copy(update={"accelerator_type": "a100"}), PRICES)


def test_a_machine_costs_its_time_by_its_strategy_and_an_n1_its_accelerators_too() -> None:
    assert cost_of(seconds(1800), PRICES) == pytest.approx(1.5)
    assert cost_of(seconds(1800, spot=True), PRICES) == pytest.approx(0.5)
    with_its_own = seconds(3600, accelerator_type="NVIDIA_L4", accelerator_count=1)
    assert cost_of(with_its_own, PRICES) == 3.0, "a g2's accelerator is in its price"
    n1 = {"machine_type": "n1-standard-4", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 2}
    assert cost_of(MachineUsage(**n1, seconds=3600), PRICES) == pytest.approx(1.0)  # type: ignore[arg-type]
    with pytest.raises(NoPriceError, match="no price for n1-standard-4 on a spot machine"):
        cost_of(MachineUsage(**n1, seconds=3600, spot=True), PRICES)  # type: ignore[arg-type]
    assert cost_of(MachineUsage(**n1, seconds=0, spot=True), PRICES) == 0, "a job that never ran"  # type: ignore[arg-type]


def test_an_attempt_costs_what_its_own_place_costs() -> None:
    n1 = {"machine_type": "n1-standard-4", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 2}
    target = gpu(spot_attempts=1, fallbacks=[n1])
    hours = [cost_of(usage_of(target, 3600, attempt), PRICES) for attempt in (1, 2, 3)]
    assert hours == [pytest.approx(price) for price in (1.0, 3.0, 1.0)]


@pytest.mark.parametrize(
    ("properties", "most", "dcus", "gigabytes"),
    [
        # Google's own example: 12 DCUs and 400 GB a node, "Dataproc Serverless pricing".
        ({}, False, 12, 1200),
        ({}, True, 4 + 1000 * 4, 1001 * 400),
        ({"spark__dynamicAllocation__maxExecutors": "8"}, True, 36, 3600),
        ({"spark__dynamicAllocation__maxExecutors": "8"}, False, 12, 1200),
        ({"spark__dynamicAllocation__enabled": "false", "spark__executor__instances": "3"}, True, 16, 1600),
        ({"spark__executor__cores": "8"}, False, 4 + 2 * 8, 400 + 2 * 800),
        ({"spark__driver__memory": "20g"}, False, 4 * 1.325 + 8, 1200),
        ({"spark__dataproc__executor__disk__size": "0.25t"}, False, 12, 400 + 2 * 250),
    ],
)
def test_the_size_of_a_batch_is_read_from_its_properties(
    properties: dict[str, str], most: bool, dcus: float, gigabytes: float
) -> None:
    used = usage_of(batch(**properties), 10, most=most)
    assert isinstance(used, BatchUsage)
    assert (used.dcu_seconds, used.shuffle_gb_seconds) == (pytest.approx(dcus * 10), pytest.approx(gigabytes * 10))


def test_without_history_the_limit_is_all_that_is_known() -> None:
    found = expected_cost([], 1, gpu(), PRICES)
    assert found.amount == 3.0
    assert str(found) == "EUR 3.00 (not known yet; at most this, by its limit of 60 minutes)"


def test_the_first_attempts_are_on_spot_and_priced_so() -> None:
    target, history = gpu(spot_attempts=1), [(1, seconds(1800, spot=False))]
    assert expected_cost(history, 1, target, PRICES, attempt=1).amount == 0.5
    assert expected_cost(history, 1, target, PRICES, attempt=2).amount == 1.5


def test_the_median_of_the_jobs_that_are_nearest_in_days_counts() -> None:
    history = [(1, seconds(s)) for s in (120, 600, 180)] + [(30, seconds(1800))]
    a_day = expected_cost(history, 1, gpu(), PRICES)
    assert (a_day.amount, a_day.basis) == (pytest.approx(0.15), "from 3 earlier jobs of 1 day")
    assert expected_cost(history, 10, gpu(), PRICES).amount == pytest.approx(1.5), "fewer days cost at most as much"
    assert expected_cost(history, 45, gpu(), PRICES).amount == pytest.approx(2.25), "more cost more in proportion"
    assert expected_cost(history, 900, gpu(), PRICES).amount == 3.0, "and none more than its time limit lets it"


def test_a_machine_without_a_price_is_said_and_has_no_amount() -> None:
    a100 = gpu(machine_type="a2-highgpu-1g", accelerator_type="NVIDIA_TESLA_A100")
    for history in ([], [(1, seconds(60))]):
        found = expected_cost(history, 1, a100, PRICES)
        assert (found.amount, str(found)) == (None, "no price for a2-highgpu-1g in round.yaml")
    for part in ("dataproc__tier", "spark__dataproc__executor__compute__tier", "spark__dataproc__driver__disk__tier"):
        assert expected_cost([], 1, batch(**{part: "premium"}), PRICES).amount is None


def test_the_accelerators_of_a_batchs_executors_are_in_its_estimate() -> None:
    kind, amount = "spark__dataproc__executor__resource__accelerator__type", "spark__executor__resource__gpu__amount"
    size = {"spark__executor__instances": "3", "spark__dynamicAllocation__enabled": "false"}
    plain, one, two = (usage_of(batch(**size, **gpus), 60) for gpus in ({}, {kind: "l4"}, {kind: "l4", amount: "2"}))
    assert cost_of(one, PRICES) - cost_of(plain, PRICES) == pytest.approx(3 * 2 / 60)
    assert cost_of(two, PRICES) - cost_of(plain, PRICES) == pytest.approx(6 * 2 / 60)


def test_a_guess_is_jobs_times_minutes() -> None:
    assert Assumption.parse("train=4x15").cost(gpu(), PRICES) == 3.0
    assert Assumption.parse("features=30x2.5") == Assumption("features", 30, 2.5)
    with pytest.raises(SpecError, match=r"--assume train=4: write it as STAGE=JOBSxMINUTES"):
        Assumption.parse("train=4")


def test_amounts_are_for_people() -> None:
    shown = [money(amount, "EUR") for amount in (0, 1234.5, 0.1, 0.0456, 0.00012, -0.5)]
    assert shown == ["EUR 0.00", "EUR 1,234.50", "EUR 0.10", "EUR 0.046", "EUR 0.00012", "EUR -0.50"]
    assert [so_many(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
