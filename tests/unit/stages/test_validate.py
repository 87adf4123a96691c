"""Validate: typed rows, quarantine and refusals, and what readers see meanwhile."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Toy
from tests.landed import landed_path, lines_of, set_field, write_lines
from tests.unit.lake.labels_read import read_labels

from contrail.adapters.contracts import Contract, Reference
from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError, PartitionRefusedError, SpecError
from contrail.lake import datasets
from contrail.partitions import Partitions
from contrail.stages.options import IngestOptions
from contrail.stages.runner import make_run

DAY, NEXT, LAST = "2024-01-05", "2024-01-06", "2024-01-07"


@pytest.fixture
def landed(toy: Toy) -> Toy:
    """Three days in the landing zone."""
    toy.land(DAY, LAST)
    return toy


def both(toy: Toy, start: str, end: str | None = None, **options: Any) -> Any:
    toy.run("ingest", start, end, **options)
    return toy.run("validate", start, end, **options)


def quarantine(toy: Toy) -> list[tuple[str, str, int]]:
    return toy.sql("SELECT table_name, rule, line FROM quarantine ORDER BY ALL")


def count(toy: Toy, table: str) -> int:
    ((rows,),) = toy.sql(f"SELECT count(*) FROM {table}")
    return int(rows)


def test_good_rows_are_typed_and_know_when_they_are_visible(landed: Toy) -> None:
    result = both(landed, DAY, LAST)
    assert (result.rows, result.quarantined) == (363, 0)
    rows = landed.sql(
        "SELECT DISTINCT typeof(delay), typeof(delivered_at), visible_from - partition_date FROM validated_deliveries"
    )
    assert rows == [("DOUBLE", "TIMESTAMP WITH TIME ZONE", 1)]
    assert landed.sql("SELECT DISTINCT visible_from - partition_date FROM validated_parcels") == [(0,)]
    assert quarantine(landed) == []


def test_a_bad_row_is_set_aside_with_its_reason_and_the_others_pass(landed: Toy) -> None:
    set_field(landed, "parcels", DAY, 4, "weight", "-3")
    result = both(landed, DAY, LAST)
    assert (result.rows, result.quarantined) == (362 - 1, 2)  # its delivery has no parcel any more
    ((rule, detail, row, file, line, run_id),) = landed.sql(
        "SELECT rule, detail, row, file, line, run_id FROM quarantine WHERE table_name = 'parcels'"
    )
    assert (rule, file, line, run_id) == ("weight_range", f"parcels/{DAY}.csv.gz", 4, result.run_id)
    assert (
        detail
        == "weight values must be greater than or equal to 0.0 and less than or equal to 1000.0. Found weight=-3.0"
    )
    assert json.loads(row)["weight"] == "-3" and list(json.loads(row)) == lines_of(landed, "parcels", DAY)[0].split(",")
    assert result.details.quarantined == {"parcels": {"weight_range": 1}, "deliveries": {"scheduled": 1}}


def test_validating_again_leaves_the_same_rows(landed: Toy) -> None:
    set_field(landed, "parcels", DAY, 4, "weight", "-3")
    both(landed, DAY, LAST)
    before = {t: landed.sql(f"SELECT * FROM {t} ORDER BY ALL") for t in ("validated_parcels", "validated_deliveries")}
    aside = quarantine(landed)
    for start, end in ((DAY, DAY), (NEXT, LAST), (DAY, LAST)):
        landed.run("validate", start, end)
    assert {t: landed.sql(f"SELECT * FROM {t} ORDER BY ALL") for t in before} == before
    assert quarantine(landed) == aside


def test_a_mended_row_leaves_the_quarantine(landed: Toy) -> None:
    good = lines_of(landed, "parcels", DAY)
    set_field(landed, "parcels", DAY, 4, "weight", "-3")
    both(landed, DAY)
    write_lines(landed, "parcels", DAY, good)
    both(landed, DAY)
    assert quarantine(landed) == [] and count(landed, "validated_parcels") == 60


def test_a_partition_with_too_many_bad_rows_is_refused_and_the_old_one_stays(landed: Toy) -> None:
    both(landed, DAY, LAST)
    for line in range(2, 9):
        set_field(landed, "parcels", DAY, line, "depot", "")
    set_field(landed, "parcels", NEXT, 2, "weight", "1.5")
    landed.run("ingest", DAY, LAST)
    with pytest.raises(PartitionRefusedError) as caught:
        landed.run("validate", DAY, LAST)
    message = str(caught.value)
    assert "1 partition refused; all others are published (300 rows)" in message
    assert "at most 0.1 of a partition's rows may be bad. Found bad_share=0.11666" in message
    assert f"(not_null:depot 7). First: parcels/{DAY}.csv.gz, line 2: not_null:depot: column depot" in message
    assert count(landed, "validated_parcels") == 180  # as before
    assert landed.sql(f"SELECT weight FROM validated_parcels WHERE partition_date = '{NEXT}' AND parcel = 0") == [
        (1.5,)
    ]
    assert landed.sql("SELECT partition_date::VARCHAR, stage, table_name, rule FROM refusals") == [
        (DAY, "validate", "parcels", "bad_share")
    ]
    assert len(quarantine(landed)) == 7


def test_a_mended_partition_is_no_longer_refused(landed: Toy) -> None:
    good = lines_of(landed, "parcels", DAY)
    write_lines(landed, "parcels", DAY, good[:5])
    landed.run("ingest", DAY)
    with pytest.raises(PartitionRefusedError, match=r"volume: rows values must be .* Found rows=4"):
        landed.run("validate", DAY)
    write_lines(landed, "parcels", DAY, good)
    both(landed, DAY)
    assert count(landed, "refusals") == 0


def test_a_feed_that_stopped_is_refused(landed: Toy) -> None:
    for line, fields in enumerate(lines_of(landed, "deliveries", DAY)[1:], start=2):
        at = fields.split(",")[3]
        if at > f"{DAY}T22:00:00Z":
            set_field(landed, "deliveries", DAY, line, "delivered_at", f"{DAY}T15:00:00Z")
    landed.run("ingest", DAY)
    with pytest.raises(PartitionRefusedError, match=r"feed_to_the_evening: .* Found known_to_hour=1"):
        landed.run("validate", DAY)


def test_a_row_refers_only_to_partitions_that_are_in_the_lake(landed: Toy) -> None:
    """A backfill may begin in the middle: what lies before it cannot be looked up."""
    set_field(landed, "deliveries", NEXT, 2, "ship_date", DAY)
    set_field(landed, "deliveries", NEXT, 2, "parcel", "777")
    assert both(landed, NEXT).quarantined == 0
    both(landed, DAY)
    landed.run("validate", NEXT)
    assert quarantine(landed) == [("deliveries", "scheduled", 2)]


def test_a_row_refers_to_partitions_before_the_range(landed: Toy) -> None:
    both(landed, DAY)
    first = lines_of(landed, "deliveries", DAY)
    late = first[1].split(",")
    write_lines(landed, "deliveries", DAY, [first[0], *first[2:]])
    both(landed, DAY)
    later = ",".join([*late[:3], f"{NEXT}T15:00:00Z"])
    write_lines(landed, "deliveries", NEXT, [*lines_of(landed, "deliveries", NEXT), later])
    assert both(landed, NEXT).quarantined == 0
    assert landed.sql(f"SELECT count(*) FROM validated_deliveries WHERE ship_date = '{DAY}'") == [(60,)]


@pytest.mark.parametrize("by_day", [True, False])
def test_an_outcome_that_comes_twice_counts_once(landed: Toy, by_day: bool) -> None:
    again = lines_of(landed, "deliveries", DAY)[1].split(",")
    line = ",".join([*again[:3], f"{NEXT}T15:00:00Z"])
    write_lines(landed, "deliveries", NEXT, [*lines_of(landed, "deliveries", NEXT), line])
    for start, end in [(DAY, DAY), (NEXT, NEXT)] if by_day else [(DAY, NEXT)]:
        both(landed, start, end)
    assert quarantine(landed) == [("deliveries", "unique_key", 62)]


@pytest.mark.parametrize(
    ("counts", "delay", "aside"),
    [("newest", "99.0", []), ("newest", None, ["unique_key"]), ("first", "99.0", ["unique_key"])],
    ids=["correction", "repetition", "only the first counts"],
)
def test_an_outcome_that_comes_again_before_it_is_mature(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, counts: str, delay: str | None, aside: list[str]
) -> None:
    label = toy.spec.label.model_copy(update={"mature_after_days": 6, "counts": counts})
    changed = replace(toy.pipeline, spec=toy.spec.model_copy(update={"label": label}))
    monkeypatch.setattr("contrail.stages.runner.load_pipeline", lambda _: changed)
    toy.land(DAY, "2024-01-11")
    first = lines_of(toy, "deliveries", DAY)[1].split(",")
    again = ",".join([*first[:2], delay or first[2], "2024-01-11T15:00:00Z"])
    write_lines(toy, "deliveries", "2024-01-11", [*lines_of(toy, "deliveries", "2024-01-11"), again])
    both(toy, DAY, "2024-01-10")
    both(toy, "2024-01-11")
    assert [rule for _, rule, _ in quarantine(toy)] == aside
    found = read_labels(toy.lake, changed.spec, Partitions.parse(DAY))
    assert found.num_rows == 60
    assert found["label"][0].as_py() == float(float(delay if counts == "newest" and delay else first[2]) > 15)


def test_any_whole_number_of_64_bits_passes_unchanged(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    column = landed.spec.tables["parcels"].columns["weight"].model_copy(update={"type": "int"})
    columns = {**landed.spec.tables["parcels"].columns, "weight": column}
    source = landed.spec.tables["parcels"].model_copy(update={"columns": columns})
    changed = landed.spec.model_copy(update={"tables": {**landed.spec.tables, "parcels": source}})
    monkeypatch.setattr("contrail.stages.runner.load_pipeline", lambda _: replace(landed.pipeline, spec=changed))
    kept = [9007199254740993, 2**63 - 1, -(2**63), None]
    texts = [*("" if number is None else str(number) for number in kept), str(2**63), "1" * 400]
    rows = [f"{DAY},{n},A,{text},2024-01-04T23:00:00Z" for n, text in enumerate(texts)]
    write_lines(landed, "parcels", DAY, [lines_of(landed, "parcels", DAY)[0], *rows])
    landed.run("ingest", DAY)
    limit = Contract(rows={"range": _between("weight")}, max_bad_share=0.5)
    with_contracts(landed, monkeypatch, parcels=limit)
    landed.run("validate", DAY)
    assert landed.sql("SELECT weight FROM validated_parcels ORDER BY parcel") == [(number,) for number in kept]
    found = landed.sql("SELECT line, detail FROM quarantine WHERE table_name = 'parcels' ORDER BY line")
    assert [(line, "it is outside -9223372036854775808 to" in detail) for line, detail in found] == [
        (6, True),
        (7, True),
    ]


def _between(column: str) -> Any:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=-(2**63), max_value=2**63)


def test_one_outcome_without_a_label_is_set_aside(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    label = landed.spec.label.model_copy(update={"expression": "1 / (delay - 777)"})
    changed = landed.spec.model_copy(update={"label": label, "task": "regression"})
    monkeypatch.setattr("contrail.stages.runner.load_pipeline", lambda _: replace(landed.pipeline, spec=changed))
    set_field(landed, "deliveries", DAY, 4, "delay", "777")
    assert both(landed, DAY).quarantined == 1
    ((rule, detail),) = landed.sql("SELECT rule, detail FROM quarantine")
    assert (rule, detail) == ("label", "label.expression gives inf, and a label is a finite number")


def test_as_of_a_cutoff_a_table_ahead_and_the_others_of_the_day_before(landed: Toy) -> None:
    landed.run("ingest", DAY, NEXT)
    landed.run("validate", NEXT, as_of_cutoff=True)
    assert landed.sql("SELECT DISTINCT partition_date::VARCHAR FROM validated_parcels") == [(NEXT,)]
    assert landed.sql("SELECT DISTINCT partition_date::VARCHAR FROM validated_deliveries") == [(DAY,)]


def test_an_unchanged_reference_table_is_not_published_again(landed: Toy) -> None:
    both(landed, DAY)
    before = landed.lake.snapshot_id("validated_depots")
    both(landed, NEXT)
    assert landed.lake.snapshot_id("validated_depots") == before
    write_lines(landed, "depots", "reference", [*lines_of(landed, "depots", "reference"), "D,99.0"])
    both(landed, NEXT)
    assert count(landed, "validated_depots") == 4


def test_a_bad_reference_table_is_refused_and_the_old_one_stays(landed: Toy) -> None:
    both(landed, DAY)
    write_lines(landed, "depots", "reference", [*lines_of(landed, "depots", "reference"), "D,far"])
    landed.run("ingest", NEXT)
    with pytest.raises(PartitionRefusedError, match=r"depots/reference\.csv\.gz, line 5: type:distance"):
        landed.run("validate", NEXT)
    assert count(landed, "validated_depots") == 3
    assert count(landed, "validated_parcels") == 120  # the day itself is published all the same


def test_before_ingest_there_is_nothing_to_validate(landed: Toy) -> None:
    with pytest.raises(MissingInputError, match="raw_depots"):
        landed.run("validate", DAY)


def test_a_partition_that_was_not_ingested_is_refused(landed: Toy) -> None:
    landed.run("ingest", DAY, NEXT)
    with pytest.raises(PartitionRefusedError, match=r"parcels 2024-01-07: missing_partition: raw_parcels has no rows"):
        landed.run("validate", DAY, LAST)
    assert count(landed, "validated_parcels") == 120


def test_a_day_that_is_not_due_may_be_left_but_not_one_that_was_published(landed: Toy) -> None:
    landed.run("ingest", DAY, NEXT)
    landed.run("validate", DAY, LAST, leave_missing=True)
    assert count(landed, "validated_parcels") == 120
    assert LAST not in map(str, landed.lake.partitions("validated_parcels"))
    run = make_run("ingest", "toy", Partitions.parse(NEXT), options=IngestOptions())
    rows = landed.lake.scan("raw_parcels").schema.empty_table()
    landed.lake.publish(datasets.raw(landed.spec, "parcels"), rows, [date.fromisoformat(NEXT)], run.provenance({}))
    with pytest.raises(PartitionRefusedError, match=f"parcels {NEXT}: missing_partition: raw_parcels has no rows"):
        landed.run("validate", NEXT, leave_missing=True)
    assert count(landed, "validated_parcels") == 120, "what was published stays"


def test_a_day_without_rows_is_no_error_where_the_spec_allows_it(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    source = landed.spec.tables["deliveries"].model_copy(update={"may_be_empty": True})
    spec = landed.spec.model_copy(update={"tables": {**landed.spec.tables, "deliveries": source}})
    monkeypatch.setattr("contrail.stages.runner.load_pipeline", lambda _: replace(landed.pipeline, spec=spec))
    landed_path(landed, "deliveries", NEXT).unlink()
    write_lines(landed, "deliveries", LAST, lines_of(landed, "deliveries", LAST)[:1])
    both(landed, DAY, LAST)
    assert count(landed, "validated_deliveries") == 60
    assert not landed.lake.exists("refusals") or count(landed, "refusals") == 0


def test_the_snapshot_names_its_inputs(landed: Toy) -> None:
    result = both(landed, DAY)
    entry = landed.lake.history("validated_deliveries")[0]
    assert entry.snapshot == result.snapshots["validated_deliveries"]
    assert entry.provenance.inputs == {
        "raw_deliveries": landed.lake.snapshot_id("raw_deliveries"),
        "validated_parcels": landed.lake.snapshot_id("validated_parcels"),
    }


def test_the_report_says_what_broke(landed: Toy) -> None:
    set_field(landed, "parcels", DAY, 4, "weight", "-3")
    page, site = both(landed, DAY).reports
    text = Path(page).read_text()
    assert "weight=-3.0" in text and "some rows set aside" in text
    assert Path(site).exists()


def test_visible_from_at_the_changes_of_clock(toy: Toy) -> None:
    """The day of 10 March 2024 has 23 hours in New York."""
    toy.land("2024-03-09", "2024-03-10")
    both(toy, "2024-03-09", "2024-03-10")
    rows = toy.sql("SELECT DISTINCT partition_date, visible_from FROM validated_deliveries ORDER BY ALL")
    assert rows == [(day, day + timedelta(days=1)) for day in (date(2024, 3, 9), date(2024, 3, 10))]


# ---- contracts that cannot be ----


def with_contracts(toy: Toy, monkeypatch: pytest.MonkeyPatch, **contracts: Contract) -> None:
    monkeypatch.setattr(Pipeline, "function", lambda *_: lambda: contracts)


def derived_gap(sql: str, brings: tuple[str, ...] = ("booked_at",), name: str = "gap") -> Contract:
    """A contract of deliveries: they come 14 to 28 hours after the booking that their reference brings."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={"gap": gxe.ExpectColumnValuesToBeBetween(column=name, min_value=14, max_value=28)},
        references={"parcel_of": Reference(("ship_date", "parcel"), "parcels", partition="ship_date", brings=brings)},
        derived={name: sql},
    )


def test_a_rule_sees_a_value_derived_from_the_partner(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    set_field(landed, "deliveries", DAY, 4, "delivered_at", f"{DAY}T23:59:00-05:00")
    with_contracts(landed, monkeypatch, deliveries=derived_gap("epoch(delivered_at - parcel_of.booked_at) / 3600"))
    both(landed, DAY)
    assert quarantine(landed) == [("deliveries", "gap", 4)]
    ((detail,),) = landed.sql("SELECT detail FROM quarantine")
    assert detail.endswith("Found gap=29.9833333333333")


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (derived_gap("epoch(delivered_at - parcel_of.bookd)"), "deliveries, derived, gap: .*bookd"),
        (derived_gap("1 / (delay"), "derived, gap: .*syntax error"),
        (derived_gap("delay FROM t --"), "derived, gap: .*syntax error"),
        (derived_gap("ship_date::VARCHAR::INT"), "derived value .*Could not convert"),
        (derived_gap("1", brings=("bookd_at",)), "brings: there is no 'bookd_at'; did you mean 'booked_at'"),
        (derived_gap("1", name="delay"), "'delay' is a column"),
        (derived_gap("1", name="parcel_of"), "'parcel_of' is a column or a reference"),
    ],
)
def test_a_derived_value_that_cannot_be_is_refused(
    landed: Toy, monkeypatch: pytest.MonkeyPatch, contract: Contract, words: str
) -> None:
    with_contracts(landed, monkeypatch, deliveries=contract)
    landed.run("ingest", DAY)
    with pytest.raises(SpecError, match=words):
        landed.run("validate", DAY)


def test_a_contract_of_an_unknown_table_is_refused(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    with_contracts(landed, monkeypatch, parcel=Contract())
    with pytest.raises(SpecError, match=r"expectations.py: there is no 'parcel'; did you mean 'parcels'"):
        landed.run("validate", DAY)


def test_a_rule_on_an_unknown_column_is_refused(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations.expectations as gxe

    rule = gxe.ExpectColumnValuesToBeBetween(column="wieght", min_value=0)
    with_contracts(landed, monkeypatch, parcels=Contract(rows={"weight": rule}))
    with pytest.raises(SpecError, match="parcels, rows: there is no 'wieght'; did you mean 'weight'"):
        landed.run("validate", DAY)
    with_contracts(landed, monkeypatch, parcels=Contract(partitions={"weight": rule}))
    with pytest.raises(SpecError, match="parcels, partitions: there is no 'wieght'"):
        landed.run("validate", DAY)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (Reference(("depot",), "depot"), "did you mean 'depots'"),
        (Reference(("depo",), "depots"), "did you mean 'depot'"),
        (Reference(("depot",), "depots", to=("code",)), "there is no 'code'"),
        (Reference(("parcel",), "deliveries"), "partition is needed for a daily table"),
        (Reference(("depot",), "depots", partition="ship_date"), "and for no other"),
    ],
)
def test_a_reference_to_nothing_is_refused(
    landed: Toy, monkeypatch: pytest.MonkeyPatch, reference: Reference, words: str
) -> None:
    with_contracts(landed, monkeypatch, parcels=Contract(references={"known": reference}))
    with pytest.raises(SpecError, match=words):
        landed.run("validate", DAY)


def test_references_in_a_circle_are_refused(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ("ship_date", "parcel")
    with_contracts(
        landed,
        monkeypatch,
        parcels=Contract(references={"delivered": Reference(key, "deliveries", partition="ship_date")}),
        deliveries=Contract(references={"booked": Reference(key, "parcels", partition="ship_date")}),
    )
    with pytest.raises(SpecError, match="in a circle"):
        landed.run("validate", DAY)


def test_without_a_contract_the_rules_of_every_table_hold(landed: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    set_field(landed, "parcels", DAY, 4, "weight", "heavy")
    set_field(landed, "parcels", DAY, 5, "weight", "-3")
    landed.run("ingest", DAY)
    with_contracts(landed, monkeypatch)
    assert landed.run("validate", DAY).quarantined == 1
