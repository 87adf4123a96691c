import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.unit.methods.made_days import contributions
from tests.unit.stages.test_performance import publish

from contrail.adapters.registry import RegisteredModel
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, MissingInputError
from contrail.lake import datasets
from contrail.methods.drift_reference import build_reference
from contrail.methods.flagged import UsualShare
from contrail.methods.label_drift import LabelReference
from contrail.methods.model_package import ModelPackage
from contrail.partitions import Partitions
from contrail.stages import drift
from contrail.stages.results import DriftDetails, StageResult

TRAINED = Partitions(date(2024, 1, 8), date(2024, 2, 9))  # after toy's look-back of 7 days
BROKEN = Partitions(date(2024, 2, 20), date(2024, 2, 26))
LAST = date(2024, 3, 10)
ROWS = 60


def features(partitions: Partitions) -> pa.Table:
    """Days alike, but for heavier parcels in ``BROKEN`` and on the lone 16 February."""
    tables = []
    for day in partitions:
        # Later days repeat those of the training window: no chance of a false alarm.
        rng = np.random.default_rng(day.toordinal() % len(TRAINED))
        heavier = 5.0 if day in BROKEN or day == date(2024, 2, 16) else 0.0
        tables.append(
            pa.table(
                {
                    "partition_date": pa.array([day] * ROWS, pa.date32()),
                    "ship_date": pa.array([day] * ROWS, pa.date32()),
                    "parcel": pa.array(range(ROWS), pa.int64()),
                    "cutoff_at": pa.array([0] * ROWS, pa.timestamp("us", "UTC")),
                    "depot": rng.choice(["A", "B", "C"], ROWS),
                    "weight": rng.normal(10, 1, ROWS) + heavier,
                    "distance": rng.choice([5.0, 20.0, 60.0], ROWS),
                    "late_rate_7d": rng.random(ROWS),
                }
            )
        )
    return pa.concat_tables(tables)


EXPECTED = 0.3
USUAL_LABELS = LabelReference(run_days=3, of_days=5, low=-0.1, high=0.1, centre=0.0, threshold=0.06, days=33)


USUAL_SHARE = UsualShare(threshold=0.5, low=0.1, high=0.3)


class Package(ModelPackage):
    """A model without trees, with a drift reference as it was stored."""

    def __init__(self, reference: bytes) -> None:
        card = SimpleNamespace(flagged=USUAL_SHARE, features=(), categories={}, calibration=None, offset=None)
        super().__init__(card=card, booster_bytes=b"", reference_bytes=reference)  # type: ignore[arg-type]

    def predict(self, features: pa.Table) -> np.ndarray:
        return np.full(len(features), EXPECTED)

    def differences(self, _: PipelineSpec) -> list[str]:
        return []

    def of_today(self, _: PipelineSpec) -> "Package":
        return self


class Model:
    """Stands in for the registry: one champion that expects 0.3 everywhere, and what was asked for."""

    def __init__(self, toy: Toy) -> None:
        self.asked: list[str] = []
        self.reference = build_reference(
            features(TRAINED), toy.spec, USUAL_LABELS, contributions(features(TRAINED), toy.spec)
        )
        self.model = RegisteredModel("toy", "3", Path(), Package(self.reference.to_json()))

    def model_of(self, _: Any, lake: Any, ref: str) -> Any:
        self.asked.append(f"{lake.namespace}/{ref}")
        return self.model


@pytest.fixture
def model(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(toy)
    monkeypatch.setattr(drift, "model_of", found.model_of)
    return found


def publish_features(toy: Toy, partitions: Partitions, rows: pa.Table | None = None) -> int:
    run = toy.stage_run("features", str(partitions.start), str(partitions.end))
    rows = features(partitions) if rows is None else rows
    return toy.lake.publish(datasets.features(toy.spec), rows, partitions, run.provenance({}))


@pytest.fixture
def run(toy: Toy, model: Model) -> Callable[..., StageResult[DriftDetails]]:
    """Run drift, without a report unless asked, on features of the whole time."""
    publish_features(toy, Partitions(TRAINED.start, LAST))

    def call(start: str, end: str | None = None, **options: Any) -> StageResult[DriftDetails]:
        return toy.run("drift", start, end, **{"report": "never", **options})

    return call


def publish_decisions(toy: Toy, partitions: Partitions, flagged: int, version: str = "3") -> None:
    """Ten predictions a day, so many of them flagged."""
    rows = [
        {"partition_date": day, "ship_date": day, "parcel": n, "decision": n < flagged, "model_version": version}
        for day in partitions
        for n in range(10)
    ]
    publish(toy, datasets.predictions(toy.spec), rows, partitions)


def test_the_days_to_which_the_share_flagged_left_its_usual_range_are_named(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    start = date(2024, 1, 10)
    publish_decisions(toy, Partitions(start, LAST), 2)
    assert run("2024-03-10").details.unusually_flagged == ()
    # From 20 February on nothing is flagged: ten days later the share of 28 days is still 0.13, at the end 0.06.
    publish_decisions(toy, Partitions(date(2024, 2, 20), LAST), 0)
    found = run("2024-02-12", "2024-03-10").details.unusually_flagged
    assert found == ("2024-03-05..2024-03-10",)
    publish_decisions(toy, Partitions(date(2024, 2, 12), LAST), 0, version="2")
    assert run("2024-03-10").details.unusually_flagged == (), (
        "another model's decisions say nothing of this one's share"
    )


def verdicts(toy: Toy) -> dict[str, str]:
    return dict(toy.sql("SELECT strftime(partition_date, '%m-%d'), verdict FROM drift WHERE feature = '*' ORDER BY 1"))


def test_a_planted_shift_is_raised_and_cleared_and_a_strange_day_is_watched(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    result = run("2024-02-12", "2024-03-10")
    assert result.details.drift_begins == ("2024-02-22",)
    found = verdicts(toy)
    assert [found[f"02-{day}"] for day in range(15, 28)] == [*["ok"] * 5, *["watch"] * 2, *["drift"] * 6]
    assert found["03-04"] == "ok", "days like those before the shift are not new again"
    assert found["03-06"] == "ok"


def test_rows_say_which_feature_and_against_which_model(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    result = run("2024-02-22")
    assert result.rows == 5
    rows = toy.sql(
        "SELECT feature, statistic, unusual, unusual_days, verdict, rows, model_version FROM drift ORDER BY 1"
    )
    assert rows[0] == ("*", "max_exceedance", True, 3, "drift", ROWS, "3")
    assert [row[:3] for row in rows[1:]] == [
        ("depot", "earth_mover", False),
        ("distance", "earth_mover", False),
        ("late_rate_7d", "earth_mover", False),
        ("weight", "earth_mover", True),
    ]
    assert [row[3:5] for row in rows[1:]] == [(None, None)] * 4
    large = "value > threshold AND coalesce(effect > effect_threshold AND from_window > from_window_threshold, true)"
    assert toy.sql(f"SELECT bool_and(unusual = ({large})) FROM drift") == [(True,)]
    measured = "effect IS NOT NULL AND effect_threshold > 0 AND from_window IS NOT NULL AND from_window_threshold > 0"
    assert toy.sql(f"SELECT bool_and(({measured}) = (feature NOT IN ('*', 'label'))) FROM drift") == [(True,)]


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, 3])
def test_any_split_in_any_order_leaves_the_same_rows(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]], days: int
) -> None:
    run("2024-02-12", "2024-03-10")
    everything = "SELECT * FROM drift ORDER BY ALL"
    expected = toy.sql(everything)
    for start in reversed(list(Partitions(date(2024, 2, 12), LAST))[::days]):
        run(str(start), str(min(start + timedelta(days=days - 1), LAST)))
    assert toy.sql(everything) == expected


def test_the_champion_unless_a_version_is_asked_for(
    model: Model, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    run("2024-02-12")
    run("2024-02-12", model="2")
    assert model.asked == ["toy/champion", "toy/2"]


def test_the_snapshot_names_its_inputs(toy: Toy, run: Callable[..., StageResult[DriftDetails]]) -> None:
    run("2024-02-12")
    entry = toy.lake.history("drift")[0]
    assert entry.provenance.inputs == {"features": toy.lake.snapshot_id("features")}
    assert (entry.provenance.extra["model_name"], entry.provenance.extra["model_version"]) == ("toy", "3")


def test_a_day_reads_a_bounded_history(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    view = type(toy.lake).view

    def spy(self: Any, connection: Any, shown: str, name: str, days: Iterable[date], *rest: Any, **named: Any) -> None:
        read.append((name, Partitions(min(days), max(days))))
        view(self, connection, shown, name, days, *rest, **named)

    monkeypatch.setattr(type(toy.lake), "view", spy)
    run("2024-03-10")
    assert read == [("features", Partitions(date(2024, 1, 16), date(2024, 3, 10)))]
    read.clear()
    publish_labels(toy)
    run("2024-03-10")
    # Labels of 8 March, what their hysteresis needs before, and a day to see whether drift begins.
    days = Partitions(date(2024, 3, 3), date(2024, 3, 8))
    later = Partitions(days.start, date(2024, 3, 9))
    assert read == [("validated_parcels", days), ("validated_deliveries", later), ("features", days)]
    read.clear()
    run("2024-03-10")
    assert read == [], "all days are counted"


def test_days_without_features_have_no_rows_and_are_named(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    run("2024-03-09", "2024-03-10")
    publish_features(toy, Partitions(date(2024, 3, 9), date(2024, 3, 9)), features(TRAINED).slice(0, 0))
    result = run("2024-03-08", "2024-03-10")
    assert result.details.without_features == ("2024-03-09",)
    assert sorted(verdicts(toy)) == ["03-08", "03-10"]


def test_a_range_without_any_features_is_refused(toy: Toy, run: Callable[..., StageResult[DriftDetails]]) -> None:
    with pytest.raises(MissingInputError, match=r"no partition of 2024-03-20 has features.*--from 2024-03-20"):
        run("2024-03-20")
    assert not toy.lake.exists("drift")


# ---- drift of the label ----

SHIFTED = Partitions(date(2024, 2, 24), date(2024, 3, 10))  # labels; with the storm on 18 February
STORM = date(2024, 2, 18)


def publish_labels(toy: Toy, end: date = LAST, first: date = date(2024, 2, 1), undelivered: int = 0) -> None:
    """Of 60 parcels 18 are late as expected, 30 in ``SHIFTED``, 60 in the ``STORM``; one is delivered on the next day."""
    entities, outcomes = [], []
    for day in Partitions(first, LAST):
        late = 60 if day == STORM else 30 if day in SHIFTED else 18
        for n in range(ROWS):
            landed = day + timedelta(days=int(n == 0))
            entities.append({"partition_date": day, "ship_date": day, "parcel": n})
            outcomes.append({"partition_date": landed, "ship_date": day, "parcel": n, "delay": 60.0 * (n < late)})
    known = Partitions(first, end)
    publish(toy, datasets.validated(toy.spec, "parcels"), entities, Partitions(first, LAST))
    seen = [row for row in outcomes if row["partition_date"] in known and row["parcel"] < ROWS - undelivered]
    publish(toy, datasets.validated(toy.spec, "deliveries"), seen, known)


@pytest.fixture
def labelled(toy: Toy, run: Callable[..., StageResult[DriftDetails]]) -> Callable[..., StageResult[DriftDetails]]:
    publish_labels(toy)
    return run


def label_rows(toy: Toy) -> dict[str, tuple[Any, ...]]:
    found = toy.sql(
        "SELECT strftime(partition_date, '%m-%d'), verdict, value, unusual, rows FROM drift "
        "WHERE feature = 'label' ORDER BY 1"
    )
    return {row[0]: row[1:] for row in found}


def test_a_shift_of_the_label_is_raised_within_three_days_of_mature_labels_and_a_storm_is_not(
    toy: Toy, labelled: Callable[..., StageResult[DriftDetails]]
) -> None:
    result = labelled("2024-02-12", "2024-03-10")
    # Labels of 24 February are mature, after one more day, at the cut-off of the 26th.
    assert result.details.label_drift_begins == ("2024-02-27",)
    assert result.details.label_drift_days == 13
    found = label_rows(toy)
    assert [found[f"02-{day}"][0] for day in (19, 20, 21, 22, 26)] == ["ok"] * 5
    assert [found[f"02-{day}"][1] for day in (19, 20, 21, 22, 23)] == pytest.approx([0, 0.1 / 3, 0.1 / 3, 0.1 / 3, 0])
    assert found["02-27"] == ("drift", pytest.approx(0.2 / 3), True, ROWS)
    assert found["03-10"] == ("drift", pytest.approx(0.1), True, ROWS)
    assert verdicts(toy)["03-10"] == "ok", "the features have their own"


def test_rows_of_the_label_say_what_they_are(toy: Toy, labelled: Callable[..., StageResult[DriftDetails]]) -> None:
    labelled("2024-03-10")
    rows = toy.sql("SELECT statistic, threshold, unusual_days, model_name, model_version FROM drift "
                   "WHERE feature = 'label'")  # fmt: skip
    assert rows == [("mean_residual", 0.06, None, "toy", "3")]
    names = ("features", "validated_parcels", "validated_deliveries")
    assert toy.lake.history("drift")[0].provenance.inputs == {name: toy.lake.snapshot_id(name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, 4])
def test_any_split_in_any_order_leaves_the_same_rows_of_the_label(
    toy: Toy, labelled: Callable[..., StageResult[DriftDetails]], days: int
) -> None:
    labelled("2024-02-12", "2024-03-10")
    everything = "SELECT * FROM drift ORDER BY ALL"
    expected = toy.sql(everything)
    begins = []
    for start in reversed(list(Partitions(date(2024, 2, 12), LAST))[::days]):
        part = labelled(str(start), str(min(start + timedelta(days=days - 1), LAST)))
        begins += part.details.label_drift_begins
    assert toy.sql(everything) == expected
    assert begins == ["2024-02-27"]


def test_a_day_whose_labels_come_late_has_its_row_later_as_if_they_had_come_in_time(
    toy: Toy, labelled: Callable[..., StageResult[DriftDetails]]
) -> None:
    labelled("2024-02-12", "2024-03-10")
    expected = toy.sql("SELECT * FROM drift ORDER BY ALL")
    publish(toy, datasets.validated(toy.spec, "deliveries"), [], Partitions(date(2024, 3, 4), LAST))
    result = labelled("2024-02-12", "2024-03-10")
    # Labels of 3 March need 4 March's file; they are the newest that the cut-off of 5 March could see.
    assert result.details.without_labels == ("2024-03-05..2024-03-10",)
    assert max(label_rows(toy)) == "03-04"
    assert len(verdicts(toy)) == 28, "features do not wait"
    publish_labels(toy)
    assert labelled("2024-03-05", "2024-03-10").details.without_labels == ()
    assert toy.sql("SELECT * FROM drift ORDER BY ALL") == expected


def test_what_a_day_could_not_know_does_not_change_it(
    toy: Toy, labelled: Callable[..., StageResult[DriftDetails]]
) -> None:
    labelled("2024-02-27")
    expected = label_rows(toy)
    publish_labels(toy, end=date(2024, 2, 26))
    labelled("2024-02-27")
    assert label_rows(toy) == expected


def test_without_a_label_table_features_are_measured_alone(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]]
) -> None:
    result = run("2024-03-09", "2024-03-10")
    assert result.details.without_labels == ("2024-03-09..2024-03-10",)
    assert label_rows(toy) == {}


def test_a_label_without_a_prediction_and_a_prediction_without_a_label_do_not_count(
    toy: Toy, labelled: Callable[..., StageResult[DriftDetails]]
) -> None:
    some = features(Partitions(TRAINED.start, LAST))
    keep = np.array([n >= 6 for n in some.column("parcel").to_pylist()])
    publish_features(toy, Partitions(TRAINED.start, LAST), some.filter(pa.array(keep)))
    publish_labels(toy, undelivered=9)
    labelled("2024-02-16")
    # Of the 18 late parcels the first six are not predicted, and the last nine of all have no outcome: 12 of 45.
    ((verdict, value, _, rows),) = label_rows(toy).values()
    assert (rows, value) == (45, pytest.approx(EXPECTED - 12 / 45))
    assert verdict == "ok"


def test_a_model_with_a_reference_of_an_earlier_format_is_refused(
    toy: Toy, model: Model, labelled: Callable[..., StageResult[DriftDetails]]
) -> None:
    model.model = replace(model.model, package=Package(b'{"format": 1}'))
    with pytest.raises(DataError, match="has format 1"):
        labelled("2024-03-10")
    assert not toy.lake.exists("drift")


# ---- when a report is made ----


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of each report, in place of Evidently's six seconds."""
    calls: list[Any] = []
    monkeypatch.setattr("contrail.stages.measuring.page.write_drift_report", lambda *args: calls.append(args))
    return calls


@pytest.mark.parametrize(
    ("start", "end", "report", "made"),
    [
        ("2024-02-21", None, "alarm", 0),
        ("2024-02-22", None, "alarm", 1),
        ("2024-02-23", None, "alarm", 0),
        ("2024-02-12", "2024-02-14", "alarm", 1),
        ("2024-02-22", None, "never", 0),
        ("2024-02-12", "2024-02-14", "never", 0),
        ("2024-02-12", None, "always", 1),
    ],
)
def test_a_report_is_made_when_drift_begins_or_for_a_range(
    run: Callable[..., StageResult[DriftDetails]], drawn: list[Any], start: str, end: str | None, report: str, made: int
) -> None:
    result = run(start, end, report=report)
    assert len(drawn) == len(result.reports) == made


def test_the_report_of_a_day_shows_the_days_that_raised_drift(
    toy: Toy, run: Callable[..., StageResult[DriftDetails]], drawn: list[Any]
) -> None:
    result = run("2024-02-22", report="alarm")
    path, page = drawn[0]
    assert result.reports == (str(path),)
    assert Path(path).name == "2024-02-18_2024-02-22_model-3.html"
    assert page.title == "Late parcels: drift 2024-02-22"
    assert (
        page.summary
        == "Each of the days 2024-02-18..2024-02-22 against the days before it. What is usual comes from the training window "
        "2024-01-08..2024-02-09 of toy version 3."
    )
    assert page.verdict == "drift"
    assert page.finding == (
        "the state of the features on 2024-02-22. Of 5 days, 1 have drift of the features, 2 are watched, and 0 have drift "
        "of the label."
    )
    assert [(line.day, line.verdict) for line in page.lines] == [
        ("2024-02-20", "watch"),
        ("2024-02-21", "watch"),
        ("2024-02-22", "drift"),
    ]
    assert all(re.fullmatch(r"weight \(effect \d\.\d\d\)", line.features) for line in page.lines)
    assert page.reference.rows.column_names == page.current.rows.column_names == ["weight"], "only what moved is drawn"
    assert (page.reference.words, page.current.words) == ("all 1,680 rows", "all 300 rows")
    assert page.categories == ["depot"]


def test_the_report_draws_a_sample_that_is_the_same_of_the_same_rows(
    run: Callable[..., StageResult[DriftDetails]], drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrail.stages.measuring.page._ROWS", 100)
    run("2024-02-22", report="alarm")
    run("2024-02-22", report="alarm")
    (_, first), (_, second) = drawn
    assert first.reference.words == "a sample of 100 of 1,680 rows"
    assert first.current.words == "a sample of 100 of 300 rows"
    assert (first.reference.rows, first.current.rows) == (second.reference.rows, second.current.rows)
    heavier = np.mean(first.current.rows["weight"].to_numpy() > 12.5)
    assert 0.45 < heavier < 0.75, "three of the five days are heavier"


def test_the_report_is_made_when_drift_of_the_label_begins_and_shows_it(
    labelled: Callable[..., StageResult[DriftDetails]], drawn: list[Any]
) -> None:
    assert labelled("2024-02-27", report="alarm").reports
    page = drawn[0][1]
    assert page.lines[-1].features == " · drift of the label"
    assert "1 have drift of the label" in page.finding
    assert not labelled("2024-02-28", report="alarm").reports


@pytest.mark.slow
def test_the_report_is_written(toy: Toy, run: Callable[..., StageResult[DriftDetails]]) -> None:
    (path,) = run("2024-02-22", report="alarm").reports
    page = Path(path).read_text()
    assert Path(path).parent == Path(str(toy.settings.reports)) / "toy" / "drift"
    assert "<td class='drift'>drift</td>" in page
    assert "Drift in column 'weight'" in page
    assert "Drift in column 'distance'" not in page
