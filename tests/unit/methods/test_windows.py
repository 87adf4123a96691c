"""Windows see what was known and no more. A range gives the same as its days."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contrail.adapters.engine import spark_session
from contrail.config.settings import EngineSettings
from contrail.errors import SpecError
from contrail.methods.grains import Part
from contrail.methods.windows import FeatureWindow, asked_rows, describe, latest, of_day, rolling, timely
from contrail.partitions import Partitions

D = date(2024, 3, 10)
HISTORY = "partition_date date, visible_from date, k string, n int, x double"


def back(days: int) -> date:
    return D - timedelta(days=days)


def window(start: date = D, end: date = D, lookback: int = 10) -> FeatureWindow:
    return FeatureWindow(Partitions(start, end), lookback, "America/New_York")


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    return spark_session(EngineSettings())


@pytest.fixture(scope="module")
def history(spark: SparkSession) -> DataFrame:
    rows = [
        (back(1), D, "a", 1, 10.0),
        (back(1), D, "a", 2, None),
        (back(2), back(1), "a", 3, 4.0),
        (back(3), back(2), "a", 4, 1.0),
        (back(2), back(1), "b", 5, None),
        (back(8), back(7), "b", 6, 100.0),
    ]
    return spark.createDataFrame(rows, HISTORY)


def values(part: Part, asked: FeatureWindow) -> dict[Any, dict[str, Any]]:
    """What the part says of the keys a, b and c on the days that are asked for, where it says anything."""
    spark = spark_session(EngineSettings())
    keys = ["partition_date", *part.by]
    rows = spark.createDataFrame([(day, k) for day in asked.partitions for k in "abc"], "partition_date date, k string")
    found = describe(rows.select(*keys).distinct(), part).toPandas().astype(object)
    found = found.where(found.notna(), None)
    said = {tuple(row[k] for k in keys): row.drop(keys).to_dict() for _, row in found.iterrows()}
    return {key: row for key, row in said.items() if any(value is not None for value in row.values())}


def past(history: DataFrame, asked: FeatureWindow, by: list[str], days: list[int]) -> Part:
    return rolling(history, asked, by=by, days=days, means={"x": F.col("x")}, prefix="p")


def test_rolling_means_and_counts(history: DataFrame) -> None:
    assert values(past(history, window(), ["k"], [1, 2, 3]), window()) == {
        (D, "a"): {"p_rows_1d": 2, "p_x_1d": 10, "p_rows_2d": 3, "p_x_2d": 7, "p_rows_3d": 4, "p_x_3d": 5},
        (D, "b"): {"p_rows_1d": 0, "p_x_1d": None, "p_rows_2d": 1, "p_x_2d": None, "p_rows_3d": 1, "p_x_3d": None},
    }


def test_rolling_without_a_key_takes_the_whole_history(history: DataFrame) -> None:
    assert values(past(history, window(), [], [3]), window()) == {(D,): {"p_rows_3d": 5, "p_x_3d": 5}}


def test_rolling_gives_each_day_its_own_window(history: DataFrame) -> None:
    asked = window(back(1), D + timedelta(days=2))
    found = values(past(history, asked, ["k"], [2]), asked)
    assert {day: row["p_x_2d"] for (day, key), row in found.items() if key == "a"} == {
        back(1): 2.5,
        D: 7.0,
        D + timedelta(days=1): 10.0,
    }


FUTURE = [
    (D, D + timedelta(days=1), "a", 9, 1e9),
    (back(1), D + timedelta(days=1), "a", 9, 1e9),  # mislabelled: in the file of yesterday, known tomorrow
    (back(1), D + timedelta(days=2), "a", 1, 1e9),  # in the order of a visible row
    (back(3), D + timedelta(days=1), "c", 9, 1e9),
]


def test_a_row_known_later_changes_nothing(spark: SparkSession, history: DataFrame) -> None:
    planted = history.unionByName(spark.createDataFrame(FUTURE, HISTORY))
    asked = window()
    for by in (["k"], []):
        assert values(past(planted, asked, by, [1, 7]), asked) == values(past(history, asked, by, [1, 7]), asked)
    assert values(last_of(planted, asked), asked) == values(last_of(history, asked), asked)
    # The test is worth something: a day later they all count.
    later = window(D + timedelta(days=2), D + timedelta(days=2))
    assert values(past(planted, later, ["k"], [7]), later)[D + timedelta(days=2), "a"]["p_x_7d"] > 1e6
    assert values(last_of(planted, later), later)[D + timedelta(days=2), "c"]["last_x"] == 1e9


def last_of(history: DataFrame, asked: FeatureWindow, days: int = 7) -> Part:
    columns = {"last_n": F.col("n"), "last_x": F.col("x")}
    return latest(history, asked, by=["k"], columns=columns, order_by="n", days=days)


def test_latest_is_the_row_known_last(history: DataFrame) -> None:
    found = values(last_of(history, window(back(2), D)), window(back(2), D))
    assert found == {
        (back(2), "a"): {"last_n": 4, "last_x": 1.0},
        (back(1), "a"): {"last_n": 3, "last_x": 4.0},
        (D, "a"): {"last_n": 2, "last_x": None},
        (back(2), "b"): {"last_n": 6, "last_x": 100.0},
        (back(1), "b"): {"last_n": 5, "last_x": None},
        (D, "b"): {"last_n": 5, "last_x": None},
    }


def test_latest_is_not_older_than_its_days(history: DataFrame) -> None:
    asked, old = window(back(1), D), history.where("n = 6")
    assert (back(1), "b") not in values(last_of(old, asked, days=6), asked)
    assert (back(1), "b") in values(last_of(old, asked, days=7), asked)


def test_latest_breaks_ties_the_same_way_in_any_order(spark: SparkSession) -> None:
    rows = [(back(1), D, "a", 1, x) for x in (3.0, 8.0, 5.0)]
    for order in (rows, rows[::-1]):
        found = values(last_of(spark.createDataFrame(order, HISTORY), window()), window())
        assert found == {(D, "a"): {"last_n": 1, "last_x": 8.0}}


def test_a_range_is_the_same_as_its_days(spark: SparkSession) -> None:
    """Also with rows that became known long after their partition, which a day's run does not read."""
    rng, lookback = np.random.default_rng(1), 6
    partition = pd.Series([back(int(n)) for n in rng.integers(-6, 20, 800)])
    known = [day + timedelta(days=int(n)) for day, n in zip(partition, rng.integers(1, 12, 800), strict=True)]
    rows = pd.DataFrame({"partition_date": partition, "visible_from": known})
    rows = rows.assign(k=rng.choice(["a", "b", "c"], 800), n=np.arange(800), x=rng.integers(0, 50, 800).astype(float))

    def read(asked: FeatureWindow) -> DataFrame:
        days = set(asked.partitions.reaching_back(lookback))
        return spark.createDataFrame(rows[rows["partition_date"].isin(days)], HISTORY)

    def built(start: date, end: date) -> dict[Any, Any]:
        asked = window(start, end, lookback)
        found = values(past(read(asked), asked, ["k"], [1, 4, 6]), asked)
        return found | {("last", *k): v for k, v in values(last_of(read(asked), asked, 6), asked).items()}

    first, last = back(2), D + timedelta(days=3)
    days = [built(day, day) for day in Partitions(first, last)]
    assert built(first, last) == {key: row for day in days for key, row in day.items()}
    assert sum(map(len, days)) == 36


def test_timely_leaves_out_what_a_day_would_not_read(history: DataFrame, spark: SparkSession) -> None:
    late = spark.createDataFrame([(back(9), back(9 - gap), "a", gap, 1.0) for gap in (1, 3, 4)], HISTORY)
    assert sorted(row.n for row in timely(late, window(), 8).collect()) == [1, 3]


def test_a_window_longer_than_the_look_back_is_refused(history: DataFrame) -> None:
    with pytest.raises(SpecError, match=r"11 days needs features\.lookback_days >= 11; it is 10"):
        past(history, window(), ["k"], [1, 11])


def test_describe_keeps_rows_without_history(spark: SparkSession, history: DataFrame) -> None:
    rows = spark.createDataFrame([(D, "a", 1), (D, "z", 2)], "partition_date date, k string, id int")
    asked = window()
    found = describe(rows, past(history, asked, ["k"], [1]), last_of(history, asked)).orderBy("id").collect()
    assert [(row.id, row.p_x_1d, row.p_rows_1d, row.last_n) for row in found] == [
        (1, 10.0, 2.0, 2),
        (2, None, None, None),
    ]


def test_histories_of_one_key_are_described_together(spark: SparkSession, history: DataFrame) -> None:
    """The sums of one history know nothing of another's rows, and each window has its own length."""
    other = spark.createDataFrame([(back(1), D, "a", 1, 7.0), (back(4), back(3), "b", 1, 5.0)], HISTORY)
    rows = spark.createDataFrame([(D, k) for k in "aabc"], "partition_date date, k string")
    asked, means = window(), {"x": F.col("x")}
    own = past(history, asked, ["k"], [1, 3])
    second = rolling(other, asked, by=["k"], days=[1, 4], means=means, prefix="q")
    counted = of_day(rows, by=["k"], count="n", prefix="r")
    alone = describe(describe(describe(rows, own), second), counted).collect()
    found = describe(rows, own, second, counted).collect()
    assert sorted(map(str, found)) == sorted(map(str, alone))
    (b,) = [row for row in found if row.k == "b"]
    assert (b.p_rows_1d, b.p_rows_3d, b.q_x_1d, b.q_x_4d, b.q_rows_1d, b.r_n) == (0, 1, None, 5, 0, 1)
    (c,) = [row for row in found if row.k == "c"]
    assert (c.p_rows_1d, c.q_rows_4d, c.r_n) == (None, None, 1)


def test_a_value_that_is_no_number_spoils_no_later_window(spark: SparkSession) -> None:
    odd = [(back(n + 1), back(n), "a", n, x) for n, x in ((3, float("nan")), (2, float("inf")), (1, 2.0), (0, 4.0))]
    asked = window(back(3), D)
    found = values(past(spark.createDataFrame(odd, HISTORY), asked, ["k"], [2]), asked)
    assert {(D - day).days: (row["p_rows_2d"], row["p_x_2d"]) for (day, _), row in found.items()} == {
        3: (1, None), 2: (2, None), 1: (2, 2.0), 0: (2, 3.0)
    }  # fmt: skip


def test_asked_rows_were_known_at_their_own_cut_off(spark: SparkSession) -> None:
    rows = [(back(1), back(1)), (D, D), (D, back(1)), (D, D + timedelta(days=1)), (D + timedelta(days=1), D)]
    found = asked_rows(spark.createDataFrame(rows, "partition_date date, visible_from date"), window())
    assert sorted(map(tuple, found.collect())) == [(D, back(1)), (D, D)]


def test_cutoff_at_follows_the_zone_over_the_change_of_clock(spark: SparkSession) -> None:
    days = [date(2024, 3, 10), date(2024, 3, 11)]
    rows = spark.createDataFrame([(day,) for day in days], "d date")
    for cutoff, expected in ((time(0), [5, 4]), (time(6, 30), [10, 10])):
        asked = FeatureWindow(Partitions(D, D), 1, "America/New_York", cutoff)
        found = rows.select(asked.cutoff_at(F.col("d")).cast("long").alias("t")).collect()
        moments = sorted(datetime.fromtimestamp(row.t, UTC) for row in found)
        assert [m.hour for m in moments] == expected
        assert [m.minute for m in moments] == [cutoff.minute] * 2
        assert [m.date() for m in moments] == days
