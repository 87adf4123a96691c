"""Quality before labels in the lake: estimated once at a day's cut-off, kept when labels come, and segments that fall named."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Prepare, Toy

from contrail.lake import datasets
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.notify.messages import Kind, of_result
from contrail.operations.before_labels import before_labels, estimated_days, falls_of
from contrail.operations.prediction_days import prediction_days
from contrail.partitions import Partitions
from contrail.stages import performance

FIRST, LAST = date(2024, 1, 1), date(2024, 2, 29)
DAYS = Partitions(FIRST, LAST)
LANDED = Partitions(FIRST, date(2024, 2, 28))  # the last day whose labels are mature is 27 February
FALL = date(2024, 2, 20)
ROWS = 90
_NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def _rows(days: Partitions) -> list[dict[str, Any]]:
    """Parcels of three depots, whose labels come true as promised. In depot B they are turned around from FALL on."""
    rng, found = np.random.default_rng(5), []
    for day in days:
        effect = rng.normal(0, 0.3)
        for parcel in range(ROWS):
            depot, p = "ABC"[parcel % 3], float(rng.uniform(0.02, 0.4))
            late = rng.random() < 1 / (1 + np.exp(-(np.log(p / (1 - p)) + effect)))
            late = bool(late) != (depot == "B" and day >= FALL)
            found.append({
                "partition_date": day, "ship_date": day, "parcel": parcel, "depot": depot, "probability": p,
                "delay": 60.0 if late else 0.0, "visible_from": day, "model_name": "toy", "model_version": "3",
            })  # fmt: skip
    return found


def _publish(toy: Toy, dataset: Dataset, rows: list[dict[str, Any]], partitions: Partitions) -> None:
    fill = {"string": "x", "int": 0, "float": 0.0, "bool": False, "date": FIRST, "timestamp": _NOON}
    default = {name: fill[column.type] if column.required else None for name, column in dataset.columns.items()}
    known = [{name: value for name, value in row.items() if name in dataset.columns} for row in rows]
    table = pa.Table.from_pylist([default | row for row in known], schema=dataset.arrow_schema())
    toy.lake.publish(dataset, table, partitions, toy.stage_run("test", str(FIRST)).provenance({}))


def _fill(toy: Toy) -> None:
    rows = _rows(DAYS)
    for dataset in (
        datasets.validated(toy.spec, "parcels"),
        datasets.features(toy.spec),
        datasets.predictions(toy.spec),
    ):
        _publish(toy, dataset, rows, DAYS)
    landed = [row for row in rows if row["partition_date"] in LANDED]
    _publish(toy, datasets.validated(toy.spec, "deliveries"), landed, LANDED)


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Sixty scored days; the labels of the last two are not mature. There is no registry."""
    training = SimpleNamespace(partitions=Partitions(date(2023, 1, 1), date(2023, 12, 31)))
    package = SimpleNamespace(card=SimpleNamespace(label_mean=0.2, training=training))
    monkeypatch.setattr(performance, "resolve", lambda *_: SimpleNamespace(package=package))
    return prepared(_fill)


def test_days_without_labels_are_estimated_and_the_estimate_stays_when_they_come(scored: Toy) -> None:
    result = scored.run("performance", str(FIRST), str(LAST))
    assert (result.details.measured, result.details.estimated) == (58, 60)
    before = scored.sql("SELECT * FROM estimates ORDER BY ALL")
    waiting = [one for one in estimated_days(scored.lake, "log_loss", DAYS) if one.found is None]
    assert [one.day for one in waiting] == [date(2024, 2, 28), LAST]
    assert all(one.low is not None and one.inside is None for one in waiting)
    rest = Partitions(date(2024, 2, 29), date(2024, 3, 1))
    late = [row for row in _rows(DAYS) if row["partition_date"] == LAST]
    late.append({**late[0], "parcel": 999, "partition_date": rest.end})
    _publish(scored, datasets.validated(scored.spec, "deliveries"), late, rest)
    again = scored.run("performance", "2024-02-25", str(LAST))
    assert (again.details.measured, again.details.estimated) == (5, 0)
    assert scored.sql("SELECT * FROM estimates ORDER BY ALL") == before
    assert estimated_days(scored.lake, "log_loss", DAYS)[-1].found is not None
    # The same probabilities in other files, as compaction leaves them, change no estimate.
    made_of = "SELECT made_of FROM estimates WHERE partition_date = '2024-02-28'"
    files, kept = scored.sql(made_of), "SELECT * EXCLUDE (made_of) FROM estimates ORDER BY ALL"
    before = scored.sql(kept)
    turned = [row | {"decision": True} for row in _rows(DAYS) if row["partition_date"] == date(2024, 2, 28)]
    _publish(scored, datasets.predictions(scored.spec), turned, Partitions(date(2024, 2, 28), date(2024, 2, 28)))
    assert scored.run("performance", "2024-02-28").details.estimated == 0
    assert scored.sql(kept) == before
    assert scored.sql(made_of) != files, "it is not computed again and again"


def test_days_estimated_after_their_labels_are_told_apart(scored: Toy) -> None:
    scored.run("performance", str(FIRST), "2024-02-27")
    found = before_labels(scored.lake, scored.pipeline)
    assert found and found.judged == found.afterwards > 20
    assert "(all of them estimated when their labels were known already" in found.sentence
    known = scored.sql("SELECT DISTINCT labels_known FROM estimates")
    scored.run("performance", "2024-02-28", str(LAST))
    assert (known, scored.sql("SELECT count(*) FROM estimates WHERE NOT labels_known AND metric = 'brier'")) == (
        [(True,)],
        [(2,)],
    )


def test_days_that_the_model_learned_from_are_no_history(scored: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(
        label_mean=0.2, training=SimpleNamespace(partitions=Partitions(date(2023, 1, 1), date(2024, 1, 31)))
    )
    monkeypatch.setattr(performance, "resolve", lambda *_: SimpleNamespace(package=SimpleNamespace(card=card)))
    scored.run("performance", str(FIRST), "2024-02-20")
    lag = timedelta(days=scored.spec.label.mature_after_days + 1)
    (days,) = scored.sql("SELECT DISTINCT days FROM estimates WHERE partition_date = '2024-02-20'")[0]
    assert days == (date(2024, 2, 20) - lag - date(2024, 1, 31)).days


def test_a_prediction_that_is_no_number_leaves_its_day_out_and_says_so(scored: Toy) -> None:
    day = date(2024, 2, 28)
    rows = [row for row in _rows(DAYS) if row["partition_date"] in (day, LAST)]
    _publish(
        scored,
        datasets.predictions(scored.spec),
        [{**rows[0], "probability": float("nan")}, *rows[1:]],
        Partitions(day, LAST),
    )
    run, told = scored.stage_run("performance", str(day), str(LAST)), list[str]()
    object.__setattr__(run, "progress", told.append)
    assert performance.execute(run).details.estimated == 1
    assert f"no estimate of {day}: a prediction is missing or is no finite number" in told
    assert [one.day for one in estimated_days(scored.lake, "log_loss", DAYS)] == [LAST]


def test_an_estimate_uses_only_labels_that_its_cut_off_saw(scored: Toy) -> None:
    scored.run("performance", str(FIRST), str(LAST))
    rows = "SELECT partition_date, known_until, days FROM estimates WHERE metric = 'log_loss' ORDER BY 1"
    lag = timedelta(days=scored.spec.label.mature_after_days + 1)
    for day, until, days in scored.sql(rows):
        assert until == day - lag
        assert days == min(max((until - FIRST).days + 1, 0), 56)
    whole = scored.sql("SELECT * FROM estimates WHERE partition_date = '2024-02-10' ORDER BY ALL")
    # In the order of days, as a schedule does it.
    _publish(scored, datasets.predictions(scored.spec), [row for row in _rows(DAYS) if row["parcel"] > 0], DAYS)
    scored.run("performance", str(FIRST), "2024-02-01")
    for day in range(2, 11):
        scored.run("performance", f"2024-02-{day:02}")
    parts = scored.sql("SELECT * FROM estimates WHERE partition_date = '2024-02-10' ORDER BY ALL")
    assert [row[:4] for row in parts] == [row[:4] for row in whole]
    assert [row[5] for row in parts] != [row[5] for row in whole], "other predictions, another estimate"


def test_before_enough_days_have_labels_nothing_is_said_of_an_interval(scored: Toy) -> None:
    result = scored.run("performance", str(FIRST), "2024-01-20")
    assert result.details.estimated == 20
    assert all(one.low is None and one.estimate is not None for one in estimated_days(scored.lake, "log_loss", DAYS))
    found = before_labels(scored.lake, scored.pipeline)
    assert found and found.judged == 0
    assert found.sentence == "no interval has been judged yet"


def test_without_any_labels_a_day_has_what_its_probabilities_promise(scored: Toy) -> None:
    _publish(scored, datasets.validated(scored.spec, "deliveries"), [], LANDED)
    result = scored.run("performance", "2024-02-28", str(LAST))
    assert (result.details.measured, result.details.estimated, result.unchanged) == (0, 2, False)
    assert scored.run("performance", "2024-02-28", str(LAST)).unchanged
    found = before_labels(scored.lake, scored.pipeline)
    assert found and [one.low for one in found.waiting] == [None, None]
    assert "is estimated at 0.4" in found.sentence


def test_the_segment_that_fell_is_named_within_three_days_and_told_once(scored: Toy) -> None:
    result = scored.run("performance", str(FIRST), str(LAST))
    (fall,) = falls_of(scored.lake, DAYS)
    assert (fall.feature, fall.value, fall.since) == ("depot", "B", FALL)
    assert fall.seen < FALL + timedelta(days=3)
    assert fall.last == date(2024, 2, 27)
    assert result.details.fell == (f"depot B since {FALL} (seen on {fall.seen})",)
    message = of_result("toy", "toy", result.details)
    assert message and message.kind == Kind.quality and "depot B since 2024-02-20" in message.happened
    again = scored.run("performance", "2024-02-24", str(LAST))
    assert again.details.fell == (), "an episode is told when it begins"
    again = scored.run("performance", "2024-02-19", "2024-02-24")
    assert again.details.fell == (), "a day that is measured again tells nothing again"
    summary = before_labels(scored.lake, scored.pipeline)
    assert summary and [one.text for one in summary.falls] == ["quality fell in depot B since 2024-02-20"]
    (mark,) = [one for one in prediction_days(scored.lake, scored.pipeline).marks if one.kind == "fall"]
    assert mark.day == FALL


def test_a_late_label_judges_the_segments_of_later_days_too(scored: Toy) -> None:
    scored.run("performance", str(FIRST), str(LAST))
    day, whole = date(2024, 2, 19), "SELECT * FROM segment_quality ORDER BY ALL"
    before, earlier = scored.sql(whole), scored.lake.snapshot_id("segment_quality")
    late = [row for row in _rows(Partitions(FIRST, day)) if row["partition_date"] == day]
    turned = [row | {"delay": 60 - row["delay"]} if row["depot"] == "B" else row for row in late]
    _publish(scored, datasets.validated(scored.spec, "deliveries"), turned, Partitions(day, day))
    again = scored.run("performance", str(FIRST), str(LAST), only_stale=True)
    assert again.details.measured == 2, "labels of a day come in its own file and the next"
    assert again.details.fell == (), "the fall was told, although it began a day earlier"
    lineage = scored.lake.lineage("segment_quality")
    measured, judged = lineage.maker(day), lineage.maker(date(2024, 2, 27))
    assert measured and judged and measured.provenance.run_id == judged.provenance.run_id
    assert measured.provenance.inputs["predictions"] == scored.lake.snapshot_id("predictions")
    assert judged.provenance.inputs == {"segment_quality": measured.snapshot}, "its measures are those of before"
    assert [commit.snapshot for commit in lineage.commits[:3]] == [judged.snapshot, measured.snapshot, earlier]
    after = scored.sql(whole)
    assert [fall.since for fall in falls_of(scored.lake, DAYS)] == [day]
    assert {old[0] for old, new in zip(before, after, strict=True) if old != new} >= {day, date(2024, 2, 27)}
    scored.run("performance", str(FIRST), str(LAST))
    assert scored.sql(whole) == after, "as if the label had been there"
    assert scored.run("performance", str(FIRST), "2024-02-19").details.fell == ()
    assert scored.sql(whole) == after, "what does not change is not judged anew"


def _killed(toy: Toy, monkeypatch: pytest.MonkeyPatch, *asked: str) -> None:
    """A run that ends after its segments were published and before ``performance`` is."""
    publish = Lake.publish

    def until_performance(lake: Lake, dataset: Dataset, *rest: Any, **named: Any) -> int:
        if dataset.name == "performance":
            raise SystemExit(9)
        return publish(lake, dataset, *rest, **named)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Lake, "publish", until_performance)
        toy.run("performance", *asked)


@pytest.mark.parametrize("other", [False, True], ids=["the same work", "other inputs"])
def test_a_fall_on_days_judged_again_is_told_once_although_a_run_was_killed(
    scored: Toy, monkeypatch: pytest.MonkeyPatch, other: bool
) -> None:
    fell = [row for row in _rows(DAYS) if row["partition_date"] in LANDED]
    usual = [
        row | {"delay": 60 - row["delay"]} if row["depot"] == "B" and row["partition_date"] >= FALL else row
        for row in fell
    ]
    _publish(scored, datasets.validated(scored.spec, "deliveries"), usual, LANDED)
    assert scored.run("performance", str(FIRST), str(LAST)).details.fell == ()
    _publish(scored, datasets.validated(scored.spec, "deliveries"), fell, LANDED)
    first, last = "2024-02-18", "2024-02-24" if other else str(LAST)
    _killed(scored, monkeypatch, first, last)
    if other:
        _publish(scored, datasets.predictions(scored.spec), [], Partitions.parse("2024-03-09"))
        last = "2024-02-20"
    told = scored.run("performance", first, last)
    assert len(told.details.fell) == 1 and f"depot B since {FALL}" in told.details.fell[0]
    before = scored.lake.snapshot_id("segment_quality")
    assert scored.run("performance", first, last).details.fell == (), "it is told once"
    measured = scored.lake.snapshot_id("performance")
    assert scored.run("performance", first, last).details.fell == ()
    assert (scored.lake.snapshot_id("segment_quality"), scored.lake.snapshot_id("performance")) == (before, measured)
    assert scored.run("performance", "2024-02-18", str(LAST)).details.fell == ()


def test_a_segment_is_measured_like_its_rows(scored: Toy) -> None:
    scored.run("performance", "2024-01-05")
    (loss, excess, labelled), *_ = scored.sql(
        "SELECT loss, excess, labelled FROM segment_quality WHERE value = 'A' AND partition_date = '2024-01-05'"
    )
    day = [row for row in _rows(DAYS) if row["partition_date"] == date(2024, 1, 5)]
    p, y = np.array([row["probability"] for row in day]), np.array([row["delay"] > 15 for row in day])
    own = np.array([row["depot"] == "A" for row in day])
    losses = -np.where(y, np.log(p), np.log(1 - p))
    above = losses + p * np.log(p) + (1 - p) * np.log(1 - p)
    assert labelled == own.sum() == 30
    assert loss == pytest.approx(losses[own].mean())
    assert excess == pytest.approx(above[own].mean() - above[~own].mean())
