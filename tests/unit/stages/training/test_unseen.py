"""Intervals of a regression, from the training to what people see. ``test_values`` has the calibration step."""

import json

import numpy as np
import pytest
from tests.conftest import TOY_PIPELINES, Toy, toy_in
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs
from tests.unit.stages.refitting import refitted

from contrail.adapters import registry
from contrail.config.model_spec import GateSpec
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.spec import load_spec
from contrail.errors import SpecError
from contrail.operations.covered import covered
from contrail.operations.summary import summarise
from contrail.partitions import Partitions

WINDOW = ("2024-01-01", "2024-02-09")


@pytest.fixture(scope="module")
def prepared_rows(tmp_path_factory):
    with toy_in(tmp_path_factory.mktemp("unseen")) as (toy, patch):
        skip_what_only_train_needs(patch)
        publish_toy(toy, "2024-01-01", "2024-03-10")
        copy_empty_registry(toy.settings)
        yield patch


@pytest.fixture(scope="module")
def intervals(prepared_rows):
    """A regression whose spec asks for intervals after its first model."""
    spec = load_spec(TOY_PIPELINES / "toy" / "pipeline.yaml")
    label = spec.label.model_copy(update={"expression": "delay"})
    spec = spec.model_copy(update={"task": "regression", "label": label, "gate": GateSpec(metric="rmse", min_rows=100)})

    def use(**changes) -> Toy:
        changed = spec.model_copy(update={"score": spec.score.model_copy(update=changes)})
        prepared_rows.setattr("contrail.config.pipeline.load_spec", lambda _: changed)
        return Toy(load_pipeline("toy"), settings())

    def chain(toy: Toy, version: str, *days: str) -> None:
        registry.set_alias(settings(), registry.describe_version(settings(), "toy", version), "champion")
        for verb in ("score", "performance"):
            toy.run(verb, *days)

    toy = use()
    toy.run("train", *WINDOW, params={"nthread": 1})
    chain(toy, "1", "2024-02-11", "2024-02-12")
    toy = use(interval=0.8)
    chain(toy, "1", "2024-02-13")
    toy.run("train", *WINDOW, params={"nthread": 1})
    chain(toy, "2", "2024-02-14", "2024-03-08")
    return toy


def package(version: str):
    return registry.resolve(settings(), "toy", version).package


def test_days_before_the_option_and_models_without_it_have_no_interval(intervals):
    found = intervals.sql(
        "SELECT model_version, count(*), count(lower), count(upper) FROM predictions GROUP BY 1 ORDER BY 1"
    )
    assert found == [("1", 180, 0, 0), ("2", 24 * 60, 24 * 60, 24 * 60)]
    assert intervals.sql("SELECT count(coverage) FROM performance WHERE partition_date < '2024-02-14'") == [(0,)]


def test_a_calibration_step_that_a_request_asks_for_is_refused(intervals):
    with pytest.raises(SpecError, match="calibration=isotonic: only probabilities are calibrated"):
        intervals.run("train", *WINDOW, params={"calibration": "isotonic"})


def test_an_interval_changes_neither_trees_nor_predictions(intervals):
    before, after = (package(version).files() for version in ("1", "2"))
    assert before["model.ubj"] == after["model.ubj"]
    assert before["reference.json"] == after["reference.json"]
    cards = [json.loads(files["model.json"]) for files in (before, after)]
    assert cards[1].keys() - cards[0].keys() == {"interval"}


def test_rows_have_the_interval_of_their_model(intervals):
    rule = package("2").card.interval
    assert (rule.share, rule.rows) == (0.8, 39 * 60)
    rows = intervals.lake.scan("predictions", Partitions.parse("2024-02-14", "2024-03-08"))
    columns = [rows.column(name).to_numpy() for name in ("lower", "upper", "prediction")]
    assert [column.tobytes() for column in rule.around(columns[2])] == [column.tobytes() for column in columns[:2]]


def test_what_follows_the_trees_is_made_again_from_the_frozen_rows(intervals, tmp_path):
    model = registry.resolve(settings(), "toy", "2")
    made = refitted(model, intervals.spec, tmp_path)
    assert made.not_after == ""
    assert made.after == {"interval": model.package.card.interval.model_dump(mode="json")}
    assert (tmp_path / "model.ubj").read_bytes() == model.package.booster_bytes


def test_coverage_is_measured_by_day_and_near_what_was_promised(intervals):
    found = intervals.sql(
        "SELECT labelled, coverage, interval_width FROM performance WHERE coverage IS NOT NULL ORDER BY ALL"
    )
    wanted = intervals.sql(
        "SELECT count(*), avg(CAST(label BETWEEN lower AND upper AS INT)), avg(upper - lower) FROM "
        "predictions_with_outcomes WHERE label IS NOT NULL AND lower IS NOT NULL GROUP BY partition_date ORDER BY ALL"
    )
    assert [pytest.approx(row) for row in wanted] == found
    assert len(found) == 24
    told = summarise(intervals.pipeline, intervals.lake).covered
    assert told == covered(intervals.spec, intervals.lake, registry.resolve(settings(), "toy", "2"))
    assert told.overall.coverage == pytest.approx(
        np.average([row[1] for row in found], weights=[row[0] for row in found])
    )
    assert told.overall.interval.low <= told.share <= told.overall.interval.high
    assert [quarter.days for quarter in told.quarters] == ["2024 Q1"]
