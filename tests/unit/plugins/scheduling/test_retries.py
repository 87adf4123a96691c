"""Tasks that failed together do not retry together."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from contrail_airflow.operators.ending import StageRefused
from contrail_airflow.scheduling.retries import JitteredBackoff


def delay(try_number: int, **of_task: Any) -> timedelta:
    """The wait of one failed attempt of a run, a day or a mapped job: nothing tells them apart here."""
    given = {"retry_delay": timedelta(seconds=30), "retry_exponential_backoff": 2.0}
    task = SimpleNamespace(**{**given, "max_retry_delay": timedelta(minutes=15), **of_task})
    context: Any = {"task": task}
    decision = JitteredBackoff().evaluate(RuntimeError("x"), try_number, 2, context)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    return decision.retry_delay


@pytest.mark.parametrize(
    ("try_number", "shortest", "longest"), [(1, 30, 60), (2, 60, 120), (3, 120, 240), (9, 450, 900)]
)
def test_runs_that_failed_together_come_back_apart_and_within_bounds(
    try_number: int, shortest: int, longest: int
) -> None:
    delays = [delay(try_number) for _ in range(200)]
    assert len(set(delays)) == len(delays)
    assert min(delays) >= timedelta(seconds=shortest)
    assert max(delays) <= timedelta(seconds=longest)
    assert max(delays) - min(delays) > timedelta(seconds=(longest - shortest) / 2)


def test_without_a_context_airflows_own_delay_is_taken() -> None:
    assert JitteredBackoff().evaluate(RuntimeError("x"), 1, 2).action is RetryAction.DEFAULT


def test_an_error_that_would_come_again_is_not_retried() -> None:
    refused = StageRefused("score", 3, "no features")
    assert JitteredBackoff().evaluate(refused, 1, 2, {"task": None}).action is RetryAction.FAIL  # type: ignore[typeddict-item]
