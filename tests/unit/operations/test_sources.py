"""Source rows: exactly those that the stage of features gives to ``build``, each with its landed file and line."""

import csv
import gzip
from datetime import UTC, date, datetime
from typing import Any

import pytest
from tests.conftest import Toy
from tests.landed import landed_path, set_field, write_lines
from tests.landed import lines_of as landed
from tests.unit.lake.test_views import with_personal
from tests.unit.operations.explained import CORRECTED, DAY
from tests.unit.operations.test_replay import replay

from contrail.operations.receipt import receipt_of
from contrail.operations.sources import ROW, SHARED, Source, given, sources_of
from contrail.stages import features

ON = date.fromisoformat(DAY)


@pytest.fixture
def sources(answered: Toy) -> dict[str, Source]:
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED})
    return {source.table: source for source in sources_of(answered.lake, answered.spec, receipt)}


def comparable(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(tuple(f"{name}={value}" for name, value in sorted(row.items())) for row in rows)


def test_they_are_those_that_the_stage_gives_to_build(answered: Toy) -> None:
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED})
    assert receipt.features is not None
    run = answered.stage_run("features", DAY)
    with given(answered.lake, answered.spec, receipt) as found:
        assert set(found.tables) == set(answered.spec.tables)
        for table in found.tables:
            read = features._read(run, table, receipt.features.inputs[f"validated_{table}"], {}).toArrow()
            own = found.connection.sql(f"SELECT * FROM given_{table}").to_arrow_table().select(read.column_names)
            assert own.num_rows
            utc = [{n: v.replace(tzinfo=None) if hasattr(v, "tzinfo") and v.tzinfo else v for n, v in row.items()}
                   for row in own.to_pylist()]  # fmt: skip
            there = [{n: v.replace(tzinfo=None) if hasattr(v, "tzinfo") and v.tzinfo else v for n, v in row.items()}
                     for row in read.to_pylist()]  # fmt: skip
            assert comparable(utc) == comparable(there), table


def test_each_shown_row_stands_on_the_line_of_the_file_that_it_names(answered: Toy, sources: dict[str, Source]) -> None:
    seen = 0
    for table, source in sources.items():
        for row in source.shown:
            assert row.file is not None
            day, _, revision = row.file.removeprefix(f"{table}/").removesuffix(".csv.gz").partition(".")
            path = landed_path(answered, table, day, int(revision or 1))
            head, *_ = lines = gzip.decompress(path.read_bytes()).decode().splitlines()
            assert row.line is not None
            (landed,) = csv.DictReader([head, lines[row.line - 1]])
            for name, text in landed.items():
                assert same(row.values[name], text), (table, name)
            seen += 1
    assert seen > 20


def same(value: Any, text: str) -> bool:
    if isinstance(value, float):
        return value == float(text)
    return str(value).replace(" ", "T")[:16] == text.replace(" ", "T")[:16]


def test_the_own_row_comes_first_and_from_the_file_that_corrected_it(sources: dict[str, Source]) -> None:
    own = sources["parcels"].shown[0]
    assert own.shares == ("ship_date", "parcel", "depot")
    assert (own.file, own.line) == (f"parcels/{DAY}.2.csv.gz", CORRECTED + 2)
    assert own.values["weight"] == 19.5


def test_rows_that_a_join_brings_near_are_near(answered: Toy, sources: dict[str, Source]) -> None:
    depot = sources["parcels"].shown[0].values["depot"]
    (reference,) = [row for row in sources["depots"].shown if "depot" in row.shares]
    assert reference.values["depot"] == depot
    # A delivery has no depot; its parcel has.
    parcels = answered.lake.scan("validated_parcels").to_pylist()
    of_depot = {(str(row["ship_date"]), row["parcel"]) for row in parcels if row["depot"] == depot}
    near = [row for row in sources["deliveries"].shown if "depot" in row.shares]
    assert near
    assert {(str(row.values["ship_date"]), row.values["parcel"]) for row in near} <= of_depot


def test_nothing_that_was_known_later_is_among_them(sources: dict[str, Source]) -> None:
    days = [group.last for group in sources["deliveries"].groups]
    assert max(day for day in days if day) < ON
    assert all(group.first and (ON - group.first).days <= 7 for group in sources["deliveries"].groups)
    assert sources["deliveries"].rows == sum(group.rows for group in sources["deliveries"].groups)
    assert sum(sources["deliveries"].files.values()) == sources["deliveries"].rows


def test_the_contract_and_code_that_validated_them_are_named(answered: Toy, sources: dict[str, Source]) -> None:
    found = {one.days: one for one in sources["parcels"].checked}
    assert len(found) == 2, "the corrected day was validated again"
    assert (DAY,) in found
    made = answered.lake.lineage("validated_parcels").maker(ON)
    assert made is not None
    assert found[(DAY,)].run_id == made.provenance.run_id
    assert len(found[(DAY,)].contract) == 12
    assert found[(DAY,)].code_revision == made.provenance.code_revision


def test_of_an_earlier_version_they_are_the_rows_of_then(answered: Toy) -> None:
    rows = answered.lake.history("predictions")[1]
    earlier = answered.lake.table("predictions").snapshot_by_id(rows.snapshot).timestamp_ms / 1000
    moment = datetime.fromtimestamp(earlier, UTC)
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED}, as_of=moment)
    (own, *_) = sources_of(answered.lake, answered.spec, receipt)[0].shown
    assert (own.file, own.line) == (f"parcels/{DAY}.csv.gz", CORRECTED + 2)
    assert own.values["weight"] != 19.5


def test_a_row_that_somebody_mended_has_the_line_of_the_file_and_who_mended_it(answered: Toy) -> None:
    parcel, line = 3, 3 + 2
    before = landed(answered, "parcels", DAY)
    set_field(answered, "parcels", DAY, line, "weight", "1x5")
    spoilt = landed(answered, "parcels", DAY)
    write_lines(answered, "parcels", DAY, before)
    write_lines(answered, "parcels", DAY, spoilt, revision=3)
    for verb in ("ingest", "validate", "features"):
        answered.run(verb, DAY)
    file = f"parcels/{DAY}.3.csv.gz"
    replay(answered, f"_file,_line,weight\n{file},{line},1.25\n").run()
    answered.run("score", DAY, model="1")
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": parcel})
    (parcels,) = [one for one in sources_of(answered.lake, answered.spec, receipt) if one.table == "parcels"]
    own = parcels.shown[0]
    assert (own.values["parcel"], own.values["weight"]) == (parcel, 1.25)
    assert (own.file, own.line) == (file, line)
    assert own.mended is not None and own.mended.startswith("eve mended it on ")
    assert own.mended.endswith("(slips of the pen)")
    assert all(row.file and not row.mended for row in parcels.shown[1:])


def test_values_of_persons_are_not_shown(answered: Toy) -> None:
    spec = with_personal(answered.spec, "parcels", "weight")
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED})
    hidden = {row.values["weight"] for row in sources_of(answered.lake, spec, receipt)[0].shown}
    seen = {row.values["weight"] for row in sources_of(answered.lake, spec, receipt, personal=True)[0].shown}
    assert hidden == {None}
    assert None not in seen


def test_a_snapshot_that_has_expired_is_told(answered: Toy) -> None:
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED})
    assert receipt.features is not None
    inputs = {**receipt.features.inputs, "validated_parcels": 1}
    old = receipt.model_copy(update={"features": receipt.features.model_copy(update={"inputs": inputs})})
    (parcels, *others) = sources_of(answered.lake, answered.spec, old)
    assert "no snapshot 1, or it has expired" in parcels.gone
    assert (parcels.rows, parcels.shown) == (0, ())
    assert all(source.rows for source in others)


def test_rows_are_numbered_the_nearest_last(answered: Toy) -> None:
    receipt = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": CORRECTED})
    with given(answered.lake, answered.spec, receipt) as found:
        rows = found.connection.sql(f"SELECT {ROW}, len({SHARED}) FROM given_parcels ORDER BY 1").fetchall()
    assert [number for number, _ in rows] == list(range(len(rows)))
    assert [shared for _, shared in rows] == sorted(shared for _, shared in rows)
