"""The order of waiting tasks: scheduled runs, then everything else, then backfills; earlier days first."""

from types import SimpleNamespace
from typing import Any

from contrail_airflow.scheduling.priority import EarlierPartitionFirst

USUAL = 1


def weight(run_id: str) -> int:
    task_instance: Any = SimpleNamespace(run_id=run_id)
    return EarlierPartitionFirst().get_weight(task_instance)


def test_the_earlier_day_comes_first_whatever_the_run_ids_ending() -> None:
    ids = [f"backfill__2013-{day}T05:00:00+00:00__2013-{day}__{end}" for day, end in (("02-28", "zz"), ("03-01", "AA"))]
    assert weight(ids[0]) > weight(ids[1])
    assert weight("scheduled__2013-12-31T05:00:00+00:00__x") > weight("scheduled__2014-01-01T05:00:00+00:00__a")


def test_a_scheduled_run_never_waits_for_a_backfill() -> None:
    assert weight("scheduled__2026-01-01T05:00:00+00:00") > USUAL > weight("backfill__1990-01-01T05:00:00+00:00")


def test_a_run_id_without_a_day_has_a_weight() -> None:
    assert isinstance(weight("manual__mine"), int)
