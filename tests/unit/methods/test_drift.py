import json
import time
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import TOY_PIPELINES

from contrail.config.spec import DriftSpec, PipelineSpec, load_spec
from contrail.errors import DataError
from contrail.methods import drift

START = date(2024, 1, 1)
TRAINED = 210
COLUMNS = {
    "size": {"kind": "number", "doc": "Larger at the weekend."},
    "rain": {"kind": "number", "doc": "Mostly zero."},
    "rate": {"kind": "number", "doc": "Three values a day."},
    "constant": {"kind": "number", "doc": "Always one."},
    "gaps": {"kind": "number", "doc": "A tenth is missing."},
    "kind": {"kind": "category", "doc": "Four of them."},
}


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    toy = load_spec(TOY_PIPELINES / "toy" / "pipeline.yaml").model_dump()
    toy["features"]["columns"] = COLUMNS
    toy["train"] |= {"rate_table": [], "segments": []}
    toy["gate"]["segments"] = []
    return PipelineSpec.model_validate(toy)


def rows_of(day: date, seed: int) -> dict[str, np.ndarray]:
    """A day's rows; a weekday and a weekend have their own distributions, else all days are alike."""
    rng = np.random.default_rng([seed, day.toordinal()])
    rows = 200 - 60 * (day.weekday() >= 5)
    gaps = rng.gamma(2, size=rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    return {
        "size": rng.normal(size=rows) + (day.weekday() >= 5),
        "rain": (rng.random(rows) < 0.02) * rng.exponential(size=rows),
        "rate": np.resize(rng.normal(size=3), rows),
        "constant": np.ones(rows),
        "gaps": gaps,
        "kind": rng.choice(list("wxyz"), rows, p=[0.4, 0.3, 0.2, 0.1]),
    }


def features(
    first: date, days: int, seed: int = 0, change: Callable[[dict[str, np.ndarray]], None] | None = None
) -> pa.Table:
    tables = []
    for day in (first + timedelta(days=i) for i in range(days)):
        rows = rows_of(day, seed)
        if change:
            change(rows)
        tables.append(pa.table({"partition_date": pa.array([day] * len(rows["size"]), pa.date32()), **rows}))
    return pa.concat_tables(tables)


@pytest.fixture(scope="module")
def reference(spec: PipelineSpec) -> drift.Reference:
    return drift.build_reference(features(START, TRAINED), spec)


LATER = START + timedelta(days=TRAINED)


def test_reference_is_plain_json(reference: drift.Reference) -> None:
    copied = json.loads(json.dumps(reference))
    days = features(LATER, 3)
    assert np.array_equal(drift.day_statistics(days, copied).values, drift.day_statistics(days, reference).values)


def test_days_without_a_full_history_are_left_out(spec: PipelineSpec, reference: drift.Reference) -> None:
    assert (spec.first_partition, spec.features.lookback_days) == (START, 7)
    assert (reference["first_day"], reference["days"]) == ("2024-01-08", TRAINED - 7)
    short = drift.build_reference(features(START, 10), spec)
    assert (short["first_day"], short["days"]) == ("2024-01-01", 10), "too few others"


def test_false_alarms_of_days_like_the_reference_are_at_the_set_rate(spec: PipelineSpec) -> None:
    """Six references, a year each of unseen days of the same kind, at 1 %."""
    seldom = spec.model_copy(update={"drift": DriftSpec(false_alarm_rate=0.01)})
    alarms, of_feature = [], []
    for seed in range(6):
        trained = drift.build_reference(features(START, TRAINED, seed), seldom)
        found = drift.day_statistics(features(LATER, 365, seed), trained)
        alarms.append(np.mean(found.unusual_days))
        of_feature.append((found.values > found.thresholds).mean())
    assert 0.002 < np.mean(alarms) < 0.02
    assert max(alarms) < 0.05
    assert 0.002 < np.mean(of_feature) < 0.02


def test_the_set_rate_is_what_sets_the_threshold(spec: PipelineSpec) -> None:
    often = spec.model_copy(update={"drift": DriftSpec(false_alarm_rate=0.2)})
    trained = drift.build_reference(features(START, TRAINED), often)
    found = drift.day_statistics(features(LATER, 365), trained)
    assert 0.12 < np.mean(found.unusual_days) < 0.28


def shift(rows: dict[str, np.ndarray]) -> None:
    rows["size"] += 1


def lose(rows: dict[str, np.ndarray]) -> None:
    rows["gaps"][:60] = np.nan


def rename(rows: dict[str, np.ndarray]) -> None:
    rows["kind"] = np.where(rows["kind"] == "x", "unseen", rows["kind"])


def vary(rows: dict[str, np.ndarray]) -> None:
    rows["constant"][:40] = 2.0


def leave_the_range(rows: dict[str, np.ndarray]) -> None:
    rows["rate"] += 50


@pytest.mark.parametrize(
    ("change", "feature"),
    [(shift, "size"), (lose, "gaps"), (rename, "kind"), (vary, "constant"), (leave_the_range, "rate")],
)
def test_a_planted_shift_is_raised_and_its_feature_named(
    spec: PipelineSpec,
    reference: drift.Reference,
    change: Callable[[dict[str, np.ndarray]], None],
    feature: str,
) -> None:
    before, after = features(LATER, 20), features(LATER + timedelta(days=20), 10, change=change)
    found = drift.day_statistics(pa.concat_tables([before, after]), reference)
    verdicts = drift.verdicts(list(zip(found.days, found.unusual_days, strict=True)), spec.drift)
    raised = next(i for i, verdict in enumerate(verdicts) if verdict.verdict == "drift")
    assert 20 <= raised < 20 + spec.drift.raise_days + 2
    past = found.values[20:].mean(axis=0) > found.thresholds
    assert [name for name, flag in zip(found.features, past, strict=True) if flag] == [feature]


def test_a_weekend_is_compared_with_weekends(reference: drift.Reference) -> None:
    assert reference["features"]["size"]["by_weekday"] is not None
    assert reference["features"]["constant"]["by_weekday"] is None
    saturday = START + timedelta(days=TRAINED + (5 - LATER.weekday()) % 7)
    one = features(saturday, 1)
    as_monday = one.set_column(0, "partition_date", pa.array([saturday + timedelta(days=2)] * len(one), pa.date32()))
    assert drift.day_statistics(one, reference).unusual_days == [False]
    assert drift.day_statistics(as_monday, reference).unusual_days == [True]


def test_weekdays_are_not_told_apart_when_the_window_lacks_one(spec: PipelineSpec) -> None:
    """A threshold learned from other weekdays would say nothing about the one that is missing."""
    window = features(START + timedelta(days=7), 120)
    weekday = np.array([day.weekday() for day in window.column("partition_date").to_pylist()])
    without_fridays = drift.build_reference(window.filter(pa.array(weekday != 4)), spec)
    assert {column["by_weekday"] for column in without_fridays["features"].values()} == {None}
    friday = START + timedelta(days=130)
    assert friday.weekday() == 4
    assert drift.day_statistics(features(friday, 1), without_fridays).unusual_days == [False]


def test_days_of_different_size_in_one_call_and_alone_have_the_same_statistics(reference: drift.Reference) -> None:
    together = drift.day_statistics(features(LATER, 9), reference)
    alone = [drift.day_statistics(features(LATER + timedelta(days=i), 1), reference) for i in range(9)]
    assert np.array_equal(together.values, np.concatenate([one.values for one in alone]))
    assert together.rows == tuple(one.rows[0] for one in alone)
    assert set(together.rows) == {200, 140}


def test_an_empty_feature_is_usual_as_long_as_it_stays_empty(spec: PipelineSpec) -> None:
    def empty(rows: dict[str, np.ndarray]) -> None:
        rows["rate"] = np.full(len(rows["rate"]), np.nan)

    trained = drift.build_reference(features(START, 60, change=empty), spec)
    rate = list(COLUMNS).index("rate")
    assert drift.day_statistics(features(LATER, 1, change=empty), trained).values[0, rate] == 0
    assert drift.day_statistics(features(LATER, 1), trained).unusual_days == [True]


def test_a_category_may_be_a_whole_number(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[1, 2, 3]] * 10)
    _, later = one_feature(spec, "category", [[1, 2, 3], [3, 3, 3], [7, 7, 7]])
    values = drift.day_statistics(later, drift.build_reference(window, narrow)).values
    assert values[:, 0] == pytest.approx([0, 2 / 3, 1])


def test_the_threshold_of_a_day_holds_for_days_that_it_was_not_learned_from() -> None:
    """Thirty features with long tails; judged by their own thresholds the window's days would promise too much."""
    rates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        window, later = rng.lognormal(size=(200, 30)) / 10, rng.lognormal(size=(500, 30)) / 10
        exceedances = drift._exceedances(later, *drift._usual(window, 0.01))
        rates.append((exceedances.max(axis=1) > drift._day_threshold(window, 0.01)).mean())
    assert 0.003 < np.mean(rates) < 0.014


def test_integers_and_nulls_are_numbers(spec: PipelineSpec) -> None:
    window = features(START + timedelta(days=7), 60)
    whole = window.set_column(
        window.column_names.index("rate"), "rate", pa.array([*([3] * (len(window) - 1)), None], pa.int64())
    )
    trained = drift.build_reference(whole, spec)
    assert trained["features"]["rate"]["histogram"] == [0, 0, 0, len(window) - 1, 0, 0, 0, 1]


def one_feature(spec: PipelineSpec, kind: str, days: list[list[object]]) -> tuple[PipelineSpec, pa.Table]:
    """A spec with the one feature ``only``, and its values of consecutive days."""
    columns = {"only": spec.features.columns["kind" if kind == "category" else "size"]}
    narrow = spec.model_copy(update={"features": spec.features.model_copy(update={"columns": columns})})
    dates = [START + timedelta(days=i) for i, values in enumerate(days) for _ in values]
    values = [value for of_day in days for value in of_day]
    return narrow, pa.table({"partition_date": pa.array(dates, pa.date32()), "only": values})


def test_a_day_of_the_window_is_compared_with_the_others_not_with_itself(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [[f"only on day {i}"] * 5 for i in range(10)])
    assert drift.build_reference(window, narrow)["features"]["only"]["threshold"] == 1


def test_days_with_the_same_shares_are_never_unusual(spec: PipelineSpec) -> None:
    narrow, window = one_feature(spec, "category", [list("abcdefg") * 3 * (i + 1) for i in range(20)])
    trained = drift.build_reference(window, narrow)
    _, later = one_feature(spec, "category", [list("abcdefg") * (97 - i) for i in range(20)])
    assert trained["day_threshold"] == 0
    found = drift.day_statistics(later, trained)
    assert not any(found.unusual_days)
    assert found.values.max() == trained["features"]["only"]["threshold"] == 0


@pytest.mark.parametrize(
    ("kind", "seen", "later", "distance"),
    [
        ("category", "a", "b", 1.0),
        ("category", "a", None, 1.0),
        ("number", 100.0, None, 1.0),
        ("number", 100.0, 105.0, 0.6),
        ("number", 100.0, 80.0, 1.0),
        ("number", 100.0, 1000.0, 1.5),
    ],
)
def test_values_unlike_any_of_the_window_are_the_further_the_more_they_differ(
    spec: PipelineSpec, kind: str, seen: object, later: object, distance: float
) -> None:
    narrow, window = one_feature(spec, kind, [[seen] * 5] * 10)
    _, days = one_feature(spec, kind, [[seen] * 5, [later] * 5, [seen, seen, seen, seen, later]])
    values = drift.day_statistics(days.cast(window.schema), drift.build_reference(window, narrow)).values
    assert values[:, 0] == pytest.approx([0, distance, distance / 5])


def test_the_distance_is_the_way_that_rows_are_moved_in_ranks(spec: PipelineSpec) -> None:
    """Ten equally frequent values: each is a bin, a tenth of the ranks from the next."""
    narrow, window = one_feature(spec, "number", [[float(i) for i in range(10)]] * 10)
    _, days = one_feature(spec, "number", [[0.0] * 10, [4.0, 5.0] * 5, [min(i + 1.0, 9.0) for i in range(10)]])
    values = drift.day_statistics(days, drift.build_reference(window, narrow)).values
    assert values[:, 0] == pytest.approx([0.45, 0.2, 0.09])


def test_what_only_one_day_has_lies_outside_the_usual_range(spec: PipelineSpec) -> None:
    """So the threshold has seen a day beyond all others, and one such day later is no alarm of its own."""
    days = [[float(i + 10 * j) for j in range(10)] for i in range(20)]
    days[7] = [900.0] * 10
    days[9] = [-900.0] * 10
    narrow, window = one_feature(spec, "number", days)
    histogram = drift.build_reference(window, narrow)["features"]["only"]["histogram"]
    assert histogram[:3] == [0, 10, 0], "more than one range below"
    assert histogram[-4:] == [0, 10, 0, 0], "more than one range above, none missing"


def test_a_window_of_a_few_days_is_refused(spec: PipelineSpec) -> None:
    with pytest.raises(DataError, match="needs 8 days or more; the training window has 7"):
        drift.build_reference(features(START, 7), spec)


def test_features_without_a_column_of_the_reference_are_refused(reference: drift.Reference) -> None:
    with pytest.raises(DataError, match=r"lack the columns \['rain'\]"):
        drift.day_statistics(features(LATER, 1).drop_columns(["rain"]), reference)


@pytest.mark.parametrize("stored", [1, None])
def test_a_reference_of_another_format_is_refused(reference: drift.Reference, stored: int | None) -> None:
    with pytest.raises(DataError, match=f"has format {stored}; .* reads format 2.*Train and promote a model"):
        drift.day_statistics(features(LATER, 1), {**reference, "format": stored})


def test_no_rows_have_no_days(reference: drift.Reference) -> None:
    found = drift.day_statistics(features(LATER, 1).slice(0, 0), reference)
    assert found.days == ()
    assert found.unusual_days == []


# ---- hysteresis: raise_days 3 of_days 5 clear_days 1 ----


def judged(pattern: str, **rule: int) -> str:
    """``pattern`` has x for an unusual day, ``.`` for a usual one and a blank for one without rows."""
    days = [(START + timedelta(days=i), mark == "x") for i, mark in enumerate(pattern) if mark != " "]
    return "".join(v.verdict[0] for v in drift.verdicts(days, DriftSpec(**rule)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (".......", "ooooooo"),
        ("..x.......", "oowwwwwooo"),
        ("x.....x.....", "wwwwwowwwwwo"),
        ("xx........", "wwwwwwoooo"),
        ("xxx.......", "wwddddwooo"),
        ("x.x.x.....", "wwwwdddwwo"),
        ("xxx..x....", "wwdddddwww"),
        ("xxx   x...", "wwddwww"),
    ],
)
def test_verdicts(pattern: str, expected: str) -> None:
    assert judged(pattern) == expected


def test_a_single_strange_day_never_raises_drift() -> None:
    for i in range(40):
        assert "d" not in judged("." * i + "x" + "." * (39 - i))


def test_a_drift_that_is_neither_cleared_nor_raised_again_is_forgotten() -> None:
    found = judged("xxx" + "..x.x" * 8)
    assert found[:10] == "wwdddddddd"
    assert found[-1] == "w"


def test_any_split_of_the_days_comes_to_the_same_verdicts() -> None:
    rng = np.random.default_rng(0)
    rule = DriftSpec()
    lingering = [mark == "x" for mark in "xxx" + "..x.x" * 9]
    flags = [*(rng.random(250) < 0.3), *lingering]
    days = [(START + timedelta(days=i), bool(flag)) for i, flag in enumerate(flags)]
    whole = drift.verdicts(days, rule)
    assert {verdict.verdict for verdict in whole} == {"ok", "watch", "drift"}
    for i in range(drift.history_days(rule), len(days)):
        assert drift.verdicts(days[i - drift.history_days(rule) : i + 1], rule)[-1] == whole[i]


def test_a_year_costs_seconds_at_most(reference: drift.Reference) -> None:
    """A loop over days and features in Python would take many; 0.1 s was measured for these six features."""
    rng = np.random.default_rng(0)
    year = np.repeat(np.arange("2024-01-01", "2024-12-31", dtype="datetime64[D]"), 900)
    numbers = {name: rng.normal(size=len(year)) for name in COLUMNS if name != "kind"}
    table = pa.table({"partition_date": year, **numbers, "kind": rng.choice(list("wxyz"), len(year))})
    started = time.perf_counter()
    found = drift.day_statistics(table, reference)
    assert len(found.days) == 365
    assert time.perf_counter() - started < 2
