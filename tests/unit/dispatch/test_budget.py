"""The budget of a month: jobs that run count, months and pipelines do not mix, history is of the same stage."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.dispatch.priced import GPU, NOVEMBER, PLACE, end, job, made, receipts_of, reserve

from contrail.config.settings import Settings, settings
from contrail.config.targets import DataprocTarget
from contrail.dispatch import budget
from contrail.dispatch.receipts import month_of
from contrail.errors import BudgetError


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
    expected = budget.expected(found, "train", 1, NOVEMBER)
    assert expected is not None
    assert "not known yet" in expected.basis


def test_history_is_of_the_same_stage(current: Settings) -> None:
    end(current, reserve(current, job("first")), 6)
    found = receipts_of(current)
    amounts = [budget.expected(found, stage, 1, NOVEMBER) for stage in ("train", "features", "score")]
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


PREMIUM = {
    "kind": "dataproc",
    "subnetwork": "s",
    "properties": {"spark.dataproc.executor.compute.tier": "premium"},
    **{name: value for name, value in GPU.items() if name in PLACE},
}


def test_a_premium_job_without_a_price_is_refused_for_what_is_not_known(current: Settings, tmp_path: Path) -> None:
    premium = made(tmp_path, PREMIUM, monthly_budget=10)
    target = premium.dispatch.target_of("toy", "train")
    assert isinstance(target, DataprocTarget)
    with pytest.raises(BudgetError) as refused:
        budget.reserve(receipts_of(premium), job("first"), target, NOVEMBER)
    said = str(refused.value)
    for words in (
        "toy has spent EUR 0.00 on 0 jobs in 2026-11. The cost of train 2024-01-05 is not known (no price for Dataproc "
        "Serverless, tier premium, in prices.yaml)",
        "so it cannot be compared with the budget (dispatch.monthly_budget in include/environments/dev.yaml)",
        "Nothing was submitted. Put the price into ",
    ):
        assert words in said
    (receipt,) = receipts_of(premium).month("2026-11").receipts
    assert (receipt.state, receipt.note, receipt.counted) == ("refused", "its cost is not known", 0.0)


def test_what_the_budget_would_refuse_is_said_before_the_first_job(current: Settings, tmp_path: Path) -> None:
    assert budget.unpriced(current, "toy") == []
    features, train = budget.unpriced(made(tmp_path, PREMIUM, monthly_budgets={"toy": 5}), "toy")
    assert features.startswith("include/environments/dev.yaml: dispatch.targets.gpu: no price for Dataproc Serverless")
    assert "dispatch.monthly_budgets.toy would refuse features. Put the price into " in features
    assert train.endswith("(dispatch.pipelines.toy: {train: local})")
    assert budget.unpriced(made(tmp_path, PREMIUM, monthly_budgets={"other": 5}), "toy") == [], "without a budget"
    assert budget.unpriced(settings(), "toy") == [], "without a price table"
    places = {**GPU, "fallbacks": [{"machine_type": "n2-standard-8"}]}
    (fallback, _) = budget.unpriced(made(tmp_path, places, monthly_budget=10), "toy")
    assert "no price for n2-standard-8 in prices.yaml" in fallback
    spot = budget.unpriced(made(tmp_path, {**GPU, "spot_attempts": 1}, monthly_budget=10), "toy")
    assert ["no price for g2-standard-8 on a spot machine" in one for one in spot] == [True, True]
