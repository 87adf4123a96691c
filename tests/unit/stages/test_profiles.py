"""Profiles are counted once, describe the rows that are published, and give the verdicts that the rows give."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.unit.lake.labels_read import read_labels
from tests.unit.stages.counted import counted_in
from tests.unit.stages.test_drift import (
    EXPECTED,
    LAST,
    ROWS,
    TRAINED,
    Model,
    Package,
    features,
    label_rows,
    labelled,
    model,
    publish_decisions,
    publish_features,
    publish_labels,
    run,
)

from contrail.lake import datasets, drift_records
from contrail.methods.drift_reference import DriftReference, NumberReference
from contrail.partitions import Partitions
from contrail.stages.profiles import predicted_days
from contrail.stages.results import DriftDetails, StageResult

__all__ = ["labelled", "model", "run"]

Run = Callable[..., StageResult[DriftDetails]]
DAYS = ("2024-02-12", "2024-03-10")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The kinds that were counted from rows, and their days."""
    return counted_in(monkeypatch)


# ---- the same as from the rows ----


def places(rows: pa.ChunkedArray, usual: Any) -> list[int]:
    """How many values lie in each bin, value by value."""
    bins = [0] * len(usual.histogram)
    for value in rows.to_pylist():
        if isinstance(usual, NumberReference):
            place = len(usual.edges) + 1 if value is None else sum(edge < value for edge in usual.edges)
        else:
            place = [*usual.values].index(value) if value in usual.values else len(usual.values) + (value is None)
        bins[place] += 1
    return bins


def distance(bins: list[int], others: list[int], usual: Any) -> float:
    """How far a day's rows lie from others: the plain words of the definition."""
    if not isinstance(usual, NumberReference):
        return sum(abs(a / sum(bins) - b / sum(others)) for a, b in zip(bins, others, strict=True)) / 2
    missing = abs(bins[-1] / sum(bins) - others[-1] / sum(others))
    ahead = moved = 0.0
    for a, b, gap in zip(bins[:-1], others[:-1], usual.gaps, strict=False):
        ahead += a / sum(bins[:-1]) - b / sum(others[:-1])
        moved += abs(ahead) * gap
    return missing + moved


def effect(bins: list[int], others: list[int], usual: Any) -> float:
    """How far the contributions of a day's rows lie from those of others."""
    ahead = moved = 0.0
    order = sorted(range(len(bins)), key=lambda place: usual.effects[place])
    for place, following in pairwise(order):
        ahead += bins[place] / sum(bins) - others[place] / sum(others)
        moved += abs(ahead) * (usual.effects[following] - usual.effects[place])
    return moved


def test_the_rows_of_drift_are_those_that_its_definition_gives(toy: Toy, model: Model, run: Run) -> None:
    run(*DAYS)
    reference: DriftReference = model.reference
    rows = toy.lake.scan("drift").to_pylist()
    measured = {(row["partition_date"], row["feature"]): row for row in rows}
    counted = {
        (day, name): places(features(Partitions(day, day))[name], usual)
        for day in Partitions(TRAINED.start, LAST)
        for name, usual in reference.features.items()
    }
    for day in Partitions(date(2024, 2, 12), LAST):
        beyond = []
        for name, usual in reference.features.items():
            assert not usual.same_weekday
            before = [counted[day - timedelta(days=back), name] for back in range(1, 15)]
            others, own = [sum(bins) for bins in zip(*before, strict=True)], counted[day, name]
            expected = {
                "value": distance(own, others, usual),
                "effect": effect(own, others, usual),
                "from_window": distance(own, [*usual.histogram], usual),
            }
            scales = {"value": usual.distance, "effect": usual.effect, "from_window": usual.from_window}
            row = measured[day, name]
            assert {what: row[what] for what in expected} == pytest.approx(expected, abs=1e-12)
            beyond.append(min((expected[what] - scale.median) / scale.spread for what, scale in scales.items()))
            assert row["unusual"] == (beyond[-1] > reference.day_threshold)
        assert measured[day, "*"]["value"] == pytest.approx(max(beyond), abs=1e-12)
        assert measured[day, "*"]["rows"] == ROWS


def test_residuals_are_those_of_the_labelled_rows(toy: Toy, labelled: Run) -> None:
    labelled("2024-03-10")
    found = toy.sql("SELECT partition_date, rows, residual FROM drift_profiles WHERE feature = 'label' ORDER BY 1")
    days = Partitions(date(2024, 3, 3), date(2024, 3, 8))
    expected: dict[date, list[float]] = defaultdict(list)
    for row in read_labels(toy.lake, toy.spec, days).to_pylist():
        expected[row["partition_date"]].append(row["label"] - EXPECTED)
    assert found == [(day, len(own), pytest.approx(sum(own), abs=1e-12)) for day, own in sorted(expected.items())]


# ---- counted once, and again when rows change ----


def test_a_day_is_counted_once_for_each_model(
    toy: Toy, model: Model, labelled: Run, counted: list[tuple[str, str]]
) -> None:
    publish_decisions(toy, Partitions(date(2024, 3, 1), LAST), 2)
    labelled("2024-03-09")
    assert [kind for kind, _ in counted] == ["features", "label", "predictions", "decisions"]
    counted.clear()
    labelled("2024-03-10")
    new = [("features", "03-10"), ("label", "03-08"), ("predictions", "03-10"), ("decisions", "03-10")]
    assert counted == new, "only what is new"
    counted.clear()
    labelled("2024-03-10")
    assert counted == []
    first = toy.sql("SELECT count(DISTINCT model) FROM drift_profiles")
    other = Package(model.reference.model_copy(update={"day_threshold": 9.0}).to_json())
    model.model = type(model.model)("toy", "4", model.model.folder, other)
    labelled("2024-03-10")
    assert [kind for kind, _ in counted] == ["features", "label", "decisions"], "predictions are every model's"
    assert (first, toy.sql("SELECT count(DISTINCT model) FROM drift_profiles")) == ([(2,)], [(3,)])


def test_a_day_that_is_published_again_is_counted_again(
    toy: Toy, labelled: Run, counted: list[tuple[str, str]]
) -> None:
    labelled(*DAYS)
    before = toy.sql("SELECT * FROM drift ORDER BY ALL")
    counted.clear()
    changed = Partitions(date(2024, 3, 5), date(2024, 3, 5))
    snapshot = toy.lake.snapshot_id("features")
    heavier = features(changed)
    heavier = heavier.set_column(5, "weight", pa.array(heavier["weight"].to_numpy() + 50))
    publish_features(toy, changed, heavier)
    labelled(*DAYS)
    assert counted == [("features", "03-05"), ("label", "03-05")]
    after = toy.sql("SELECT * FROM drift ORDER BY ALL")
    assert after != before
    counted.clear()
    toy.lake.rollback("features", snapshot or 0)
    labelled(*DAYS)
    assert counted == [("features", "03-05"), ("label", "03-05")], "what is published counts, not what came last"
    assert toy.sql("SELECT * FROM drift ORDER BY ALL") == before


def test_the_same_rows_published_again_are_not_counted_again(
    toy: Toy, labelled: Run, counted: list[tuple[str, str]]
) -> None:
    labelled(*DAYS)
    counted.clear()
    publish_features(toy, Partitions(TRAINED.start, LAST))
    labelled(*DAYS)
    assert counted == []


def test_a_label_that_changes_is_counted_again(toy: Toy, labelled: Run, counted: list[tuple[str, str]]) -> None:
    labelled("2024-03-10")
    newest = "SELECT residual FROM drift_profiles WHERE kind = 'label' AND partition_date = '2024-03-08'"
    assert toy.sql(newest) == [(pytest.approx(30 - 60 * EXPECTED),)]
    counted.clear()
    publish_labels(toy, undelivered=9)
    labelled("2024-03-10")
    assert [kind for kind, _ in counted] == ["label"]
    assert toy.sql(newest) == [(pytest.approx(30 - 51 * EXPECTED),)]
    assert [row[-1] for row in label_rows(toy).values()] == [51]


def test_a_run_that_was_killed_loses_nothing(toy: Toy, labelled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(*DAYS)
    expected = toy.sql("SELECT * FROM drift ORDER BY ALL")
    nothing = drift_records.drift_profiles(toy.spec).staged_schema().empty_table()
    window = Partitions(TRAINED.start, LAST)
    provenance = toy.stage_run("drift", *DAYS).provenance({})
    toy.lake.publish(drift_records.drift_profiles(toy.spec), nothing, window, provenance)
    publish = type(toy.lake).publish

    def killed(self: Any, dataset: datasets.Dataset, rows: pa.Table, *rest: Any) -> int:
        made: int = publish(self, dataset, rows, *rest)
        if dataset.name == "drift_profiles":
            raise KeyboardInterrupt
        return made

    for _ in range(2):  # after the features, and after the label
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(type(toy.lake), "publish", killed)
            labelled(*DAYS)
    labelled(*DAYS)
    assert toy.sql("SELECT * FROM drift ORDER BY ALL") == expected


def test_a_damaged_profile_is_made_again(toy: Toy, labelled: Run, counted: list[tuple[str, str]]) -> None:
    labelled("2024-03-10")
    expected = toy.sql("SELECT * FROM drift ORDER BY ALL")
    path = Path(toy.lake.files("drift_profiles", scope={"kind": "features"})[3].removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-1])
    counted.clear()
    labelled("2024-03-10")
    assert [kind for kind, _ in counted] == ["features"]
    assert toy.lake.verify("drift_profiles").damages == ()
    assert toy.sql("SELECT * FROM drift ORDER BY ALL") == expected


def test_counts_have_each_row_once(toy: Toy, run: Run) -> None:
    run("2024-03-10")
    assert toy.sql(
        "SELECT DISTINCT list_sum(CAST(counts AS BIGINT[])) = rows, rows FROM drift_profiles WHERE kind = 'features'"
    ) == [(True, 60)]


def test_a_day_with_features_and_no_label_is_not_counted_for_ever(
    toy: Toy, labelled: Run, counted: list[tuple[str, str]]
) -> None:
    publish_labels(toy, undelivered=60, first=date(2024, 2, 1))
    assert labelled("2024-03-10").details.without_labels == ("2024-03-10",)
    counted.clear()
    labelled("2024-03-10")
    assert counted == []


def test_days_are_bounded(toy: Toy, run: Run) -> None:
    run("2024-03-10")
    ((first, last),) = toy.sql("SELECT min(partition_date), max(partition_date) FROM drift_profiles")
    assert (first, last) == (LAST - timedelta(days=26 + 28), LAST)


def test_a_damaged_day_of_predictions_is_left_out_and_named(toy: Toy, model: Model) -> None:
    window = Partitions(LAST - timedelta(days=5), LAST)
    publish_decisions(toy, window, 2)
    broken = window.start + timedelta(days=1)
    path = Path(toy.lake.files("predictions", [broken])[0].removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-1])
    stage, told = toy.stage_run("drift", str(LAST)), list[str]()
    object.__setattr__(stage, "progress", told.append)
    found = predicted_days(stage, model.model, window)
    assert list(found) == [day for day in window if day != broken]
    (line,) = [line for line in told if "leaves out" in line]
    assert line.startswith(f"drift of predictions leaves out {broken}: ") and path.name in line
    assert predicted_days(stage, model.model, window) == found
