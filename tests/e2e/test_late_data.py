"""A file that lands late, through a running Airflow: the next run of the daily DAG takes it in and tells people."""

import json
from datetime import date

import pytest

from contrail.config.settings import settings
from contrail_airflow.local.embedded import Embedded
from tests.conftest import Toy
from tests.landed import deliver_anew

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]


def test_a_late_file_is_taken_in_by_a_later_days_run_which_writes_and_tells_the_correction(
    airflow: Embedded, toy: Toy
) -> None:
    deliver_anew(toy, "2024-03-04")
    api = airflow.api("scientist")
    run = {"logical_date": None, "partition_key": "2024-03-08"}
    run_id = api.call("POST", "dags/toy__daily/dagRuns", json=run)["dag_run_id"]
    assert api.wait("toy__daily", run_id, lambda task: None) == "success"
    assert toy.sql("SELECT DISTINCT published, partition_date, cause FROM corrections ORDER BY 2") == [
        ("features", date(2024, 3, day), "deliveries 2024-03-04") for day in range(5, 9)
    ]
    lines = (settings().home_path / "notifications.jsonl").read_text().splitlines()
    (told,) = [line for line in map(json.loads, lines) if line["kind"] == "late data"]
    assert told["where"] == "toy late 2024-03-08"
    assert "files came late: deliveries 2024-03-04; 4 published days became different" in told["happened"]
    assert told["link"].startswith(api.url)


def test_the_jobs_of_a_backfill_are_tasks_of_their_own(airflow: Embedded, toy: Toy) -> None:
    """Of the days that are different now, whose scores were left as they are."""
    api = airflow.api("scientist")
    asked = {"from": "2024-03-05", "to": "2024-03-07", "stages": ["score"], "commits": "chunk", "chunk_days": 2}
    run_id = api.trigger("toy__backfill", asked)
    assert api.wait("toy__backfill", run_id, lambda task: None) == "success"
    tasks = api.tasks("toy__backfill", run_id)
    assert [(t["map_index"], t["state"]) for t in tasks if t["task_id"] == "score"] == [(0, "success"), (1, "success")]
    assert [t["state"] for t in tasks if t["task_id"] == "features"] == ["skipped"]
    made = [entry.commit.label for entry in toy.lake.history("predictions")[:2]]
    assert sorted(made) == ["2024-03-05..2024-03-06", "2024-03-07"]
