"""Features that move are leaks, but not those that move by themselves or in their last bits."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import functions as F
from tests.conftest import Toy
from tests.landed import deliver_anew
from tests.toy_tables import rows_of
from tests.unit.operations.leaks.conftest import CHECKED, check, publish

from contrail.lake.lineage import Commit, Lineage
from contrail.lake.provenance import Provenance
from contrail.operations.leaks import futures
from contrail.operations.leaks.findings import LEAK, WARNING
from contrail.operations.leaks.futures import Moves, chosen
from contrail.operations.leaks.moved import Compared, Moved
from contrail.partitions import Partitions

Change = Callable[[Callable[..., Any]], Toy]
DAY = date(2024, 1, 10)


def test_a_row_of_a_leak_has_the_value_with_and_without_the_future(changed: Change) -> None:
    def tell(built: Any, tables: Any, window: Any) -> Any:
        known = tables["deliveries"].select("ship_date", "parcel", F.col("delay").alias("weight"))
        return built.drop("weight").join(known, on=["ship_date", "parcel"], how="left")

    found = check(changed(tell), cutoffs=2, seed=5)
    (cut,) = [one for one in found.findings if one.check == "cut-off"]
    assert (cut.level, cut.subject, len(found.cutoffs)) == (LEAK, "weight", 2)
    assert cut.rows > 60, "of two days"
    assert [row.other for row in cut.examples] == [None, None, None], "nobody knew the delay"
    row = cut.examples[0]
    ((delay,),) = changed(tell).sql(
        f"SELECT delay FROM validated_deliveries WHERE ship_date = '{row.partition}' AND parcel = {row.key['parcel']}"
    )
    assert (row.partition, float(str(row.value))) == (found.cutoffs[0], delay)
    assert {one.subject for one in found.findings if one.check == "planted"} == {"weight"}


def test_a_feature_that_is_never_the_same_is_no_leak_but_said(changed: Change) -> None:
    toy = changed(lambda built, tables, window: built.withColumn("weight", F.rand()))
    found = check(toy, cutoffs=1)
    assert {(one.level, one.subject) for one in found.findings} == {(WARNING, "weight")}
    assert "another in each build of the same rows" in found.findings[0].says


def test_a_row_that_is_there_only_because_of_the_future_is_a_leak(changed: Change) -> None:
    def landed(built: Any, tables: Any, window: Any) -> Any:
        return built.join(tables["deliveries"].select("ship_date", "parcel"), on=["ship_date", "parcel"], how="semi")

    found = check(changed(landed), cutoffs=1)
    assert {one.subject for one in found.of(LEAK) if one.check == "cut-off"} == {"the row itself"}


def test_where_nothing_was_known_nothing_is_called_clean(filled: Toy) -> None:
    days = Partitions.parse("2024-01-01", "2024-02-01")
    rows = rows_of(days)
    publish(filled, "parcels", rows.assign(visible_from=rows["ship_date"] + timedelta(days=1)), days)
    found = {one.check: one for one in check(filled, cutoffs=1).checks}
    assert {name for name, one in found.items() if one.state == "not checked"} >= {
        "cut-off",
        "planted",
        "alone",
        "nulls",
        "model",
    }
    assert "nothing was compared" in found["cut-off"].says


def test_last_bits_are_a_warning() -> None:
    moves = Moves()
    moves.add(DAY, Compared(9, (Moved("mean", 0, 3), Moved("rate", 2, 1))))
    found = {one.subject: (one.level, one.rows) for one in moves.findings("cut-off", "moves", ())}
    assert found == {"mean": (WARNING, 3), "rate": (LEAK, 2)}


def test_cut_offs_have_a_day_after_them_in_their_part_and_a_seed_chooses_them() -> None:
    parts = [Partitions(CHECKED.start, date(2024, 1, 15)), Partitions(date(2024, 1, 16), CHECKED.end)]
    every = chosen(CHECKED, parts, 100, 0)
    assert every == [day for day in CHECKED if day not in (date(2024, 1, 15), CHECKED.end)]
    assert chosen(CHECKED, parts, 5, 1) == chosen(CHECKED, parts, 5, 1) != chosen(CHECKED, parts, 5, 2)


@pytest.mark.parametrize(
    ("hours", "then"),
    [
        ((1, 30), 1),  # the second delivery came after the cut-off
        ((1, 20), None),  # both came before it
        ((30, 40), 1),  # a backfill: the first delivery counts
    ],
)
def test_what_was_known_at_the_cut_off(hours: tuple[int, int], then: int | None) -> None:
    made = Provenance("r", "validate", "", "", "")
    own = (Partitions(DAY, DAY),)
    lineage = Lineage(tuple(Commit(number, own, None, made) for number in (2, 1)), complete=True)
    midnight = datetime(2024, 1, 10, tzinfo=UTC)
    times = {number: midnight + timedelta(hours=hour) for number, hour in zip((1, 2), hours, strict=True)}
    assert futures._known_then(lineage, DAY, times, midnight + timedelta(hours=24)) == then
    assert futures._known_then(lineage, DAY, {2: times[2]}, midnight) is None, "the first has expired"


@pytest.mark.slow
def test_a_day_that_the_feed_delivers_again_is_a_corrected_value(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-01-20")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-01-20")
    days = Partitions.parse("2024-01-10", "2024-01-18")
    assert check(toy, days, cutoffs=1).findings == ()
    deliver_anew(toy, "2024-01-12")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-12")
    found = check(toy, days, cutoffs=1)
    (leak,) = found.findings
    assert (leak.check, leak.level, leak.subject) == ("corrected", LEAK, "late_rate_7d")
    assert leak.examples[0].partition == date(2024, 1, 13), "the day before knew nothing of it"
    assert "deliveries of 2024-01-12" in leak.says
