import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Toy

from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.lake.datasets import Dataset
from contrail.methods import metrics
from contrail.partitions import Partitions
from contrail.stages import performance
from contrail.stages.base import StageResult

DAYS = Partitions(date(2024, 1, 1), date(2024, 1, 6))
LANDED = Partitions(date(2024, 1, 1), date(2024, 1, 5))  # so 6 January has no labels, and 5 January not all
ROWS = 40
TRAINING_MEANS = {"3": 0.25, "4": 0.75, "5": 0.5}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def parcels(day: date) -> dict[str, Any]:
    """A day's parcels: delay and prediction; number 39 is never delivered, number 38 on the next day."""
    rng = np.random.default_rng(day.toordinal())
    delay = rng.normal(5, 20, ROWS)
    return {
        "parcel": np.arange(ROWS),
        "delay": delay,
        "probability": np.clip(rng.normal(0.3, 0.2, ROWS) + 0.2 * (delay > 15), 0.01, 0.99),
        "landed": [day + timedelta(days=int(number == 38)) for number in range(ROWS)],
    }


def publish(toy: Toy, dataset: Dataset, rows: list[dict[str, Any]], partitions: Partitions) -> None:
    """Columns that no test cares about are null, or a constant when they are required."""
    fill = {"string": "x", "int": 0, "float": 0.0, "bool": False, "date": DAYS.start, "timestamp": NOON}
    default = {name: fill[column.type] if column.required else None for name, column in dataset.columns.items()}
    table = pa.Table.from_pylist([default | row for row in rows], schema=dataset.arrow_schema())
    provenance = toy.stage_run("test", str(DAYS.start)).provenance({})
    toy.lake.publish(dataset, table, partitions, provenance)


def predictions(days: Partitions, versions: dict[date, str] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "partition_date": day,
            "ship_date": day,
            "parcel": int(number),
            "probability": float(probability),
            "model_name": "toy",
            "model_version": (versions or {}).get(day, "3"),
        }
        for day in days
        for number, probability in zip(parcels(day)["parcel"], parcels(day)["probability"], strict=True)
    ]


def deliveries(days: Partitions, landed: Partitions) -> list[dict[str, Any]]:
    return [
        {"partition_date": at, "ship_date": day, "parcel": int(number), "delay": float(delay), "visible_from": at}
        for day in days
        for number, delay, at in zip(*(parcels(day)[name] for name in ("parcel", "delay", "landed")), strict=True)
        if number != 39 and at in landed
    ]


@pytest.fixture
def scored(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Six scored days; labels have landed until the fifth. The champion's registry is replaced."""

    def resolve(_: Any, name: str, version: str) -> Any:
        training = SimpleNamespace(partitions=Partitions(date(2023, 1, 1), date(2023, 12, 31)))
        card = SimpleNamespace(label_mean=TRAINING_MEANS[version], training=training)
        return SimpleNamespace(package=SimpleNamespace(card=card))

    monkeypatch.setattr(performance, "resolve", resolve)
    entities = [{"partition_date": day, "ship_date": day, "parcel": n} for day in DAYS for n in range(ROWS)]
    publish(toy, datasets.validated(toy.spec, "parcels"), entities, DAYS)
    publish(toy, datasets.validated(toy.spec, "deliveries"), deliveries(DAYS, LANDED), LANDED)
    publish(toy, datasets.predictions(toy.spec), predictions(DAYS), DAYS)
    return toy


def measured(toy: Toy) -> list[date]:
    return [row[0] for row in toy.sql("SELECT partition_date FROM performance ORDER BY 1")]


def test_mature_days_are_measured_and_others_named(scored: Toy) -> None:
    result = scored.run("performance", "2024-01-01", "2024-01-06")
    assert measured(scored) == list(Partitions(date(2024, 1, 1), date(2024, 1, 4)))
    assert result.rows == result.details.measured == 4
    assert result.details.immature == ("2024-01-05..2024-01-06",)
    assert len(scored.lake.history("performance")) == 1, "a range is one commit"


def test_five_days_or_more_are_pooled_with_intervals_and_by_month(scored: Toy) -> None:
    few = scored.run("performance", "2024-01-01", "2024-01-06")
    assert few.details.quality == {}
    landed = Partitions(date(2024, 1, 6), date(2024, 1, 6))
    publish(scored, datasets.validated(scored.spec, "deliveries"), deliveries(DAYS, landed), landed)
    found = scored.run("performance", "2024-01-01", "2024-01-06").details.quality["3"]
    rows = [parcels(day) for day in Partitions(date(2024, 1, 1), date(2024, 1, 5))]
    labels = np.concatenate([(day["delay"][:39] > 15).astype(float) for day in rows])
    predicted = np.concatenate([day["probability"][:39] for day in rows])
    assert found.rows == 5 * 39
    assert found.metrics == pytest.approx(metrics.evaluate("binary", labels, predicted))
    low, high = found.intervals["log_loss"]
    assert low < metrics.log_loss(labels, predicted) < high
    (month,) = found.months
    assert month.period == "2024-01-01..2024-01-05"
    assert month.calibration_error == pytest.approx(metrics.calibration_error(labels, predicted))


def test_the_values_of_a_day(scored: Toy) -> None:
    scored.run("performance", "2024-01-02")
    row = scored.lake.scan("performance").to_pylist()[0]
    day = parcels(date(2024, 1, 2))
    labels = (day["delay"][:39] > 15).astype(float)
    predicted = day["probability"][:39]
    expected = {
        "rows": 40,
        "labelled": 39,
        "label_coverage": 39 / 40,
        "label_mean": labels.mean(),
        "prediction_mean": predicted.mean(),
        "auc": metrics.auc(labels, predicted),
        "log_loss": metrics.log_loss(labels, predicted),
        "brier": ((labels - predicted) ** 2).mean(),
        "calibration_error": metrics.calibration_error(labels, predicted),
        "baseline_log_loss": -(labels.mean() * math.log(0.25) + (1 - labels.mean()) * math.log(0.75)),
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row["model_name"], row["model_version"]) == ("toy", "3")


def test_a_label_that_lands_on_the_next_day_counts(scored: Toy) -> None:
    late = parcels(date(2024, 1, 4))["landed"][38]
    assert late == date(2024, 1, 5)
    scored.run("performance", "2024-01-04")
    assert scored.sql("SELECT labelled FROM performance") == [(39,)]


def test_what_is_not_mature_is_estimated_and_not_measured(scored: Toy) -> None:
    result = scored.run("performance", "2024-01-05", "2024-01-06")
    waiting = {"measured": 0, "immature": ["2024-01-05..2024-01-06"]}
    assert (result.unchanged, result.rows) == (False, 0)
    assert result.as_dict()["details"] == {**waiting, "estimated": 2}
    again = scored.run("performance", "2024-01-05", "2024-01-06")
    assert (again.unchanged, again.as_dict()["details"]) == (True, waiting)
    assert not scored.lake.exists("performance")


def test_a_day_that_is_no_longer_mature_keeps_its_rows(scored: Toy) -> None:
    scored.run("performance", "2024-01-01", "2024-01-04")
    before = scored.sql("SELECT * FROM performance ORDER BY 1")
    gone = Partitions(date(2024, 1, 3), date(2024, 1, 3))
    publish(scored, datasets.validated(scored.spec, "deliveries"), [], gone)
    result = scored.run("performance", "2024-01-01", "2024-01-04")
    assert result.details.immature == ("2024-01-02..2024-01-03",)
    assert scored.sql("SELECT * FROM performance ORDER BY 1") == before


def test_splits_and_reruns_leave_the_same_rows(scored: Toy) -> None:
    scored.run("performance", "2024-01-01", "2024-01-04")
    everything = "SELECT * FROM performance ORDER BY 1"
    before = scored.sql(everything)
    for day in ("2024-01-03", "2024-01-01", "2024-01-04", "2024-01-02"):
        scored.run("performance", day)
    assert scored.sql(everything) == before


def test_each_model_has_its_own_baseline(scored: Toy) -> None:
    versions = {date(2024, 1, 2): "4"}
    publish(scored, datasets.predictions(scored.spec), predictions(DAYS, versions), DAYS)
    scored.run("performance", "2024-01-01", "2024-01-02")
    rows = scored.sql("SELECT model_version, label_mean, baseline_log_loss FROM performance ORDER BY partition_date")
    assert [row[0] for row in rows] == ["3", "4"]
    for version, mean, baseline in rows:
        p = TRAINING_MEANS[version]
        assert baseline == pytest.approx(-(mean * math.log(p) + (1 - mean) * math.log(1 - p)))


def test_a_model_that_was_deleted_is_measured_without_its_baseline(
    scored: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted(*_: Any) -> Any:
        raise MissingInputError("no model version 3")

    monkeypatch.setattr(performance, "resolve", deleted)
    scored.run("performance", "2024-01-01", "2024-01-02")
    found = scored.sql("SELECT log_loss IS NOT NULL, baseline_log_loss FROM performance ORDER BY partition_date")
    assert found == [(True, None), (True, None)]


def test_a_challenger_in_shadow_has_rows_of_its_own(scored: Toy) -> None:
    unseen = [row | {"probability": 0.5} for row in predictions(DAYS, dict.fromkeys(DAYS, "5"))]
    publish(scored, datasets.predictions_shadow(scored.spec), unseen, DAYS)
    result = scored.run("performance", "2024-01-01", "2024-01-02")
    assert (result.rows, result.details.measured) == (4, 2)
    rows = scored.sql(
        "SELECT strftime(partition_date, '%d'), model_version, shadow, rows, labelled FROM performance ORDER BY 1, 2"
    )
    days = [("01", 40, 39), ("02", 40, 39)]
    assert rows == [(day, v, v == "5", n, labelled) for day, n, labelled in days for v in ("3", "5")]
    losses = scored.sql("SELECT log_loss FROM performance WHERE model_version = '5'")
    assert losses == [(pytest.approx(math.log(2)),)] * 2
    inputs = scored.lake.history("performance")[0].provenance.inputs
    assert inputs["predictions_shadow"] == scored.lake.snapshot_id("predictions_shadow")  # type: ignore[index]


def test_a_challenger_that_became_champion_is_measured_once_a_day(scored: Toy) -> None:
    publish(scored, datasets.predictions_shadow(scored.spec), predictions(DAYS, dict.fromkeys(DAYS, "4")), DAYS)
    publish(scored, datasets.predictions(scored.spec), predictions(DAYS, {date(2024, 1, 2): "4"}), DAYS)
    scored.run("performance", "2024-01-01", "2024-01-02")
    rows = scored.sql(
        "SELECT strftime(partition_date, '%d'), model_version, shadow, rows FROM performance ORDER BY 1, 2"
    )
    assert rows == [("01", "3", False, 40), ("01", "4", True, 40), ("02", "4", False, 40)]


def measure_again(toy: Toy) -> list[str]:
    """Days that the monitor measures, which looks back over all of them."""
    before = toy.lake.snapshot_id("performance")
    result = toy.run("performance", "2023-12-20", "2024-01-06", only_stale=True)
    newest = toy.lake.history("performance")[0]
    assert result.unchanged == (newest.snapshot == before)
    days = [] if result.unchanged else newest.commit.partitions or ()
    return [f"{day:%m-%d}" for part in days for day in part]


def test_only_what_is_missing_or_stale_is_measured_again(scored: Toy) -> None:
    for day in ("2024-01-01", "2024-01-02", "2024-01-04"):
        scored.run("performance", day)
    assert measure_again(scored) == ["01-03"], "a monitor that failed on its day"
    assert measure_again(scored) == []
    second, third = (Partitions(date(2024, 1, n), date(2024, 1, n)) for n in (2, 3))
    redelivered = deliveries(Partitions(date(2024, 1, 1), second.end), second)
    publish(scored, datasets.validated(scored.spec, "deliveries"), redelivered[:-9], second)
    assert measure_again(scored) == ["01-01", "01-02"], "labels of a day arrive on the next one too"
    assert scored.sql("SELECT labelled FROM performance WHERE day(partition_date) = 2") == [(30,)]
    before = scored.lake.snapshot_id("predictions")
    publish(scored, datasets.predictions(scored.spec), predictions(third, {third.start: "4"}), third)
    assert measure_again(scored) == ["01-03"]
    assert scored.sql("SELECT model_version FROM performance WHERE day(partition_date) = 3") == [("4",)]
    scored.lake.rollback("predictions", before or 0)
    assert "01-03" in measure_again(scored), "what it describes is published no more"
    assert scored.sql("SELECT model_version FROM performance WHERE day(partition_date) = 3") == [("3",)]
    assert measure_again(scored) == []


def test_newly_mature_days_are_measured_and_those_not_mature_are_named(scored: Toy) -> None:
    result = scored.run("performance", "2023-12-20", "2024-01-06", only_stale=True)
    assert (result.details.measured, result.details.immature) == (4, ("2024-01-05..2024-01-06",))
    landed = Partitions(date(2024, 1, 6), date(2024, 1, 6))
    publish(scored, datasets.validated(scored.spec, "deliveries"), deliveries(DAYS, landed), landed)
    assert measure_again(scored) == ["01-05"]


def test_a_day_whose_predictions_were_taken_away_is_not_measured_any_more(scored: Toy) -> None:
    assert measure_again(scored) == ["01-01", "01-02", "01-03", "01-04"]
    publish(scored, datasets.predictions(scored.spec), [], Partitions(date(2024, 1, 2), date(2024, 1, 2)))
    assert measure_again(scored) == ["01-02"]
    assert [day.day for day in measured(scored)] == [1, 3, 4]
    assert measure_again(scored) == []


def test_a_challenger_in_shadow_is_measured_when_it_comes(scored: Toy) -> None:
    measure_again(scored)
    second = Partitions(date(2024, 1, 2), date(2024, 1, 2))
    publish(scored, datasets.predictions_shadow(scored.spec), predictions(second, {second.start: "5"}), second)
    assert "01-02" in measure_again(scored)
    assert scored.sql("SELECT model_version FROM performance WHERE day(partition_date) = 2 ORDER BY 1") == [
        ("3",),
        ("5",),
    ]
    assert measure_again(scored) == []


def test_days_without_predictions_are_named(scored: Toy) -> None:
    scored.run("performance", "2024-01-02")
    publish(scored, datasets.predictions(scored.spec), [], Partitions(date(2024, 1, 2), date(2024, 1, 2)))
    result = scored.run("performance", "2024-01-01", "2024-01-02")
    assert result.details.without_predictions == ("2024-01-02",)
    assert measured(scored) == [date(2024, 1, 1)]


def test_a_day_without_any_label_has_coverage_nought_and_no_metrics(scored: Toy) -> None:
    day = Partitions(date(2024, 1, 2), date(2024, 1, 2))
    stranger = {"ship_date": day.start, "parcel": 900, "delay": 1.0}
    for landed in (day, day.shift(1)):
        publish(
            scored, datasets.validated(scored.spec, "deliveries"), [stranger | {"partition_date": landed.start}], landed
        )
    scored.run("performance", "2024-01-02")
    assert scored.sql("SELECT rows, labelled, label_coverage, label_mean, auc, log_loss FROM performance") == [
        (40, 0, 0.0, None, None, None)
    ]


def test_one_class_has_no_auc(scored: Toy) -> None:
    day = Partitions(date(2024, 1, 1), date(2024, 1, 2))
    early = [dict(row, delay=0.0) for row in deliveries(day, day)]
    publish(scored, datasets.validated(scored.spec, "deliveries"), early, day)
    scored.run("performance", "2024-01-01")
    assert scored.sql("SELECT auc IS NULL, log_loss > 0, label_mean FROM performance") == [(True, True, 0.0)]


def test_the_snapshot_names_its_inputs(scored: Toy) -> None:
    scored.run("performance", "2024-01-01")
    names = ("predictions", "validated_deliveries", "validated_parcels")
    expected = {name: scored.lake.snapshot_id(name) for name in names}
    assert scored.lake.history("performance")[0].provenance.inputs == expected


def test_without_labels_at_all_it_is_said_what_is_missing(toy: Toy) -> None:
    with pytest.raises(MissingInputError, match="no table 'validated_deliveries'"):
        toy.run("performance", "2024-01-01")


def test_progress_says_what_waits(scored: Toy, collect: Callable[[str], None]) -> None:
    run = scored.stage_run("performance", "2024-01-04", "2024-01-06")
    object.__setattr__(run, "progress", collect)
    result: StageResult = performance.execute(run)
    assert result.details.measured == 1
    assert collect.lines == [  # type: ignore[attr-defined]
        "partitions measured: 1, waiting for labels: 2",
        "quality estimated before labels: 3 days",
    ]
