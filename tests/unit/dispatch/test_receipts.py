"""Receipts: a small file a job, counted once, in the month of its submission."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.dispatch.priced import NOVEMBER, end, job, receipts_of, reserve

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings
from contrail.dispatch.receipts import Receipts
from contrail.errors import SpecError
from contrail.methods.cost import BatchUsage


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


def test_an_attempt_has_one_receipt_in_the_month_of_its_first_submission(current: Settings) -> None:
    first = reserve(current, job("first"), datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    again = reserve(current, job("first"), datetime(2026, 12, 1, tzinfo=UTC))
    assert (again.job, again.month) == (first.job, "2026-11")
    found = receipts_of(current)
    assert (len(found.month("2026-11").receipts), len(found.month("2026-12").receipts)) == (1, 0)


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


def test_a_month_without_jobs_has_counted_nothing(current: Settings) -> None:
    found = receipts_of(current).month("2026-10").report("toy").as_dict()
    assert json.dumps(found) == (
        '{"pipeline": "toy", "month": "2026-10", "currency": "EUR", "counted": 0, "budget": 10.0, "left": 10.0, "jobs": []}'
    )
