"""A spec that states costs: one chain of the toy pipeline, and what each stage and each person's answer say of them."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import TOY_PIPELINES, Toy, toy_in
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs
from tests.unit.stages.refitting import refitted

from contrail.adapters import registry
from contrail.config.model_spec import CostSpec, OffsetSpec, ScoreSpec
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.spec import load_spec
from contrail.lake.lake import Lake
from contrail.methods.decisions import Deciding
from contrail.methods.findings import Findings
from contrail.methods.model_package import FINDINGS
from contrail.operations.decided import decided
from contrail.operations.one_prediction import one_prediction
from contrail.operations.reproduce import _concluded
from contrail.operations.reproducing.fitting import Answer
from contrail.operations.reproducing.refit import Facts, Made
from contrail.operations.score_card.model import _gains
from contrail.operations.score_card.state import State
from contrail.operations.summary import summarise
from contrail.operations.what_if import flips_of
from contrail.operations.why import why
from contrail.partitions import Partitions

COSTS = CostSpec(false_alarm=1.5, miss=4, unit="EUR")
DAYS = ("2024-02-10", "2024-03-09")


def use(patch: pytest.MonkeyPatch, score: ScoreSpec):
    """Give the toy pipeline another way to score."""
    spec = load_spec(TOY_PIPELINES / "toy" / "pipeline.yaml").model_copy(update={"score": score})
    patch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)
    return load_pipeline("toy")


def train_from_a_level(patch: pytest.MonkeyPatch, toy: Toy) -> None:
    """Version 4, whose scores start from a feature, scores a day."""
    offset = OffsetSpec(feature="late_rate_7d", weight=0.5)
    spec = toy.spec.model_copy(update={"train": toy.spec.train.model_copy(update={"offset": offset})})
    with patch.context() as here:
        here.setattr("contrail.config.pipeline.load_spec", lambda _: spec)
        other = Toy(load_pipeline("toy"), settings())
        other.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
        other.run("score", "2024-02-18", model="4")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Days before and after the spec states costs, with a champion of each time."""
    with toy_in(tmp_path_factory.mktemp("costs")) as (toy, patch):
        skip_what_only_train_needs(patch)
        publish_toy(toy, "2024-01-01", "2024-03-10")
        copy_empty_registry(toy.settings)
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
        toy.run("promote", *DAYS)
        toy.run("score", "2024-02-10")
        toy.run("performance", "2024-02-10")
        pipeline = use(patch, toy.spec.score.model_copy(update={"costs": COSTS}))
        toy = Toy(pipeline, settings())
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
        registry.set_alias(settings(), registry.describe_version(settings(), "toy", "2"), "champion")
        promoted = toy.run("promote", *DAYS, model="2")
        results = {verb: toy.run(verb, "2024-02-11", "2024-02-16") for verb in ("score", "performance")}
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1, "calibration": "beta"})
        toy.run("score", "2024-02-17", model="3")
        train_from_a_level(patch, toy)
        yield toy, results, Path(promoted.reports[1])


def package(version: str):
    return registry.resolve(settings(), "toy", version).package


def test_the_training_without_costs_has_the_bytes_of_the_other(world):
    before, after = (package(version).files() for version in ("1", "2"))
    assert before["model.ubj"] == after["model.ubj"]
    assert before["reference.json"] == after["reference.json"]
    cards = [json.loads(files["model.json"]) for files in (before, after)]
    assert "decision" not in cards[0]
    assert cards[1].keys() - cards[0].keys() == {"decision"}
    assert "threshold_reason" not in json.loads(before[FINDINGS])


def test_the_model_keeps_its_threshold_whatever_the_spec_says_later(world):
    rule = package("2").card.decision
    assert rule.rows == 31 * 60 - 60, "the last day is immature"
    assert rule.threshold == (rule.cheapest if rule.chosen == "rows" else COSTS.ratio)
    for score in (ScoreSpec(threshold=0.9), ScoreSpec(costs=CostSpec(false_alarm=9, miss=1)), ScoreSpec()):
        assert package("2").threshold(score) == rule.threshold
    assert package("1").threshold(ScoreSpec(threshold=0.9)) == 0.9
    assert package("1").threshold(ScoreSpec(costs=COSTS)) == COSTS.ratio


def test_rows_are_flagged_from_the_threshold_of_their_model_on(world):
    toy, results, _ = world
    threshold = package("2").card.decision.threshold
    assert threshold != 0.5
    (right,) = toy.sql(
        f"SELECT bool_and(decision = (probability >= {threshold!r})) FROM predictions WHERE model_version = '2'"
    )
    assert right == (True,)
    (expected,) = toy.sql(
        "SELECT sum(4 * probability - 1.5 * (1 - probability)) FROM predictions WHERE decision AND model_version = '2'"
    )
    assert results["score"].details.expected_value == pytest.approx(expected[0])


def test_a_days_values_are_measured_and_older_days_have_none(world):
    toy, _, _ = world
    columns = "cost_per_row, expected_value, realised_value"
    assert toy.sql(f"SELECT {columns} FROM performance WHERE partition_date = '2024-02-10'") == [(None, None, None)]
    found = toy.sql(
        f"SELECT labelled, {columns} FROM performance WHERE partition_date > '2024-02-10' AND NOT shadow ORDER BY 1, 2"
    )
    wanted = toy.sql(
        "SELECT count(*), avg(if(decision, 1.5 * (1 - late), 4 * late)), sum(if(decision, 4 * probability - 1.5 * "
        "(1 - probability), 0)), sum(if(decision, 4 * late - 1.5 * (1 - late), 0)) FROM (SELECT *, label::INT late "
        "FROM predictions_with_outcomes WHERE label IS NOT NULL AND model_version = '2') GROUP BY partition_date ORDER BY 1, 2"
    )
    assert len(found) == 6
    assert [pytest.approx(row) for row in wanted] == found


def test_the_gate_compares_what_decisions_cost_each_at_its_own_threshold(world):
    _, _, path = world
    record = json.loads(path.read_text())
    assert record["metric_names"][-1] == "cost_per_row"
    costs = {who: values["cost_per_row"] for who, values in record["metrics"].items()}
    assert costs["challenger"] < costs["constant"]
    assert record["challenger"]["decides_by"].startswith("threshold 0.2")
    checks = {check["name"]: check for check in record["checks"]}
    assert checks["cost_beside_constant"]["passed"]
    assert checks["cost_beside_constant"]["interval"]["estimate"] == pytest.approx(
        costs["constant"] - costs["challenger"]
    )
    page = path.with_suffix(".html").read_text()
    assert "The challenger decides by threshold" in page
    assert "because a miss costs 4 EUR and a false alarm 1.5 EUR" in page


def test_people_are_told_why_a_row_is_flagged_and_what_it_was_worth(world):
    toy, _, _ = world
    lake = Lake(settings(), "toy")
    query = "SELECT parcel, partition_date FROM predictions WHERE decision AND model_version = '2' ORDER BY ALL LIMIT 1"
    ((parcel, day),) = toy.sql(query)
    key = {"parcel": parcel}
    reason = package("2").card.decision.sentence
    found = why(lake, toy.pipeline, key, day)
    assert found.same
    assert (found.threshold, found.threshold_reason) == (package("2").card.decision.threshold, reason)
    assert "because a miss costs 4 EUR and a false alarm 1.5 EUR" in reason
    assert one_prediction(lake, toy.pipeline, day, key).threshold_reason == reason
    assert flips_of(lake, toy.pipeline, day, key).flagged is True
    told = summarise(toy.pipeline, lake).decided
    assert told == decided(toy.spec, lake, registry.resolve(settings(), "toy", "2"))
    assert (told.days, told.unit, told.reason) == (6, "EUR", reason)
    assert told.interval.low <= told.realised <= told.interval.high
    assert json.loads(package("2").files()[FINDINGS])["threshold_reason"] == reason


def test_deciding_costs_what_wrong_decisions_cost():
    losses = Deciding(COSTS, 0.5).losses(np.array([0.0, 1, 0, 1]), np.array([0.5, 0.5, 0.4, 0.4]))
    assert losses.tolist() == [1.5, 0, 0, 4]


def test_a_calibration_step_follows_the_same_trees_in_every_score(world):
    toy, _, _ = world
    plain, stepped = package("2"), package("3")
    assert plain.booster_bytes == stepped.booster_bytes
    assert "calibration" not in json.loads(plain.files()["model.json"])
    assert stepped.card.training.options["calibration"] == "beta"
    assert "calibration" not in plain.card.training.options
    assert plain.digest != stepped.digest, "a day's residuals are counted anew"
    rows = toy.lake.scan("features", Partitions.parse("2024-02-17")).sort_by("parcel")
    published = toy.sql("SELECT probability FROM predictions WHERE partition_date = '2024-02-17' ORDER BY parcel")
    expected = stepped.card.calibration.apply(plain.predict(rows))
    assert [probability for (probability,) in published] == expected.tolist()
    assert (stepped.contributions(rows) == plain.contributions(rows)).all(), "reasons explain the trees"


def test_the_findings_are_of_the_scores_that_are_published(world):
    plain, stepped = (Findings.model_validate_json(package(version).files()[FINDINGS]) for version in ("2", "3"))
    assert stepped.checked.metrics["auc"] == plain.checked.metrics["auc"], "beta keeps the order"
    assert stepped.checked.metrics["log_loss"] != plain.checked.metrics["log_loss"]
    for before, after in zip(plain.checked.calibration, stepped.checked.calibration, strict=True):
        moved = package("3").card.calibration.apply(np.array([before.predicted]))
        assert after.predicted == pytest.approx(moved[0], abs=0.02)
        assert after.found == before.found


def test_step_and_threshold_are_made_again_from_the_frozen_rows(world, tmp_path):
    toy, _, _ = world
    model = registry.resolve(settings(), "toy", "3")
    made, card = refitted(model, toy.spec, tmp_path), model.package.card
    assert made.not_after == ""
    assert made.after == {name: getattr(card, name).model_dump(mode="json") for name in ("calibration", "decision")}


def test_a_reproduction_says_whether_step_and_threshold_were_made_again(world):
    model = registry.resolve(settings(), "toy", "3")
    card, booster = model.package.card, model.package.booster_bytes
    recorded = {name: getattr(card, name).model_dump(mode="json") for name in ("calibration", "decision")}
    made = Made(1, card.features, card.categories, after=recorded)

    def concluded(made: Made):
        return _concluded(model, (), Answer(Facts(), made, ""), booster, 1.0, False)

    same, names = concluded(made), ("calibration step", "threshold")
    assert (same.whole, same.after, same.left_out) == (True, names, ())
    assert same.says == "same bytes, and the same calibration step and threshold"
    trees = concluded(replace(made, after=None, not_after="ImportError: no unseen"))
    assert (trees.outcome, trees.whole, trees.after, trees.left_out) == ("same bytes", False, (), names)
    assert (
        trees.says == "same bytes, of the trees only; the calibration step and the threshold after them: not made again"
    )
    assert trees.left_out_why == "ImportError: no unseen"
    other = concluded(replace(made, after={**recorded, "decision": {**recorded["decision"], "threshold": 0.9}}))
    assert (other.outcome, other.whole) == ("other bytes", False)
    assert other.difference == "the trees are the same, but what follows them differs: threshold"


def test_the_score_card_weighs_decisions_by_the_costs(world):
    toy, _, _ = world
    days, what = _gains(State(toy.lake, toy.pipeline))
    wanted = toy.sql(
        "SELECT avg(CASE WHEN decision THEN label - (1 - label) * 1.5 / 4 ELSE 0 END) FROM predictions_with_outcomes "
        "WHERE label IS NOT NULL AND partition_date BETWEEN '2024-02-11' AND '2024-02-16' GROUP BY partition_date ORDER BY 1"
    )
    assert what == "the net benefit of decisions"
    assert sorted(worth for _, worth in days) == pytest.approx([worth for (worth,) in wanted])


def test_a_calibrated_score_is_computed_again_to_the_last_bit(world):
    toy, _, _ = world
    lake, threshold = Lake(settings(), "toy"), package("3").card.decision.threshold
    query = (
        "SELECT parcel, probability, decision FROM predictions WHERE partition_date = '2024-02-17' ORDER BY ALL LIMIT 5"
    )
    for parcel, probability, decision in toy.sql(query):
        found = why(lake, toy.pipeline, {"parcel": parcel}, date(2024, 2, 17))
        assert found.same
        assert found.receipt.recomputed == probability
        assert found.explained.score == probability
        assert (probability >= threshold) == decision
        flips = flips_of(lake, toy.pipeline, date(2024, 2, 17), {"parcel": parcel})
        assert flips.flagged == decision
        assert all((one.score >= threshold) != decision for one in flips.single)


def test_scores_that_start_from_a_feature_are_computed_again_explained_and_changed(world):
    toy, _, _ = world
    lake, day, offset = Lake(settings(), "toy"), date(2024, 2, 18), package("4").card.offset
    assert (offset.feature, offset.weight) == ("late_rate_7d", 0.5)
    assert offset.centre == pytest.approx(np.log(package("4").card.label_mean / (1 - package("4").card.label_mean)))
    (parcel,) = toy.sql("SELECT parcel FROM predictions WHERE partition_date = '2024-02-18' ORDER BY 1 LIMIT 1")[0]
    found = why(lake, toy.pipeline, {"parcel": parcel}, day)
    assert found.same
    (effect,) = [one for one in found.explained.effects if one.feature == "late_rate_7d"]
    moved = offset.starts(np.array([effect.value], np.float32))[0] - offset.centre
    assert effect.contribution == pytest.approx(moved, abs=1e-6), "no tree has a part in it"
    assert 1 / (1 + np.exp(-found.explained.raw)) == pytest.approx(found.explained.score, abs=1e-6)
    higher = one_prediction(lake, toy.pipeline, day, {"parcel": parcel}, {"late_rate_7d": 0.9}).changed
    rise = 0.5 * (np.log(0.9 / 0.1) - np.log(effect.value / (1 - effect.value)))
    assert higher.raw - found.explained.raw == pytest.approx(rise, abs=1e-5)


def test_trees_that_start_from_a_feature_are_made_again(world, tmp_path):
    toy, _, _ = world
    model = registry.resolve(settings(), "toy", "4")
    offset = OffsetSpec(feature="late_rate_7d", weight=0.5)
    spec = toy.spec.model_copy(update={"train": toy.spec.train.model_copy(update={"offset": offset})})
    refitted(model, spec, tmp_path)
    (made,) = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == model.package.booster_bytes
    ]
    assert made.suffix == ".ubj"
