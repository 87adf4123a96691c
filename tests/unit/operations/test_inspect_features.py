"""What `contrail inspect-features` finds: the useless, the redundant and the dear; and that a useful feature stays."""

import json
from datetime import date
from typing import Any

import numpy as np
import pytest
from tests.conftest import Toy
from tests.unit.operations.inspecting.conftest import COSTS, NOISE, TWIN, inspected, planted_spec

from contrail.config.model_spec import OffsetSpec
from contrail.config.pipeline import load_pipeline
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.operations import inspect_features as module
from contrail.operations.inspect_features import InspectOptions, inspect_features
from contrail.operations.inspecting import refits
from contrail.operations.inspecting.done import DoneParts
from contrail.operations.inspecting.page import render
from contrail.operations.inspecting.results import Inspection, nth
from contrail.operations.kept_checks import BENEFITS, kept
from contrail.operations.kept_checks import COSTS as KEPT_COSTS
from contrail.operations.score_card import data
from contrail.operations.score_card.state import State

__all__ = ["inspected", "planted_spec"]  # fixtures


def look(toy: Toy, **options: Any) -> Inspection:
    return inspect_features(toy.pipeline, toy.lake, InspectOptions(**options))


def test_the_useless_and_the_redundant_could_go_and_the_useful_stay(inspected):
    before = {name: inspected.lake.snapshot_id(name) for name in inspected.lake.table_names()}
    found = look(inspected)
    features = {one.name: one for one in found.features}
    assert NOISE in found.drop
    assert len({TWIN, "weight"} & {*found.drop}) == 1, "one of the two stays"
    assert "depot" not in found.drop or "distance" not in found.drop, "one of them says which depot"
    gone = features[TWIN] if TWIN in found.drop else features["weight"]
    stays = features["weight"] if TWIN in found.drop else features[TWIN]
    assert gone.because.startswith(f"it says nearly the same as {stays.name}; without it the loss changes by ")
    assert stays.verdict == "keep"
    assert stays.because.endswith(f"it covers {gone.name}")
    assert (gone.partner, gone.likeness) == (stays.name, pytest.approx(1.0))
    assert features[NOISE].because.startswith("shuffled, it costs nothing that can be seen; without it the loss")
    assert found.together is not None
    assert found.together.low <= 0
    assert found.together.high <= found.margin
    assert {name: inspected.lake.snapshot_id(name) for name in inspected.lake.table_names()} == before


def test_costs_and_what_is_saved_are_those_of_the_groups(inspected):
    found = look(inspected)
    features = {one.name: one for one in found.features}
    assert (features["late_rate_7d"].seconds, features["late_rate_7d"].groups) == (1.5, ("depot",))
    assert features["weight"].seconds == 0.1
    expected = 0.25 + (1.5 if "late_rate_7d" in found.drop else 0)
    assert found.saved_seconds == expected, "the group of the row itself has others that stay"


def test_trees_start_where_the_model_starts_and_without_that_feature_from_one_number(
    inspected, planted_spec, monkeypatch
):
    level = OffsetSpec(feature="late_rate_7d", weight=1.0)
    planted_spec(train=inspected.spec.train.model_copy(update={"offset": level}))
    inspected.run("train", "2024-01-01", "2024-02-05", params={"nthread": 1})
    inspected.pipeline = load_pipeline("toy")
    grow, starts = refits.fit_unseen, dict[tuple[str, ...], str | None]()

    def grown(rows, *given):
        blank = tuple(name for name in rows.names if np.isnan(rows.encoded.read(0)[:, rows.names.index(name)]).all())
        starts[blank] = rows.offset and rows.offset.feature
        return grow(rows, *given)

    monkeypatch.setattr(refits, "fit_unseen", grown)
    found = look(inspected, model="2", drop=("late_rate_7d",))
    assert starts[()] == starts[(NOISE,)] == "late_rate_7d"
    assert starts["late_rate_7d",] is None, "a training without the feature would have no offset"
    path = inspected.settings.reports / "toy" / "inspections" / "v2.json"
    usual = next(one for one in DoneParts.model_validate_json(path.read_text()).refits if not one.without)
    assert np.sum(usual.sums) / found.rows == pytest.approx(found.loss, abs=1e-6), "the model itself, grown again"


def test_losses_are_of_days_that_the_model_has_not_seen(inspected):
    found = look(inspected, first=date(2024, 2, 12), last=date(2024, 3, 2))
    assert (found.partitions, found.days, found.rows, found.every) == ("2024-02-12..2024-03-02", 20, 1200, 1)
    assert look(inspected).partitions == "2024-02-07..2024-03-09", (
        "all labelled days after the training and its embargo"
    )
    few = look(inspected, rows=300)
    assert (few.every, few.rows_of) == (7, f"{few.rows:,} rows, every seventh row")
    assert [nth(number) for number in (2, 3, 11, 12, 22, 101, 111)] == [
        "second", "third", "11th", "12th", "22nd", "101st", "111th",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"may have seen 2024-02-06. Inspect it on days from 2024-02-07 on"):
        look(inspected, first=date(2024, 2, 6))


def test_a_second_call_grows_no_tree(inspected, monkeypatch):
    first = look(inspected)
    monkeypatch.setattr(refits, "fit_unseen", None)
    monkeypatch.setattr(module, "build_costs", None)
    monkeypatch.setattr(module, "trained_rows", None)
    assert look(inspected) == first


def test_a_killed_inspection_goes_on_where_it_was(inspected, monkeypatch):
    grow, grown = refits.fit_unseen, list[int]()

    def killed(*given):
        if len(grown) == 4:
            raise KeyboardInterrupt
        grown.append(1)
        return grow(*given)

    monkeypatch.setattr(refits, "fit_unseen", killed)
    with pytest.raises(KeyboardInterrupt):
        look(inspected)
    monkeypatch.setattr(refits, "fit_unseen", lambda *given: grown.append(1) or grow(*given))
    found = look(inspected)
    assert len(grown) == found.refits, "each tree grew once"
    assert look(inspected, again=True).refits == found.refits
    assert len(grown) == 2 * found.refits, "all of them anew"


def test_a_damaged_record_of_what_was_done_is_made_anew(inspected):
    first = look(inspected)
    (path,) = (inspected.settings.reports / "toy" / "inspections").glob("*.json")
    path.write_text(path.read_text()[:-40])
    assert look(inspected).features == first.features
    json.loads(path.read_text())


def test_a_feature_is_tried_alone_when_it_is_asked_for(inspected):
    assert {one.name: one.without for one in look(inspected).features}["weight"] is None
    found = look(inspected, drop=("late_rate_7d",))
    assert ("alone", ("late_rate_7d",)) in {(one.why, one.without) for one in found.tried}
    with pytest.raises(SpecError, match=r"--drop wieght: version 1 of toy has no such feature; did you mean 'weight'"):
        look(inspected, drop=("wieght",))


def test_a_thorough_inspection_tries_every_feature(inspected):
    found = look(inspected, thorough=True)
    assert {one.name for one in found.features if one.without is None} == set()
    assert (found.seeds, found.left) == (4, ())


def test_what_was_measured_of_the_champion_is_kept(inspected):
    found = look(inspected)
    brings, costs = (kept(inspected.settings, "toy", check) for check in (BENEFITS, KEPT_COSTS))
    assert brings is not None and costs is not None
    assert {*brings.numbers} == {*costs.numbers} == {*inspected.pipeline.spec.features.columns}
    assert (brings.version, brings.passed) == ("1", False)
    assert found.sentence in brings.says
    assert costs.numbers["late_rate_7d"] == 1.5
    assert costs.says == "processor seconds of its group in a build of 2024-03-09"


def test_the_score_card_has_points_for_what_was_measured(inspected):
    def claims() -> list[tuple[str, bool, str]]:
        state = State(inspected.lake, inspected.pipeline)
        return [(one.says, one.holds, one.remedy) for one in (*data.benefits(state), *data.costs(state))][1:]

    before = claims()
    assert [holds for _, holds, _ in before] == [False] * 3
    assert {remedy for _, _, remedy in before} == {"contrail inspect-features -p toy"}
    look(inspected)
    assert [holds for _, holds, _ in claims()] == [True] * 3
    assert claims()[0][0] == "measured: what the model loses without each feature"


def test_of_another_version_nothing_is_kept(inspected):
    inspected.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    assert not look(inspected, model="2").is_champion
    assert kept(inspected.settings, "toy", BENEFITS) is None


def test_an_unknown_version_and_too_few_days_are_told_what_to_do(inspected):
    with pytest.raises(MissingInputError, match="has no model version 7"):
        look(inspected, model="7")
    with pytest.raises(
        MissingInputError, match=r"from 2024-03-07 on there are 3 labelled days .* interval over days needs 5"
    ):
        look(inspected, first=date(2024, 3, 7))
    for first, last, count in ((7, None, 3), (1, 3, 3), (30, None, 0), (1, 1, 1)):
        with pytest.raises(
            MissingInputError,
            match=rf"there are {count} labelled days .*newest labelled day is 2024-03-09",
        ) as raised:
            look(inspected, first=date(2024, 3, first), last=last and date(2024, 3, last))
        assert "--model 1 --from 2024-02-11" in str(raised.value)
        assert "contrail ingest" not in str(raised.value)
    with pytest.raises(MissingInputError, match="from 2024-02-07 to 2024-02-08 there are 2 labelled days"):
        look(inspected, last=date(2024, 2, 8))
    inspected.run("train", "2024-01-01", "2024-03-06", params={"nthread": 1})
    with pytest.raises(MissingInputError, match=r"inspected on days from 2024-03-08 on. Inspect an older version with"):
        look(inspected, model="2")


def test_a_range_that_ends_before_it_starts_is_refused(inspected):
    with pytest.raises(SpecError, match="ends before it starts: its first day is 2024-03-01, its last 2024-02-20"):
        look(inspected, first=date(2024, 3, 1), last=date(2024, 2, 20))


def test_a_training_set_that_is_gone_is_named(inspected, monkeypatch):
    def gone(*_):
        raise MissingInputError("no data with MD5 0")

    monkeypatch.setattr("contrail.adapters.data_versions.fetch", gone)
    with pytest.raises(MissingInputError, match=r"no data with MD5 0.*Train again: contrail train -p toy"):
        look(inspected)


def test_the_page_says_what_to_drop_and_escapes_what_it_shows(inspected):
    found = look(inspected)
    page = render(found.model_copy(update={"pipeline": "<b>toy"}))
    assert "<b>toy" not in page
    assert found.together is not None
    for one in found.features:
        assert one.name in page
        assert one.because in page or one.verdict != "drop"
    assert str(COSTS.day) in page
    assert "The feature most like each" in page


def test_features_of_a_regression_are_inspected_by_rmse(inspected, planted_spec):
    label = inspected.spec.label.model_copy(update={"expression": "delay"})
    gate = inspected.spec.gate.model_copy(update={"metric": "rmse", "segments": ()})
    planted_spec(task="regression", label=label, gate=gate)
    inspected.run("train", "2024-01-01", "2024-02-05", params={"nthread": 1})
    inspected.pipeline = load_pipeline("toy")
    found = look(inspected, model="2")
    assert (found.metric, found.metric_name) == ("rmse", "RMSE")
    assert found.loss < found.loss_of_mean
    assert NOISE in found.drop
    assert len({TWIN, "weight"} & {*found.drop}) == 1
    assert "the RMSE changes by" in found.sentence
