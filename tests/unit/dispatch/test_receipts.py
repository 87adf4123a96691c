"""Receipts and the budget of a month: jobs that run count, months do not mix, a job is counted once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings, VertexTarget
from contrail.dispatch.payload import Job
from contrail.dispatch.receipts import Receipt, Receipts, month_of
from contrail.errors import BudgetError, SpecError
from contrail.methods.cost import BatchUsage, MachineUsage

NOVEMBER = datetime(2026, 11, 21, 6, tzinfo=UTC)
PLACE = {"project": "p", "region": "r", "service_account": "a", "image": "i", "timeout_minutes": 60}
GPU = {
    "kind": "vertex",
    "machine_type": "g2-standard-8",
    "accelerator_type": "NVIDIA_L4",
    "accelerator_count": 1,
    **PLACE,
}
PRICES = """
read_on: 2026-01-01
region: here
currency: EUR
sources: ["https://x"]
vertex: {machines: {g2-standard-8: {hour: 6}}}
"""


@pytest.fixture
def current(toy_home: Path, tmp_path: Path) -> Settings:
    """Trainings of ``toy`` cost 6 an hour; a month may cost 10."""
    (tmp_path / "prices.yaml").write_text(PRICES)
    return made(tmp_path, monthly_budget=10)


def made(tmp_path: Path, target: dict[str, Any] = GPU, **changed: Any) -> Settings:
    values = {
        "jobs_uri": f"file://{tmp_path}/jobs", "stages": {"train": "gpu", "features": "gpu"}, "targets": {"gpu": target},
        "prices": tmp_path / "prices.yaml", **changed,
    }  # fmt: skip
    return settings().model_copy(update={"dispatch": DispatchSettings.model_validate(values)})


def receipts_of(current: Settings, pipeline: str = "toy") -> Receipts:
    found = Receipts.of(current, pipeline)
    assert found is not None
    return found


def job(work: str, attempt: int = 1, stage: str = "train", days: str = "2024-01-05") -> Job:
    return Job((stage,), "toy", stage, days, "run", work, "", attempt)


def reserve(current: Settings, wanted: Job, now: datetime = NOVEMBER) -> Receipt:
    target = current.dispatch.target_of("toy", wanted.stage)
    assert isinstance(target, VertexTarget)
    return receipts_of(current).reserve(wanted, target, now)


def end(current: Settings, receipt: Receipt, minutes: float, state: Any = "succeeded") -> Receipt:
    found = receipts_of(current)
    used = MachineUsage(machine_type="g2-standard-8", seconds=minutes * 60)
    return found.write(receipt.closed(state, used, minutes * 60 + 30, found.prices))


def test_a_receipt_is_a_small_file_that_says_everything(current: Settings, tmp_path: Path) -> None:
    end(current, reserve(current, job("first", days="2024-01-05..2024-01-07")), 10)
    (path,) = (tmp_path / "jobs").rglob("*.json")
    assert path.relative_to(tmp_path / "jobs").parts == ("costs", "toy", "2026-11", f"{job('first').id}.json")
    left = json.loads(path.read_text())
    assert (left["estimate"], left["cost"], left["state"], left["seconds"]) == (6.0, 1.0, "succeeded", 630.0)
    assert (left["stage"], left["partitions"], left["days"], left["run"]) == (
        "train",
        "2024-01-05..2024-01-07",
        3,
        "run",
    )
    assert (left["target"], left["labels"]["pipeline"]) == ("gpu", "toy")
    assert (left["prices"], left["currency"]) == ("prices.yaml of 2026-01-01, here", "EUR")


def test_a_job_that_runs_counts_as_estimated_until_its_cost_is_known(current: Settings) -> None:
    first = reserve(current, job("first"))
    assert receipts_of(current).month("2026-11").counted == 6.0
    end(current, first, 5)
    month = receipts_of(current).month("2026-11")
    assert (month.counted, month.left, len(month.open)) == (0.5, 9.5, 0)


def test_what_runs_leaves_no_room_for_more_than_the_budget(current: Settings) -> None:
    reserve(current, job("first"))
    with pytest.raises(BudgetError) as refused:
        reserve(current, job("second"))
    said = str(refused.value)
    for words in (
        "toy has spent EUR 0.00 on 0 jobs in 2026-11, and EUR 6.00 expected for 1 that runs",
        "train 2024-01-05 would cost EUR 6.00 (not known yet; at most this, by its limit of 60 minutes)",
        "the budget is EUR 10.00 (dispatch.monthly_budget in include/environments/dev.yaml)",
        "Nothing was submitted.",
        "dispatch.pipelines.toy: {train: local}",
        "contrail cost -p toy",
    ):
        assert words in said
    month = receipts_of(current).month("2026-11")
    assert {one.job: one.state for one in month.receipts} == {job("first").id: "open", job("second").id: "refused"}
    assert month.counted == 6.0, "a refused job costs nothing"


def test_the_budget_is_full_at_the_budget_and_not_before(current: Settings) -> None:
    for number, minutes in enumerate((20, 20)):
        end(current, reserve(current, job(f"{number}")), minutes)
    reserve(current, job("2"))  # 4 spent, and at most 2 more by history
    assert receipts_of(current).month("2026-11").counted == 6.0
    reserve(current, job("3"))
    reserve(current, job("4"))
    assert receipts_of(current).month("2026-11").left == 0.0
    with pytest.raises(BudgetError):
        reserve(current, job("5"))


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_did_not_end_well_is_paid_for_and_is_no_history(current: Settings, state: str) -> None:
    end(current, reserve(current, job("first")), 6, state)
    found = receipts_of(current)
    assert found.month("2026-11").counted == pytest.approx(0.6)
    expected = found.expected("train", 1, NOVEMBER)
    assert expected is not None
    assert "not known yet" in expected.basis


def test_history_is_of_the_same_stage(current: Settings) -> None:
    end(current, reserve(current, job("first")), 6)
    found = receipts_of(current)
    amounts = [found.expected(stage, 1, NOVEMBER) for stage in ("train", "features", "score")]
    assert [one and one.amount for one in amounts] == [pytest.approx(0.6), 6.0, None]


def test_a_new_month_has_its_own_budget_and_the_old_ones_history(current: Settings) -> None:
    last_minute = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    end(current, reserve(current, job("first"), last_minute), 60)
    with pytest.raises(BudgetError):
        reserve(current, job("second"), last_minute)
    next_minute = last_minute + timedelta(minutes=1)
    receipt = reserve(current, job("third"), next_minute)
    assert (receipt.month, receipt.estimated_from) == ("2026-12", "from 1 earlier job of 1 day")
    found = receipts_of(current)
    assert (found.month("2026-11").counted, found.month("2026-12").counted) == (6.0, 6.0)
    january = datetime(2027, 1, 1, tzinfo=UTC)
    assert [month_of(one.submitted_at) for one in found.recent(january)] == ["2026-12", "2026-11", "2026-11"]


def test_an_attempt_has_one_receipt_in_the_month_of_its_first_submission(current: Settings) -> None:
    first = reserve(current, job("first"), datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    again = reserve(current, job("first"), datetime(2026, 12, 1, tzinfo=UTC))
    assert (again.job, again.month) == (first.job, "2026-11")
    found = receipts_of(current)
    assert (len(found.month("2026-11").receipts), len(found.month("2026-12").receipts)) == (1, 0)


def test_pipelines_do_not_pay_for_each_other_and_may_have_budgets_of_their_own(
    current: Settings, tmp_path: Path
) -> None:
    reserve(current, job("first"))
    assert receipts_of(current, "other").month("2026-11").left == 10.0
    own = made(tmp_path, monthly_budget=10, monthly_budgets={"toy": 5})
    assert [receipts_of(own, name).month("2026-11").budget for name in ("other", "toy")] == [10.0, 5.0]
    with pytest.raises(BudgetError, match=r"dispatch.monthly_budgets.toy in"):
        reserve(own, job("second"))


def test_without_a_budget_nothing_is_refused(current: Settings, tmp_path: Path) -> None:
    free = made(tmp_path)
    for number in range(3):
        reserve(free, job(f"{number}"))
    month = receipts_of(free).month("2026-11")
    assert (month.counted, month.left) == (18.0, None)


def test_a_job_without_a_price_is_refused_only_where_there_is_a_budget(current: Settings, tmp_path: Path) -> None:
    a100 = {**GPU, "machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100"}
    with pytest.raises(
        BudgetError, match=r"not known \(no price for a2-highgpu-1g in prices.yaml\).*Put the price into"
    ):
        reserve(made(tmp_path, a100, monthly_budget=10), job("first"))
    receipt = reserve(made(tmp_path, a100), job("second"))
    assert (receipt.estimate, receipt.estimated_from) == (None, "no price for a2-highgpu-1g in prices.yaml")
    month = receipts_of(current).month("2026-11")
    assert "expected for 1 that runs (1 job without a price not counted)" in str(month)


def test_a_job_whose_use_is_not_said_counts_as_estimated(current: Settings) -> None:
    found = receipts_of(current)
    closed = reserve(current, job("first")).closed("failed", None, 40.0, found.prices)
    assert (closed.cost, closed.counted) == (None, 6.0)
    assert "counted as estimated" in closed.note
    unpriced = BatchUsage(tier="premium", dcu_seconds=1, shuffle_gb_seconds=1)
    assert "no price for Dataproc Serverless, tier premium" in closed.closed("failed", unpriced, 4, found.prices).note


def test_only_receipts_that_are_old_enough_are_lost(current: Settings) -> None:
    reserve(current, job("first"))
    found = receipts_of(current)
    assert found.lost(NOVEMBER + timedelta(minutes=14)) == []
    assert [one.job for one in found.lost(NOVEMBER + timedelta(minutes=16))] == [job("first").id]


def test_a_receipt_that_was_edited_wrongly_is_named(current: Settings, tmp_path: Path) -> None:
    reserve(current, job("first"))
    (path,) = (tmp_path / "jobs").rglob("*.json")
    path.write_text(path.read_text().replace('"open"', '"lost"'))
    with pytest.raises(SpecError, match=r"costs/toy/2026-11/contrail-toy-train-.*json is not valid:\n  state:"):
        receipts_of(current).month("2026-11")


def test_a_budget_without_prices_is_refused_with_the_settings() -> None:
    with pytest.raises(ValueError, match="monthly_budget needs prices"):
        DispatchSettings.model_validate({"monthly_budgets": {"toy": 5}})


def test_where_no_prices_are_set_there_are_no_receipts(toy_home: Path) -> None:
    assert Receipts.of(settings(), "toy") is None
