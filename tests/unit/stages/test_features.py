"""The stage reads only what it may, refuses to build without entities, and publishes what the spec lists."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from tests.conftest import Toy
from tests.pipelines.toy.source import DEPOTS, parcels_of

from contrail.config.spec import PipelineSpec
from contrail.errors import AuditError, InputsChangedError, MissingInputError, SpecError
from contrail.lake import datasets
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions
from contrail.stages import features

_BY_HAND = Provenance(run_id="by-hand", stage="test", pipeline_hash="", code_revision="", lock_hash="")
FIRST, LAST = date(2024, 1, 1), date(2024, 1, 12)


def publish(toy: Toy, table: str, rows: pd.DataFrame, partitions: Partitions | None) -> None:
    dataset = datasets.validated(toy.spec, table)
    staged = pa.Table.from_pandas(rows[list(dataset.columns)], preserve_index=False)
    toy.lake.publish(dataset, staged, partitions, _BY_HAND)


def parcels(first: date = FIRST, last: date = LAST) -> pd.DataFrame:
    """A few parcels of each day with their outcome, as validate leaves them."""
    rows = pd.concat([parcels_of(day).head(12) for day in Partitions(first, last)], ignore_index=True)
    rows["ship_date"] = rows["ship_date"].dt.date
    rows["partition_date"] = rows["ship_date"]
    rows["visible_from"] = [day + timedelta(days=1) for day in rows["ship_date"]]
    return rows


def publish_all(toy: Toy, outcomes: pd.DataFrame | None = None) -> pd.DataFrame:
    rows = parcels()
    publish(toy, "parcels", rows.assign(visible_from=rows["ship_date"]), Partitions(FIRST, LAST))
    publish(toy, "deliveries", rows if outcomes is None else outcomes, Partitions(FIRST, LAST))
    publish(toy, "depots", DEPOTS, None)
    return rows


def publish_with_a_later_column(toy: Toy) -> None:
    """All tables; files of parcels before 10 January have no weight."""
    rows = parcels()
    publish(toy, "deliveries", rows, Partitions(FIRST, LAST))
    publish(toy, "depots", DEPOTS, None)
    older, newer = Partitions(FIRST, date(2024, 1, 9)), Partitions(date(2024, 1, 10), LAST)
    dataset = datasets.validated(toy.spec, "parcels")
    before = replace(dataset, columns={name: c for name, c in dataset.columns.items() if name != "weight"})
    for own, days in ((before, older), (dataset, newer)):
        chosen = rows[rows["ship_date"].isin(list(days))].assign(visible_from=rows["ship_date"])
        toy.lake.publish(own, pa.Table.from_pandas(chosen[list(own.columns)], preserve_index=False), days, _BY_HAND)


def built(toy: Toy) -> list[tuple[Any, ...]]:
    return toy.sql("SELECT * FROM features ORDER BY partition_date, parcel")


def test_features_are_published_with_cutoff_and_provenance(toy: Toy) -> None:
    rows = publish_all(toy)
    result = toy.run("features", "2024-01-09", "2024-01-12")
    assert result.rows == 48
    assert result.snapshots == {"features": toy.lake.snapshot_id("features")}
    found = toy.sql("SELECT partition_date, parcel, late_rate_7d, epoch(cutoff_at) % 86400 FROM features")
    depot = rows.set_index(["ship_date", "parcel"])["depot"]
    for day, parcel, rate, cutoff in found:
        assert cutoff == 5 * 3600, "midnight in New York"
        known = rows[(rows["ship_date"] < day) & (rows["ship_date"] >= day - timedelta(days=7))]
        late = known.loc[known["depot"] == depot[day, parcel], "delay"] > 15
        assert rate == pytest.approx(late.mean())
    summary = toy.lake.table("features").current_snapshot().summary.additional_properties
    for table in toy.spec.tables:
        assert str(toy.lake.snapshot_id(f"validated_{table}")) in summary["contrail.inputs"]


def test_missing_entities_are_named_and_nothing_is_published(toy: Toy) -> None:
    rows = parcels(FIRST, date(2024, 1, 2))
    publish(toy, "parcels", rows.assign(visible_from=rows["ship_date"]), Partitions(FIRST, date(2024, 1, 2)))
    with pytest.raises(MissingInputError, match=r"2 of 3 partitions: 2024-01-03\.\.2024-01-04"):
        toy.run("features", "2024-01-02", "2024-01-04")
    assert not toy.lake.exists("features")


def test_holes_in_the_look_back_are_told(toy: Toy, collect: Callable[[str], None]) -> None:
    rows = publish_all(toy)
    kept = Partitions(date(2024, 1, 6), LAST)
    toy.lake.catalog.drop_table(("toy", "validated_deliveries"))
    publish(toy, "deliveries", rows[rows["ship_date"] >= kept.start], kept)
    stage = toy.stage_run("features", "2024-01-09", "2024-01-10")
    object.__setattr__(stage, "progress", collect)
    result = features.execute(stage)
    assert result.details.look_back_missing == {"deliveries": ("2024-01-02..2024-01-05",)}
    assert any("deliveries has no partition for 2024-01-02..2024-01-05" in line for line in collect.lines)  # type: ignore[attr-defined]
    early = toy.run("features", "2024-01-01")
    assert early.details.look_back_missing == {}, "days before the first partition are no holes"


def test_the_first_day_has_features_before_any_outcome_is_known(toy: Toy) -> None:
    publish_all(toy)
    toy.run("features", "2024-01-01")
    assert toy.sql("SELECT count(*), count(late_rate_7d) FROM features") == [(12, 0)]


@pytest.mark.parametrize("kept", [0, 5])
def test_rows_that_build_loses_are_missed(toy: Toy, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    publish_all(toy)
    build = toy.pipeline.function("features", "build")
    few = toy.pipeline.module("features")
    monkeypatch.setattr(few, "build", lambda tables, window: build(tables, window).where(f"parcel < {kept}"))
    with pytest.raises(SpecError, match=rf"left out {12 - kept} of 12 rows of parcels, for example .*'2024-01-09'"):
        toy.run("features", "2024-01-09")
    assert not toy.lake.exists("features")


def test_rows_that_nobody_asked_for_are_refused(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_all(toy)
    build = toy.pipeline.function("features", "build")

    def more(tables: Any, window: Any) -> Any:
        rows = build(tables, window)
        return rows.union(rows.where("parcel = 3").withColumn("parcel", F.lit(99).cast("long")))

    monkeypatch.setattr(toy.pipeline.module("features"), "build", more)
    with pytest.raises(SpecError, match=r"returned 1 rows .*'parcel': '99'"):
        toy.run("features", "2024-01-09")
    monkeypatch.setattr(PipelineSpec, "personal", frozenset({"parcel"}))
    with pytest.raises(SpecError, match=r"returned 1 rows .*'parcel': '•••'"):
        toy.run("features", "2024-01-09")


@pytest.mark.parametrize(
    ("column", "made"),
    [("parcel", "concat('p', parcel)"), ("ship_date", "concat('on ', ship_date)"), ("parcel", "array(parcel)")],
)
def test_a_key_of_another_type_is_refused_by_the_audit(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, column: str, made: str
) -> None:
    publish_all(toy)
    build = toy.pipeline.function("features", "build")
    other = lambda tables, window: build(tables, window).withColumn(column, F.expr(made))  # noqa: E731
    monkeypatch.setattr(toy.pipeline.module("features"), "build", other)
    with pytest.raises(AuditError, match="staged types differ"):
        toy.run("features", "2024-01-09")


@pytest.mark.parametrize(
    ("column", "made"),
    [
        ("parcel", "cast(parcel AS int)"),
        ("parcel", "cast(parcel AS decimal(9, 0))"),
        ("ship_date", "to_timestamp(ship_date)"),
    ],
)
def test_a_key_of_a_type_that_holds_the_same_is_the_same(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, column: str, made: str
) -> None:
    publish_all(toy)
    build = toy.pipeline.function("features", "build")
    same = lambda tables, window: build(tables, window).withColumn(column, F.expr(made))  # noqa: E731
    monkeypatch.setattr(toy.pipeline.module("features"), "build", same)
    assert toy.run("features", "2024-01-09").rows == 12


def handed_over(toy: Toy, monkeypatch: pytest.MonkeyPatch, start: str, end: str) -> dict[str, pd.DataFrame]:
    seen: dict[str, pd.DataFrame] = {}
    build = toy.pipeline.function("features", "build")

    def spy(tables: Any, window: Any) -> Any:
        seen.update({name: frame.toPandas() for name, frame in tables.items()})
        return build(tables, window)

    monkeypatch.setattr(toy.pipeline.module("features"), "build", spy)
    toy.run("features", start, end)
    return seen


def test_only_rows_that_the_last_cut_off_may_see_are_handed_over(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = parcels()
    early = rows["parcel"] == 0  # claims to be known before its file is complete
    late = rows["parcel"] == 1  # became known after the range
    rows.loc[early, "visible_from"] = FIRST
    rows.loc[late, "visible_from"] = date(2024, 2, 1)
    publish_all(toy, rows)
    seen = handed_over(toy, monkeypatch, "2024-01-09", "2024-01-10")
    deliveries = seen["deliveries"]
    assert (deliveries["visible_from"] <= date(2024, 1, 10)).all()
    assert 1 not in set(deliveries["parcel"])
    assert (deliveries["visible_from"] > deliveries["partition_date"]).all(), "not before its file is complete"
    assert deliveries["partition_date"].min() == date(2024, 1, 2), "seven days of look-back"
    assert set(seen["parcels"]["partition_date"]) == set(Partitions(date(2024, 1, 2), date(2024, 1, 10)))
    assert len(seen["depots"]) == 3


def test_a_column_that_came_later_is_null_in_older_days_and_whole_in_newer_ones(toy: Toy) -> None:
    publish_with_a_later_column(toy)
    toy.run("features", "2024-01-08", "2024-01-12")
    found = toy.sql("SELECT partition_date, count(*), count(weight) FROM features GROUP BY ALL ORDER BY ALL")
    assert found == [(date(2024, 1, d), 12, 0 if d < 10 else 12) for d in range(8, 13)]


def arriving(monkeypatch: pytest.MonkeyPatch, publish_late: Callable[[int], None]) -> list[int]:
    """While each build is written, something is published; the builds so far."""
    write, builds = features._write, []

    def slow(*arguments: Any) -> None:
        builds.append(len(builds))
        publish_late(builds[-1])
        write(*arguments)

    monkeypatch.setattr(features, "_write", slow)
    return builds


def test_what_was_published_meanwhile_is_read_before_features_are(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = publish_all(toy)
    late = rows.assign(delay=99.0)
    days = [Partitions(date(2024, 1, 8), date(2024, 1, 8)), Partitions(LAST, LAST)]

    def publish_late(build: int) -> None:
        if build < 2:  # the second of them is of a day that no window of 9 January reaches
            publish(toy, "deliveries", late[late["ship_date"] == days[build].start], days[build])

    builds = arriving(monkeypatch, publish_late)
    toy.run("features", "2024-01-09")
    assert builds == [0, 1]
    assert toy.lake.history("features")[0].provenance.inputs["validated_deliveries"] is not None
    found = toy.sql("SELECT DISTINCT late_rate_7d FROM features WHERE depot = 'A'")
    monkeypatch.undo()
    toy.run("features", "2024-01-09")
    assert toy.sql("SELECT DISTINCT late_rate_7d FROM features WHERE depot = 'A'") == found


def test_inputs_that_never_rest_are_said_and_nothing_is_published(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = publish_all(toy)
    day = Partitions(date(2024, 1, 8), date(2024, 1, 8))
    builds = arriving(
        monkeypatch,
        lambda build: publish(toy, "deliveries", rows[rows["ship_date"] == day.start].assign(delay=build), day),
    )
    with pytest.raises(InputsChangedError, match=r"validated_deliveries was published again .* Nothing was published"):
        toy.run("features", "2024-01-09")
    assert builds == [0, 1, 2]
    assert not toy.lake.exists("features")


def test_a_range_is_the_same_as_its_days_and_as_itself(toy: Toy) -> None:
    rows = parcels()
    rows.loc[rows["parcel"] == 0, "visible_from"] = [
        day + timedelta(days=5) for day in rows.loc[rows["parcel"] == 0, "ship_date"]
    ]
    publish_all(toy, rows)
    toy.run("features", "2024-01-09", "2024-01-11")
    together = built(toy)
    for day in ("2024-01-10", "2024-01-09", "2024-01-11", "2024-01-11"):
        toy.run("features", day)
    assert built(toy) == together
    assert len(together) == 36


def test_a_range_that_needs_more_memory_is_built_in_parts(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_all(toy)
    toy.run("features", "2024-01-08", "2024-01-12")
    together, days = built(toy), Partitions.parse("2024-01-08", "2024-01-12")
    run = toy.stage_run("features", str(days.start), str(days.end))
    one_day = toy.stage_run("features", str(days.start))
    assert features.parts_of(run) == [days]
    assert not features.exceeds_memory(run)
    # 12 parcels a day: a part has four times the rows that fit in memory, and a day is never split.
    for fitting, starts in ((20, (8,)), (6, (8, 10, 12)), (4, (8, 9, 10, 11, 12)), (1, (8, 9, 10, 11, 12))):
        bytes_a_value = run.settings.memory_bytes // (fitting * len(toy.spec.features.columns))
        monkeypatch.setattr(features, "_BYTES_A_VALUE", bytes_a_value)
        assert features.exceeds_memory(run)
        assert features.exceeds_memory(one_day) == (fitting < 12)
        assert features.parts_of(one_day) == [one_day.partitions]
        parts = features.parts_of(run)
        assert [part.start.day for part in parts] == list(starts)
        assert [day for part in parts for day in part] == list(days)
    asked: list[tuple[date, date]] = []
    build = features.build_from

    def watched(part: Any, *given: Any) -> None:
        asked.append((part.partitions.start, part.partitions.end))
        build(part, *given)

    monkeypatch.setattr(features, "build_from", watched)
    publish_all(toy, parcels().assign(delay=99.0))
    toy.run("features", "2024-01-08", "2024-01-12")
    assert asked == [(day, day) for day in days]
    in_parts = built(toy)
    assert in_parts != together
    monkeypatch.undo()
    toy.run("features", "2024-01-08", "2024-01-12")
    assert built(toy) == in_parts


def test_a_feature_counts_an_outcome_once_as_it_was_first_known(toy: Toy) -> None:
    outcomes = publish_all(toy)
    toy.run("features", "2024-01-08", "2024-01-12")
    before = built(toy)
    day = date(2024, 1, 7)
    again = outcomes[outcomes["ship_date"] == date(2024, 1, 5)].assign(
        partition_date=day, visible_from=day + timedelta(days=1), delay=lambda rows: 99 - rows["delay"]
    )
    publish_all(toy, pd.concat([outcomes, again]))
    for start, end in (("2024-01-08", "2024-01-12"), ("2024-01-12", "2024-01-12")):
        toy.run("features", start, end)
        assert built(toy) == before


def test_the_spec_lists_the_columns(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_all(toy)
    build = toy.pipeline.function("features", "build")
    module = toy.pipeline.module("features")
    monkeypatch.setattr(module, "build", lambda *given: build(*given).withColumnRenamed("weight", "mass"))
    with pytest.raises(SpecError, match=r"features.py: build\(\) returned no weight;"):
        toy.run("features", "2024-01-09")
    assert not toy.lake.exists("features")
    monkeypatch.setattr(module, "build", lambda *given: build(*given).selectExpr("*", "weight AS mass"))
    toy.run("features", "2024-01-09")
    assert toy.lake.scan("features").schema.names == list(datasets.features(toy.spec).columns)
