"""Labels join to features by key and count only from the cut-off at which they were known."""

import os
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import Toy
from tests.toy_tables import publish_toy
from tests.unit.lake.labels_read import read_labels
from tests.unit.lake.test_views import with_personal

from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, MissingInputError
from contrail.lake import datasets
from contrail.lake.evolution import KEY
from contrail.lake.labels import immature_days, labelled_rows, later_outcomes, mature_days, read_training_rows
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

DAY = date(2024, 1, 5)
NEXT = DAY + timedelta(days=1)
RUN = Provenance("r", "test", "h", "c", "l")


@pytest.fixture
def labelled(toy: Toy) -> Toy:
    """Three parcels of DAY: delivered in time, delivered late on the next day, and never delivered."""
    at = datetime(2024, 1, 5, tzinfo=UTC)
    parcels = [
        {
            "partition_date": DAY, "ship_date": DAY, "parcel": n,
            "depot": "A", "weight": 1.0, "booked_at": at, "visible_from": DAY,
        }
        for n in (1, 2, 3)
    ]  # fmt: skip
    deliveries = [
        {"partition_date": DAY, "ship_date": DAY, "parcel": 1, "delay": 3.0, "delivered_at": at, "visible_from": NEXT},
        {
            "partition_date": NEXT,
            "ship_date": DAY,
            "parcel": 2,
            "delay": 90.0,
            "delivered_at": at,
            "visible_from": NEXT + timedelta(days=1),
        },
    ]
    features = [
        {
            "partition_date": DAY, "ship_date": DAY, "parcel": n, "cutoff_at": at,
            "depot": "A", "weight": 1.0, "distance": 5.0, "late_rate_7d": None,
        }
        for n in (3, 2, 1)
    ]  # fmt: skip
    for dataset, rows, days in (
        (datasets.validated(toy.spec, "parcels"), parcels, [DAY]),
        (datasets.validated(toy.spec, "deliveries"), deliveries, [DAY, NEXT]),
        (datasets.features(toy.spec), features, [DAY]),
    ):
        toy.lake.publish(dataset, pa.Table.from_pylist(rows, schema=dataset.arrow_schema()), days, RUN)
    return toy


def labels(toy: Toy, as_of: date | None) -> dict[int, float]:
    rows = read_labels(toy.lake, toy.spec, Partitions(DAY, DAY), as_of).to_pylist()
    return {row["parcel"]: row["label"] for row in rows}


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [(DAY, {}), (NEXT, {}), (NEXT + timedelta(days=1), {1: 0.0, 2: 1.0}), (None, {1: 0.0, 2: 1.0})],
)
def test_the_labels_of_a_day_count_from_the_cutoff_that_sees_them_all(
    labelled: Toy, as_of: date | None, expected: dict[int, float]
) -> None:
    # At the cut-off of NEXT parcel 1 is known to be in time. Parcel 2, which is late, is not known yet.
    # Parcel 3 has no outcome: missing, never zero.
    assert labels(labelled, as_of) == expected


@pytest.mark.parametrize("end", [DAY, DAY + timedelta(days=5)])
def test_a_label_after_its_day_was_mature_is_not_used_in_a_range_either(labelled: Toy, end: date) -> None:
    late = NEXT + timedelta(days=1)
    dataset = datasets.validated(labelled.spec, "deliveries")
    row = {
        "partition_date": late, "ship_date": DAY, "parcel": 3, "delay": 90.0,
        "delivered_at": datetime(2024, 1, 7, tzinfo=UTC), "visible_from": late + timedelta(days=1),
    }  # fmt: skip
    labelled.lake.publish(dataset, pa.Table.from_pylist([row], schema=dataset.arrow_schema()), [late], RUN)
    rows = read_labels(labelled.lake, labelled.spec, Partitions(DAY, end)).to_pylist()
    assert {row["parcel"] for row in rows} == {1, 2}


def test_a_day_is_mature_when_the_label_table_has_the_days_after_it(labelled: Toy) -> None:
    days = Partitions(DAY - timedelta(days=2), DAY + timedelta(days=2))
    assert mature_days(labelled.lake, labelled.spec, days) == [DAY]
    with pytest.raises(MissingInputError, match="validated_deliveries"):
        labelled.lake.catalog.drop_table("toy.validated_deliveries")
        mature_days(labelled.lake, labelled.spec, days)


def test_a_day_whose_label_table_ends_too_early_is_pooled_nowhere_and_named(labelled: Toy) -> None:
    days = Partitions(DAY, NEXT)
    entity = {"partition_date": NEXT, "ship_date": NEXT, "parcel": 1, "depot": "A", "visible_from": NEXT}
    at = datetime(2024, 1, 6, tzinfo=UTC)
    delivery = {"partition_date": NEXT, "ship_date": NEXT, "parcel": 1, "delay": 3.0, "delivered_at": at}
    for dataset, row in (
        (datasets.validated(labelled.spec, "parcels"), entity | {"weight": 1.0, "booked_at": at}),
        (datasets.validated(labelled.spec, "deliveries"), delivery | {"visible_from": NEXT + timedelta(days=1)}),
    ):
        kept = labelled.lake.scan(dataset.name, Partitions(NEXT, NEXT)).to_pylist()
        labelled.lake.publish(dataset, pa.Table.from_pylist([*kept, row], schema=dataset.arrow_schema()), [NEXT], RUN)
    assert {row["partition_date"] for row in read_labels(labelled.lake, labelled.spec, days).to_pylist()} == {DAY}
    assert immature_days(labelled.lake, labelled.spec, days) == (str(NEXT),)
    assert immature_days(labelled.lake, labelled.spec, days, as_of=NEXT) == (f"{DAY}..{NEXT}",)


def test_training_rows_are_features_with_a_label_in_the_order_of_the_key(labelled: Toy) -> None:
    rows = read_training_rows(labelled.lake, labelled.spec, Partitions(DAY, DAY))
    assert rows["parcel"].to_pylist() == [1, 2]
    assert rows["label"].to_pylist() == [0.0, 1.0]
    assert set(toy_features(labelled)) <= set(rows.column_names)


def test_training_rows_come_in_batches_of_a_size_and_in_one_order(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-12")
    days = Partitions(date(2024, 1, 1), date(2024, 1, 5))
    with labelled_rows(toy.lake, toy.spec, days) as rows:
        batches = list(rows.stream(128))
        assert len(rows) == sum(batch.num_rows for batch in batches)
        assert {batch.num_rows for batch in batches[:-1]} == {128}
        values = rows.values(["depot", "parcel"])
    found = pa.Table.from_batches(batches)
    assert found.equals(found.sort_by([("partition_date", "ascending"), ("parcel", "ascending")]))
    assert found.equals(read_training_rows(toy.lake, toy.spec, days).combine_chunks())
    assert {name: sorted(column.to_pylist()) for name, column in values.items()} == {
        name: sorted(set(found[name].to_pylist())) for name in ("depot", "parcel")
    }


def toy_features(toy: Toy) -> list[str]:
    return list(toy.spec.features.columns)


def test_without_validated_tables_it_says_what_is_missing(toy: Toy) -> None:
    with pytest.raises(MissingInputError, match="validated_parcels"):
        read_labels(toy.lake, toy.spec, Partitions(DAY, DAY))


# ---- one label an entity, whatever the label table holds ----

FIRST, MATURE = date(2024, 1, 5), 6
# Of one parcel: for each day after its shipping on which an outcome came, the delay, or null.
OUTCOMES = st.dictionaries(st.integers(-2, 10), st.sampled_from([3.0, 20.0, 90.0, None]), max_size=5)


def with_label(toy: Toy, **changes: object) -> PipelineSpec:
    return toy.spec.model_copy(update={"label": toy.spec.label.model_copy(update=changes)})


def publish_outcomes(toy: Toy, outcomes: list[dict[int, float | None]]) -> Partitions:
    """A parcel for each, shipped on three days in turn, and its outcomes: known at noon, visible a day later."""
    days = Partitions(FIRST - timedelta(days=2), FIRST + timedelta(days=13))
    at = datetime(2024, 1, 1, tzinfo=UTC)
    shipped = [FIRST + timedelta(days=n % 3) for n in range(len(outcomes))]
    parcels = [
        {"partition_date": day, "ship_date": day, "parcel": n, "depot": "A", "booked_at": at, "visible_from": day}
        for n, day in enumerate(shipped)
    ]
    came = [
        {
            "partition_date": day + timedelta(days=after), "ship_date": day, "parcel": n, "delay": delay,
            "delivered_at": datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=after, hours=17),
            "visible_from": day + timedelta(days=after + 1),
        }
        for n, (day, own) in enumerate(zip(shipped, outcomes, strict=True)) for after, delay in own.items()
    ]  # fmt: skip
    # A delivery of a parcel that nobody booked, so that the label table has every day.
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    came += [
        {"partition_date": d, "ship_date": d, "parcel": 999, "delay": 0.0, "delivered_at": noon, "visible_from": d}
        for d in days
    ]
    optional = toy.spec.tables["deliveries"]
    columns = {**optional.columns, "delay": optional.columns["delay"].model_copy(update={"required": False})}
    table = optional.model_copy(update={"columns": columns})
    spec = toy.spec.model_copy(update={"tables": {**toy.spec.tables, "deliveries": table}})
    for dataset, rows in (
        (datasets.validated(spec, "parcels"), parcels),
        (datasets.validated(spec, "deliveries"), came),
    ):
        toy.lake.publish(dataset, pa.Table.from_pylist(rows, schema=dataset.staged_schema()), days, RUN)
    return Partitions(FIRST, FIRST + timedelta(days=2))


def label_of(own: dict[int, float | None], counts: str, known: int | None) -> float | None:
    """The rule in plain words: of the outcomes in time and known by then, the newest or the first; null is none."""
    seen = sorted(after for after in own if 0 <= after <= MATURE and (known is None or after + 1 <= known))
    chosen = own[seen[-1 if counts == "newest" else 0]] if seen else None
    return None if chosen is None else float(chosen > 15)


@given(st.lists(OUTCOMES, min_size=1, max_size=30), st.sampled_from(["newest", "first"]))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_label_table_gives_one_label_an_entity(
    toy: Toy, outcomes: list[dict[int, float | None]], counts: str
) -> None:
    days = publish_outcomes(toy, outcomes)
    spec = with_label(toy, mature_after_days=MATURE, counts=counts)
    for as_of in (None, FIRST + timedelta(days=MATURE + 2)):
        expected = {}
        for n, own in enumerate(outcomes):
            known = (as_of - FIRST).days - n % 3 if as_of else None
            if known is not None and known <= MATURE:
                continue  # its day is not mature yet
            expected |= {n: label} if (label := label_of(own, counts, known)) is not None else {}
        rows = read_labels(toy.lake, spec, days, as_of)
        assert dict(zip(rows["parcel"].to_pylist(), rows["label"].to_pylist(), strict=True)) == expected
        assert rows.num_rows == len(expected)
    by_day = [read_labels(toy.lake, spec, Partitions(day, day), as_of) for day in days]
    assert pa.concat_tables(by_day).equals(rows)


def test_a_later_outcome_counts_from_the_cutoff_that_sees_it(toy: Toy) -> None:
    days = publish_outcomes(toy, [{0: 3.0, 5: 90.0}])
    spec = with_label(toy, mature_after_days=MATURE)
    as_of = {n: read_labels(toy.lake, spec, days, FIRST + timedelta(days=n))["label"].to_pylist() for n in (1, 6, 7)}
    assert as_of == {1: [], 6: [], 7: [1.0]}, "a day counts once all of its labels are known"


def test_later_outcomes_have_an_earlier_one_of_their_key(toy: Toy) -> None:
    days = publish_outcomes(toy, [{0: 3.0, 5: 90.0}, {0: 3.0}, {1: 3.0, 9: 90.0}])
    window = Partitions(days.start, days.end + timedelta(days=9))
    spec = with_label(toy, mature_after_days=MATURE)
    with later_outcomes(toy.lake, spec, window, None) as rows:
        found = rows.read_all().to_pylist()
    # The ninth day of parcel 2 is beyond what is remembered.
    assert found == [{"partition_date": FIRST + timedelta(days=5), "ship_date": FIRST, "parcel": 0}]
    later = Partitions(FIRST + timedelta(days=5), FIRST + timedelta(days=5))
    with later_outcomes(toy.lake, spec, later, None) as rows:
        assert rows.read_all().to_pylist() == found


@pytest.mark.parametrize(
    ("expression", "task", "words"),
    [
        ("1 / (delay - 3)", "regression", r"1 labels are not finite; the first: .*'parcel': '1', 'label': 'inf'"),
        ("delay", "binary", r"2 labels are not 0 or 1; the first: .*'parcel': '1', 'label': '3.0'"),
        ("CAST(-delay AS UTINYINT)", "regression", r"\(CAST.*\) of validated_deliveries has no value: .*out of range"),
        ("dealy", "binary", r"label.expression \(dealy\) of validated_deliveries has no value: .*dealy"),
    ],
)
def test_a_label_that_is_none_is_refused_where_it_is_joined(
    labelled: Toy, expression: str, task: str, words: str
) -> None:
    spec = with_label(labelled, expression=expression).model_copy(update={"task": task})
    for read in (read_labels, read_training_rows):
        with pytest.raises(DataError, match=words):
            read(labelled.lake, spec, Partitions(DAY, DAY))
        with pytest.raises(DataError) as refused:
            read(labelled.lake, with_personal(spec, "parcels", "parcel"), Partitions(DAY, DAY))
        assert "'parcel': '1'" not in str(refused.value)


def test_an_entity_that_would_count_twice_is_refused(labelled: Toy) -> None:
    again = pa.concat_tables([labelled.lake.scan("features")] * 2)
    longer = datasets.features(labelled.spec)
    longer = type(longer)(longer.name, longer.doc, longer.columns, (), longer.partition_by)
    with labelled.lake.table("features").transaction() as transaction:
        transaction.remove_properties(KEY)
    labelled.lake.publish(longer, again, [DAY], RUN)
    for spec, shown in ((labelled.spec, "1"), (with_personal(labelled.spec, "parcels", "parcel"), "•••")):
        said = rf"2 entities would be counted more than once, the first: .*'parcel': '{shown}'"
        with pytest.raises(DataError, match=said):
            read_training_rows(labelled.lake, spec, Partitions(DAY, DAY))


def test_little_memory_sorts_on_few_threads(labelled: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each thread merges stays in memory, whatever the limit."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found = {}
    for limit in (64, 2**20):
        small = labelled.settings.model_copy(update={"memory_limit": limit * 2**20})
        with labelled_rows(Lake(small, "toy"), labelled.spec, Partitions(DAY, DAY)) as rows:
            assert rows.stream().read_all().num_rows == 2
            ((found[limit],),) = rows.connection.execute("SELECT current_setting('threads')").fetchall()
    assert found == {64: 1, 2**20: 8}
