from datetime import date

import pyarrow as pa
import pytest
from tests.toy_tables import (
    copy_empty_registry,
    publish_heavier,
    publish_toy,
    record_champion,
    skip_what_only_train_needs,
)
from tests.unit.stages.counted import counted_in

from contrail.adapters import batches, registry
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.lake import datasets
from contrail.partitions import Partitions
from contrail.stages import score
from contrail.stages.sentences import sentence

DAYS = ("2024-02-10", "2024-02-14")


def champion_of_january(toy) -> None:
    """A champion, trained on January, and features to 15 February."""
    publish_toy(toy, "2024-01-01", "2024-02-15")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")


@pytest.fixture
def ready(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(champion_of_january)


def rows(toy, columns: str = "* EXCLUDE (scoring_run, scored_at)"):
    return toy.sql(f"SELECT {columns} FROM predictions ORDER BY partition_date, parcel")


def test_every_entity_gets_the_models_own_prediction(ready):
    result = ready.run("score", *DAYS)
    assert result.rows == 5 * 60
    features = ready.lake.scan("features", Partitions.parse(*DAYS)).sort_by([("partition_date", "ascending")])
    expected = registry.resolve(settings(), "toy", "champion").package.predict(features.sort_by("parcel"))
    assert sorted(p for (p,) in rows(ready, "probability")) == pytest.approx(sorted(expected))
    decisions = ready.sql("SELECT bool_and(decision = (probability >= 0.5)) FROM predictions")
    assert decisions == [(True,)]


def test_the_days_that_were_scored_are_counted(ready, monkeypatch):
    ready.run("score", *DAYS)
    found = ready.sql("SELECT DISTINCT kind, partition_date FROM drift_profiles ORDER BY ALL")
    kinds = ("decisions", "features", "predictions")
    assert found == [(kind, day) for kind in kinds for day in Partitions.parse(*DAYS)]
    counted = counted_in(monkeypatch)
    ready.run("drift", "2024-02-14", report="never")
    (days,) = (days for kind, days in counted if kind == "features")
    assert days.endswith(",02-09"), "drift counts the days before alone"
    assert not {"decisions", "predictions"} & {*dict(counted)}


def test_a_drift_reference_that_cannot_be_read_is_no_reason_not_to_score(ready, monkeypatch):
    def unreadable(*_):
        raise DataError("the model's drift reference cannot be read")

    monkeypatch.setattr(score, "histograms_of", unreadable)
    assert ready.run("score", *DAYS).rows == 5 * 60


def test_reasons_are_the_features_of_the_row_and_add_up_with_the_rest(ready):
    ready.run("score", *DAYS)
    query = """
        SELECT p.reason_1, p.reason_1_value, p.reason_1_contribution, p.reason_2_contribution,
               f.depot, f.weight, f.late_rate_7d, f.distance
        FROM predictions p JOIN features f USING (partition_date, ship_date, parcel)"""
    for reason, value, first, second, *features in ready.sql(query):
        own = dict(zip(("depot", "weight", "late_rate_7d", "distance"), features, strict=True))[reason]
        assert value == own if isinstance(own, str) else float(value) == pytest.approx(own, rel=1e-3)
        assert abs(first) >= abs(second)


def test_each_row_says_which_model_features_and_run_made_it(ready):
    result = ready.run("score", *DAYS)
    receipt = ready.sql(
        "SELECT DISTINCT model_name, model_version, feature_snapshot, scoring_run, scored_at IS NOT NULL FROM predictions"
    )
    assert receipt == [("toy", "1", ready.lake.snapshot_id("features"), result.run_id, True)]
    entry = ready.lake.history("predictions")[0]
    assert entry.provenance.inputs == {"features": ready.lake.snapshot_id("features")}
    assert entry.provenance.extra["model_version"] == "1"


def test_features_that_were_built_meanwhile_are_the_ones_that_are_scored(ready, monkeypatch):
    make, made = score._score, []

    def slow(*arguments):
        made.append(make(*arguments))
        if len(made) == 1:
            publish_heavier(ready, "2024-02-12")
        return made[-1]

    monkeypatch.setattr(score, "_score", slow)
    result = ready.run("score", *DAYS)
    assert len(made) == 2
    assert result.details.feature_snapshot == ready.lake.snapshot_id("features")
    assert len(ready.lake.history("predictions")) == 1


def test_scoring_again_leaves_the_same_rows_and_other_days_alone(ready):
    ready.run("score", *DAYS)
    before = rows(ready)
    ready.run("score", "2024-02-12", "2024-02-13")
    assert rows(ready) == before


def test_a_range_read_in_pieces_is_published_in_one_commit(ready, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(batches, "_ROWS", 100)
        ready.run("score", *DAYS)
    assert len(ready.lake.history("predictions")) == 1
    before = rows(ready)
    ready.run("score", *DAYS)
    assert len(ready.lake.history("predictions")) == 1, "read at once, they are the same rows"
    assert rows(ready) == before


def test_missing_features_are_named_and_nothing_is_published(ready):
    ready.run("score", *DAYS)
    before = rows(ready)
    with pytest.raises(MissingInputError, match=r"no features for 3 of 5 partitions: 2024-02-16\.\.2024-02-18"):
        ready.run("score", "2024-02-14", "2024-02-18")
    assert rows(ready) == before


def test_a_day_without_entities_between_others_is_empty_not_missing(ready):
    empty = pa.Table.from_pylist([], datasets.features(ready.spec).arrow_schema())
    provenance = ready.stage_run("score", *DAYS).provenance({})
    ready.lake.publish(datasets.features(ready.spec), empty, [date(2024, 2, 12)], provenance)
    with pytest.raises(MissingInputError, match="2024-02-12"):
        ready.run("score", *DAYS)
    none = pa.Table.from_pylist([], datasets.validated(ready.spec, "parcels").arrow_schema())
    ready.lake.publish(datasets.validated(ready.spec, "parcels"), none, [date(2024, 2, 12)], provenance)
    result = ready.run("score", *DAYS)
    assert result.rows == 4 * 60
    assert result.details.without_entities == ("2024-02-12",)


def test_days_that_the_model_was_trained_on_are_told(ready, collect):
    run = ready.stage_run("score", "2024-01-30", "2024-02-02", model="1")
    object.__setattr__(run, "progress", collect)
    result = score.execute(run)
    assert result.details.learned_from == ("2024-01-30..2024-01-31",)
    said = "the model has learned from 2024-01-30..2024-01-31"
    assert f"{said}: its quality there looks better than it is" in collect.lines
    assert said in sentence("score", result)
    later = ready.run("score", "2024-02-01", "2024-02-02", model="1")
    assert "learned_from" not in later.as_dict()["details"], "as before"
    assert "learned from" not in sentence("score", later)


def test_a_version_can_be_pinned(ready):
    ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1})
    assert ready.run("score", *DAYS).details.model_version == "1"
    assert ready.run("score", *DAYS, model="2").details.model_version == "2"
    assert {version for (version,) in rows(ready, "model_version")} == {"2"}


def champion_and_challenger(toy) -> None:
    """As above, with a second version as challenger."""
    champion_of_january(toy)
    toy.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1, "max_depth": 1})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "2"), "challenger")


@pytest.fixture
def challenged(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(champion_and_challenger)


def shadow_rows(toy, columns: str = "* EXCLUDE (scoring_run, scored_at)"):
    return toy.sql(f"SELECT {columns} FROM predictions_shadow ORDER BY partition_date, parcel")


def test_a_challenger_is_scored_beside_the_champion_and_analysts_do_not_see_it(challenged):
    result = challenged.run("score", *DAYS)
    assert {version for (version,) in rows(challenged, "model_version")} == {"1"}
    assert challenged.sql("SELECT DISTINCT model_version FROM predictions_latest") == [("1",)]
    assert {version for (version,) in shadow_rows(challenged, "model_version")} == {"2"}
    key = "partition_date, ship_date, parcel, feature_snapshot, scoring_run"
    assert shadow_rows(challenged, key) == rows(challenged, key)
    assert shadow_rows(challenged, "probability") != rows(challenged, "probability")
    assert result.details.model_version == "1"
    assert result.details.shadow.as_dict() == {"model_version": "2", "rows": 300}
    assert set(result.snapshots) == {"predictions", "predictions_shadow"}
    assert challenged.lake.history("predictions_shadow")[0].provenance.extra["model_version"] == "2"
    shadow, shown = (make(challenged.spec) for make in (datasets.predictions_shadow, datasets.predictions))
    assert shadow.columns == shown.columns


def test_a_pinned_version_or_a_challenger_that_is_champion_casts_no_shadow(challenged):
    for pinned in ("1", "2"):
        assert challenged.run("score", *DAYS, model=pinned).details.shadow.as_dict() == {}
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "challenger")
    assert challenged.run("score", *DAYS).details.shadow.as_dict() == {}
    assert not challenged.lake.exists("predictions_shadow")


def test_a_challenger_that_cannot_score_does_not_stop_the_champion(challenged, monkeypatch, collect):
    fits = score.fitted

    def only_the_champion(spec, model):
        if model.version == "2":
            raise SpecError("toy version 2 does not fit")
        return fits(spec, model)

    monkeypatch.setattr(score, "fitted", only_the_champion)
    run = challenged.stage_run("score", *DAYS)
    object.__setattr__(run, "progress", collect)
    result = score.execute(run)
    assert result.rows == 300
    assert result.details.shadow.as_dict() == {"model_version": "2", "skipped": "toy version 2 does not fit"}
    assert "not scored in shadow: toy version 2 does not fit" in collect.lines
    assert not challenged.lake.exists("predictions_shadow")


def test_each_partition_can_have_the_champion_of_its_date_in_one_commit(ready):
    for _ in range(2):
        ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1})
    record_champion(ready, "1", date.fromisoformat("2024-02-02"))
    record_champion(ready, "2", date.fromisoformat("2024-02-12"))
    # Promoted last, it counts from its own first partition on, whatever was promoted for that day before.
    record_champion(ready, "3", date.fromisoformat("2024-02-14"))
    made = ready.run("score", *DAYS, model="as-of")
    assert len(ready.lake.history("predictions")) == 1
    by_day = ready.sql("SELECT DISTINCT partition_date, model_version FROM predictions ORDER BY ALL")
    assert [(day.day, version) for day, version in by_day] == [(10, "1"), (11, "1"), (12, "2"), (13, "2"), (14, "3")]
    assert made.details.model_version == "1,2,3"
    entry = ready.lake.history("predictions")[0]
    assert entry.provenance.extra["model_version"] == "1,2,3"
    assert len(entry.provenance.extra["model_sha256"].split(",")) == 3


def test_a_partition_from_before_the_first_champion_is_refused(ready):
    record_champion(ready, "1", date.fromisoformat("2024-02-12"))
    with pytest.raises(
        MissingInputError, match=r"no champion as of 2 of 5 partitions: 2024-02-10\.\.2024-02-11; .* of 2024-02-12"
    ):
        ready.run("score", *DAYS, model="as-of")


def test_each_partition_can_have_a_commit_of_its_own(ready):
    ready.run("score", *DAYS, each_partition=True)
    assert len(ready.lake.history("predictions")) == 5
    before = rows(ready)
    ready.run("score", *DAYS)
    assert len(ready.lake.history("predictions")) == 5, "the same rows in one commit are no news"
    assert rows(ready) == before


def test_without_a_champion_it_says_what_to_run(toy):
    copy_empty_registry(settings())
    with pytest.raises(MissingInputError, match=r"has no champion. Run: contrail promote"):
        toy.run("score", *DAYS)


def test_a_model_of_another_label_is_not_used(ready):
    changed = ready.spec.model_copy(update={"label": ready.spec.label.model_copy(update={"expression": "delay > 30"})})
    model = registry.resolve(settings(), "toy", "champion")
    with pytest.raises(SpecError, match=r"(?s)version 1 does not fit .* its label differs: delay > 15"):
        score.fitted(changed, model)
    assert score.fitted(ready.spec, model) == model
