"""The plan of a backfill: what it does again and why, how long that takes, and what it costs."""

from datetime import date, timedelta

import pytest
from tests.toy_tables import (
    copy_empty_registry,
    publish_heavier,
    publish_toy,
    record_champion,
    skip_what_only_train_needs,
)

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.config.targets import DispatchSettings
from contrail.errors import DamagedError, MissingInputError
from contrail.lake import datasets, readers
from contrail.lake.lineage import Commit, Lineage, commit_of
from contrail.lake.provenance import PARTITIONS, Provenance
from contrail.operations import backfill_planner
from contrail.operations.backfill_estimate import HERE, estimate
from contrail.operations.backfill_plan import REPLACE
from contrail.operations.backfill_planner import make_plan
from contrail.operations.backfill_request import Request
from contrail.operations.difference import difference
from contrail.partitions import Partitions
from contrail.stages import staleness

DAYS = Partitions.parse("2024-02-10", "2024-02-14")


def champion_of_january(toy) -> None:
    """A champion, trained on January, validated tables to 16 February, and features to the 15th."""
    publish_toy(toy, "2024-01-01", "2024-02-16", features_end="2024-02-15")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")


@pytest.fixture
def ready(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(champion_of_january)


def plan(toy, stages=("score",), partitions=DAYS, **asked):
    return make_plan(toy.pipeline, toy.settings, toy.lake, Request(partitions, stages, **asked))


def fates(found, stage: int = 0) -> list[tuple[str, str, str]]:
    return [(str(days), group[0].action, group[0].why) for days, group in found.stages[stage].groups()]


def score_all(toy) -> None:
    toy.run("score", str(DAYS.start), str(DAYS.end))


# ---- what is there already ----


def test_what_is_not_published_is_new_and_what_holds_the_result_is_left(ready):
    assert fates(plan(ready)) == [(str(DAYS), "new", "nothing is published")]
    result = ready.run("score", "2024-02-10", "2024-02-12")
    found = plan(ready)
    assert fates(found) == [
        ("2024-02-10..2024-02-12", "same", "holds exactly this"),
        ("2024-02-13..2024-02-14", "new", "nothing is published"),
    ]
    assert [str(job) for job in found.stages[0].jobs] == ["2024-02-13..2024-02-14"]
    first = found.summary().stages[0].partitions[0]
    assert (first.rows, first.published, first.version, first.runs) == (180, 180, "1", (result.run_id,))
    assert found.summary().as_dict()["expected_difference"] == {
        "predictions": {"more_rows": 120, "fewer_rows": 0, "sample": None}
    }
    ready.run("score", "2024-02-13", "2024-02-14")
    assert plan(ready).nothing_to_do


def test_another_model_replaces(ready):
    score_all(ready)
    ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1})
    found = plan(ready, model="2")
    assert fates(found) == [(str(DAYS), "replace", "version 1 → 2")]
    assert found.model == "2"
    # The same number in a registry that was made anew is another model.
    model = registry.resolve(settings(), "toy", "2")
    other = model.package.card.model_copy(update={"sha256": {"model.ubj": "0" * 64}})
    object.__setattr__(model.package, "card", other)
    planner = backfill_planner._Planner(ready.pipeline, ready.settings, ready.lake, Request(DAYS, ("score",)))
    planner.__dict__["models"] = [(DAYS, registry.RegisteredModel("toy", "1", model.folder, model.package))]
    assert {one.why for one in planner.plan("score").partitions} == {"version 1 is another model now"}


def test_the_expected_difference_is_the_one_that_comes_out(ready):
    score_all(ready)
    ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1, "max_depth": 2})
    days = Partitions.parse("2024-02-10", "2024-02-12")  # as many as are sampled
    expected = plan(ready, model="2", partitions=days).expected["predictions"].sample.as_dict()
    before = ready.lake.snapshot_id("predictions")
    assert expected.pop("days") == ["2024-02-10", "2024-02-11", "2024-02-12"]
    ready.run("score", "2024-02-10", "2024-02-12", model="2")
    after = ready.lake.snapshot_id("predictions")
    found = difference(ready.lake, ready.spec, days, {"predictions": before}, {"predictions": after})
    assert expected == found.predictions.total.as_dict()
    assert expected["changed"] > 100
    assert (expected["versions_before"], expected["versions_after"]) == ("1", "2")


def test_the_sample_is_a_stream(ready, monkeypatch):
    score_all(ready)
    publish_heavier(ready, "2024-02-12")
    expected = plan(ready).expected["predictions"].sample
    read = readers.scan

    def small(tables, name, *given, **more):
        assert name not in ("features", "predictions"), f"all rows of {name} at once"
        return read(tables, name, *given, **more)

    monkeypatch.setattr(readers, "scan", small)
    assert plan(ready).expected["predictions"].sample == expected
    assert expected.rows_before == expected.rows_after == 60


def test_a_long_range_is_sampled_at_its_ends_and_between(ready):
    ready.run("score", "2024-02-05", "2024-02-15")
    ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1})
    long = Partitions.parse("2024-02-05", "2024-02-15")
    sample = plan(ready, model="2", partitions=long).expected["predictions"].sample
    assert sample.days == ("2024-02-05", "2024-02-10", "2024-02-15")
    # What the backfill's own earlier stages decide is not known before they have run.
    rebuilt = plan(ready, ("ingest", "validate", "features", "score"), model="2", partitions=long)
    assert rebuilt.expected["predictions"].sample is None


def test_features_that_were_published_since_are_scored_again_and_no_others(ready):
    score_all(ready)
    publish_toy(ready, "2024-02-13", "2024-02-13")
    assert plan(ready).nothing_to_do, "the same rows, published again"
    publish_heavier(ready, "2024-02-13")
    assert fates(plan(ready)) == [
        ("2024-02-10..2024-02-12", "same", "holds exactly this"),
        ("2024-02-13", "replace", "features were published since"),
        ("2024-02-14", "same", "holds exactly this"),
    ]
    publish_heavier(ready, "2024-02-15")
    assert len(fates(plan(ready))) == 3, "a day outside the range changes nothing"


@pytest.mark.parametrize(
    ("part", "other", "words"),
    [
        ("code", "other", "Contrail's code of the stage changed"),
        ("libraries", {"xgboost": "9.9"}, "xgboost "),
        ("spec", {"key": "other"}, "key, name, task by Contrail's defaults changed"),
    ],
)
def test_another_definition_replaces_and_the_plan_says_what_is_different(ready, monkeypatch, part, other, words):
    score_all(ready)
    real = staleness.fingerprint
    monkeypatch.setattr(staleness, "fingerprint", lambda *of: real(*of).model_copy(update={part: other}))
    ((days, action, why),) = fates(plan(ready))
    assert (days, action) == (str(DAYS), "replace") and words in why


def test_what_has_expired_from_the_history_is_done_again(ready):
    score_all(ready)
    ready.lake.settings = ready.settings.model_copy(update={"snapshots_kept": 2})
    for n in range(3):
        rows = ready.lake.scan("predictions", Partitions.parse("2024-02-10"))
        rows = rows.set_column(rows.schema.names.index("decision"), "decision", [[n == 1] * len(rows)])
        ready.lake.publish(
            datasets.predictions(ready.spec),
            rows,
            [date(2024, 2, 10)],
            ready.stage_run("score", *map(str, (DAYS.start, DAYS.end))).provenance({}),
        )
    assert fates(plan(ready))[-1] == (
        "2024-02-11..2024-02-14",
        "replace",
        "the run that made it is older than the kept history",
    )


def test_scores_follow_features_that_are_made_first(ready):
    score_all(ready)
    found = plan(ready, ("features", "score"))
    assert [fate[1:] for fate in fates(found, 0)] == [("replace", "the pipeline's files have changed")]
    assert fates(found, 1) == [(str(DAYS), "replace", "its features are made first")]


def features_planner(toy, commits: dict[str, list[str]], day: str = "2024-02-10") -> str:
    """Why features of a day, made from snapshots 1 of every table, are made again after commits 2, 3, … of some."""
    planner = backfill_planner._Planner(
        toy.pipeline, toy.settings, toy.lake, Request(Partitions.parse(day), ("features",))
    )
    inputs, lineages = {f"validated_{table}": 1 for table in toy.spec.tables}, {}
    for name in inputs:
        labels = ["all", *commits.get(name, [])]
        commits_of_it = [commit_of(i, {PARTITIONS: label}) for i, label in enumerate(labels, start=1)]
        lineages[name] = Lineage(tuple(reversed(commits_of_it)))
    planner.staleness.lineage = lineages.__getitem__
    maker = Commit(9, None, None, Provenance("run", "features", toy.pipeline.hash, "", "", inputs))
    lineages["features"] = Lineage((maker,))
    return planner._why("features", date.fromisoformat(day), maker)


@pytest.mark.parametrize(
    ("table", "changed", "again"),
    [
        ("deliveries", "2024-02-02", False),
        ("deliveries", "2024-02-03", True),
        ("deliveries", "2024-02-09", True),
        ("deliveries", "2024-02-10", False),  # known after the cut-off
        ("parcels", "2024-02-10", True),  # known ahead
        ("parcels", "2024-02-11", False),
        ("depots", "all", True),
    ],
)
def test_features_are_made_again_when_a_window_that_they_read_has_changed(toy, table, changed, again):
    name = f"validated_{table}"
    words = f"{name} was published since" if again else ""
    assert features_planner(toy, {name: [changed]}) == words


def test_a_partition_between_two_others_of_a_job_is_made_again_with_it(ready):
    ready.run("score", "2024-02-12")
    found = plan(ready)
    assert fates(found)[1] == ("2024-02-12", "replace", "lies between others of the job")
    in_chunks = plan(ready, commits="chunk", chunk_days=2)
    assert [str(job) for job in in_chunks.stages[0].jobs] == ["2024-02-10..2024-02-11", "2024-02-13", "2024-02-14"]


# ---- what it refuses ----


def test_missing_inputs_are_refused_before_anything_runs(ready):
    late = Partitions.parse("2024-02-15", "2024-02-18")
    with pytest.raises(
        MissingInputError, match=r"validated_parcels has no rows for 2 of 4 .* 2024-02-17\.\.2024-02-18"
    ):
        plan(ready, ("features", "score"), late)
    with pytest.raises(MissingInputError, match=r"no features for 3 of 4 partitions: 2024-02-16\.\.2024-02-18"):
        plan(ready, ("score",), late)
    found = plan(ready, ("validate", "features"), late)
    assert {one.why for one in found.stages[1].partitions[:1]} == {"the pipeline's files have changed"}
    assert [str(job) for job in found.stages[0].jobs] == [str(late)]
    assert found.summary().as_dict()["expected_difference"] == {
        "features": {"more_rows": None, "fewer_rows": None, "sample": None}
    }
    assert found.stages[1].estimate.seconds is None, "the rows of days that are not validated are not known"


def test_a_model_is_needed_only_to_score(toy):
    publish_toy(toy, "2024-01-01", "2024-01-10")
    copy_empty_registry(settings())
    days = Partitions.parse("2024-01-05")
    assert plan(toy, ("features",), days).model == ""
    with pytest.raises(MissingInputError, match="has no champion"):
        plan(toy, ("features", "score"), days)


# ---- models ----


def test_the_champion_is_pinned_and_as_of_is_spelled_out(ready):
    ready.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1})
    for version, first in (("1", "2024-02-01"), ("2", "2024-02-12")):
        record_champion(ready, version, date.fromisoformat(first))
    assert plan(ready).model == "1"
    found = plan(ready, ("score", "drift"), model="as-of")
    assert found.model == "as-of"
    assert found.summary().as_dict()["models"] == [
        {"partitions": "2024-02-10..2024-02-11", "version": "1"},
        {"partitions": "2024-02-12..2024-02-14", "version": "2"},
    ]
    assert [str(job) for job in found.stages[1].jobs] == ["2024-02-10..2024-02-11", "2024-02-12..2024-02-14"]
    # Scored by the champion of today, the days of another one are done again.
    score_all(ready)
    assert fates(plan(ready, model="as-of")) == [
        ("2024-02-10..2024-02-11", "same", "holds exactly this"),
        ("2024-02-12..2024-02-14", "replace", "version 1 → 2"),
    ]


# ---- how long ----


def test_without_history_it_says_so(ready):
    assert estimate(Lineage(()), "score", [5]).basis == "no history yet"
    assert plan(ready).summary().estimated_minutes is None
    score_all(ready)
    assert plan(ready).summary().estimated_minutes == 0.0
    assert plan(ready, partitions=DAYS.shift(1)).stages[0].estimate.seconds >= 0
    assert plan(ready).summary().cost == "0 on this machine"


def test_the_cost_is_the_estimate_of_each_stage_on_its_target(ready, tmp_path):
    place = {"project": "p", "region": "r", "service_account": "a", "image": "i"}
    prices = settings().project_path / "include" / "prices" / "google_cloud.yaml"
    dispatch = {
        "jobs_uri": f"file://{tmp_path}/jobs", "stages": {"score": "there"},
        "targets": {"there": {"kind": "vertex", "machine_type": "n1-standard-4", **place}},
    }  # fmt: skip

    def cost(asked={}, **given):  # noqa: B006
        chosen = DispatchSettings.model_validate({**dispatch, **given})
        ready.settings = settings().model_copy(update={"dispatch": chosen})
        return plan(ready, **asked).cost

    assert cost() == "score on there: the environment has no price table"
    at_most = "not known yet; at most this, by its limit of 120 minutes"
    assert cost(prices=prices) == f"score on there: USD 0.44 ({at_most})"
    in_parts = {"commits": "chunk", "chunk_days": 2}
    assert len(DAYS) == 5
    assert cost(in_parts, prices=prices) == (
        f"score on there: 2 jobs of 2 days, each USD 0.44 ({at_most}); score on there: USD 0.44 ({at_most})"
    )
    assert cost(prices=prices, stages={"features": "there"}) == HERE, "a stage that is not asked for"
    score_all(ready)
    assert cost(prices=prices) == HERE, "nothing is left to do"


def test_every_day_of_the_range_is_in_the_plan(ready):
    ready.run("score", "2024-02-12")
    days = [one.day for one in plan(ready).stages[0].partitions]
    assert days == [DAYS.start + timedelta(days=i) for i in range(5)]


def test_days_whose_history_is_lost_are_made_again_and_the_plan_says_why(ready, monkeypatch):
    score_all(ready)
    own = ready.lake.lineage

    def lineage(name, lost=None):
        if name != "predictions":
            return own(name, lost)
        if lost is None:
            raise DamagedError("the file is missing")
        lost(DamagedError("the file is missing"))
        return Lineage(())

    monkeypatch.setattr(ready.lake, "lineage", lineage)
    found = plan(ready)
    assert found.lost == found.summary().lost == ("the file is missing",)
    assert {one.action for one in found.stages[0].partitions} == {REPLACE}
    assert plan(ready, ("features",)).summary().as_dict().get("lost") is None
