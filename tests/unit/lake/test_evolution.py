"""A table follows its dataset: every change that Iceberg can make is made, and any other is refused with the way out."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.schema import Schema
from pyiceberg.types import DateType, FloatType, IntegerType, LongType, NestedField
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, LOOKUP, provenance

from contrail.config.table_spec import ColumnSpec
from contrail.errors import SchemaError
from contrail.lake import readers
from contrail.lake.catalog import Tables
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake

SIZE = ColumnSpec(type="float", required=False)
VALUES: Mapping[str, list[Any]] = {
    "string": ["red", "red"],
    "int": [7, 7],
    "float": [0.5, 0.5],
    "bool": [True, True],
    "date": [DAY1, DAY1],
    "timestamp": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
}


def items(**columns: ColumnSpec) -> Dataset:
    own = {name: ITEMS.columns[name] for name in ("partition_date", "id")}
    return replace(ITEMS, columns={**own, **columns})


def publish(lake: Lake, dataset: Dataset, day: date) -> int:
    """Two rows of a day, with a value in every column."""
    values = {name: VALUES[column.type] for name, column in dataset.columns.items()}
    staged = pa.table({**values, "partition_date": [day] * 2, "id": [0, 1]}, dataset.staged_schema())
    return lake.publish(dataset, staged, [day], provenance())


def seen(lake: Lake, column: str) -> dict[date, Any]:
    """A value of each day, as DuckDB and as Arrow read it, which must agree."""
    with lake.connect() as connection:
        by_sql = dict(connection.sql(f'SELECT partition_date, any_value("{column}") FROM items GROUP BY 1').fetchall())
    rows = lake.scan("items", columns=["partition_date", column])
    assert dict(zip(*rows.to_pydict().values(), strict=True)) == by_sql
    return by_sql


def columns_of(lake: Lake) -> list[str]:
    with lake.connect() as connection:
        return connection.sql("FROM items").columns


def test_a_column_is_added_where_the_spec_has_it(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    publish(lake, items(size=SIZE, colour=ITEMS.columns["colour"]), DAY2)
    assert columns_of(lake) == lake.scan("items").column_names == ["partition_date", "id", "size", "colour"]
    assert seen(lake, "size") == {DAY1: None, DAY2: 0.5}


def test_a_column_that_no_row_has_yet_is_shown_as_null(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    lake.ensure(items(colour=ITEMS.columns["colour"], size=SIZE))
    assert seen(lake, "size") == {DAY1: None}


def test_a_required_column_may_become_optional_and_stays_so(lake: Lake) -> None:
    strict = items(colour=ColumnSpec(type="string"))
    publish(lake, strict, DAY1)
    loose = items(colour=ColumnSpec(type="string", required=False))
    empty = pa.table({"partition_date": [DAY2], "id": [0], "colour": [None]}, loose.staged_schema())
    lake.publish(loose, empty, [DAY2], provenance())
    assert seen(lake, "colour") == {DAY1: "red", DAY2: None}
    publish(lake, strict, DAY1)
    assert not lake.table("items").schema().find_field("colour").required, "the rows of the second day have none"


def test_narrow_numbers_are_widened(lake: Lake) -> None:
    narrow = Schema(
        NestedField(1, "partition_date", DateType(), required=True),
        NestedField(2, "id", IntegerType(), required=True),
        NestedField(3, "size", FloatType()),
    )
    lake.catalog.create_namespace("shop")
    table = lake.catalog.create_table("shop.items", narrow)
    kinds = [pa.field("partition_date", pa.date32(), False), pa.field("id", pa.int32(), False)]
    kinds.append(pa.field("size", pa.float32()))
    table.append(pa.table({"partition_date": [DAY1], "id": [4], "size": [0.25]}, pa.schema(kinds)))
    wide = replace(items(size=SIZE), partition_by=())
    lake.bring_up_to_date([wide])
    assert isinstance(lake.table("items").schema().find_field("id").field_type, LongType)
    assert seen(lake, "id") == {DAY1: 4}
    assert seen(lake, "size") == {DAY1: 0.25}


def test_a_column_that_left_the_spec_is_in_older_snapshots_only_and_comes_back_with_its_values(lake: Lake) -> None:
    first = publish(lake, ITEMS, DAY1)
    publish(lake, items(), DAY2)
    assert columns_of(lake) == lake.scan("items").column_names == ["partition_date", "id"]
    assert "colour" in readers.schema(lake, "items", first).names
    publish(lake, ITEMS, DAY2)
    assert seen(lake, "colour") == {DAY1: "red", DAY2: "red"}


def test_a_required_column_that_comes_back_is_optional(lake: Lake) -> None:
    strict = items(colour=ColumnSpec(type="string"))
    publish(lake, strict, DAY1)
    publish(lake, items(), DAY2)
    publish(lake, strict, DAY1)
    assert seen(lake, "colour") == {DAY1: "red", DAY2: None}


def test_a_renamed_column_keeps_its_values_through_several_names(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    tint = items(tint=ColumnSpec(type="string", required=False, renamed_from="colour"))
    publish(lake, tint, DAY2)
    assert seen(lake, "tint") == {DAY1: "red", DAY2: "red"}
    shade = items(shade=ColumnSpec(type="string", required=False, renamed_from=["colour", "tint"]))
    lake.ensure(shade)
    assert seen(lake, "shade") == {DAY1: "red", DAY2: "red"}
    lake.ensure(ITEMS)  # the spec of before is taken back
    assert seen(lake, "colour") == {DAY1: "red", DAY2: "red"}


def test_the_same_rows_under_another_name_are_not_written_again(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    before = lake.files("items")
    publish(lake, items(tint=ColumnSpec(type="string", required=False, renamed_from="colour")), DAY1)
    assert lake.files("items") == before
    publish(lake, items(), DAY1)
    publish(lake, items(size=SIZE), DAY1)
    assert seen(lake, "size") == {DAY1: 0.5}


def test_a_renamed_key_is_the_same_key(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    renamed = Dataset(
        "items",
        "",
        {"partition_date": ColumnSpec(type="date"), "number": ColumnSpec(type="int", renamed_from="id")},
        ("number",),
    )
    staged = pa.table({"partition_date": [DAY2], "number": [5]}, renamed.staged_schema())
    lake.publish(renamed, staged, [DAY2], provenance())
    assert lake.scan("items")["number"].to_pylist() == [0, 1, 5]


REFUSED = {
    "type": (items(colour=ColumnSpec(type="int", required=False)), r"colour: string in the table, int in the spec"),
    "wider": (items(id=ColumnSpec(type="float")), r"id: int in the table, float in the spec"),
    "required": (items(size=ColumnSpec(type="float")), r"size: new, so it must be optional \(required: false\)"),
    "key": (replace(ITEMS, key=("id", "colour")), r"key: id in the table, id, colour in the spec"),
    "partitions": (
        replace(ITEMS, partition_by=()),
        r"partitions: partition_date in the table, none \(replaced whole\) in the spec",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_any_other_change_is_refused_with_both_and_the_way_out(lake: Lake, case: str) -> None:
    dataset, words = REFUSED[case]
    publish(lake, ITEMS, DAY1)
    before = lake.table("items").schema()
    with pytest.raises(SchemaError, match=words) as refused:
        lake.bring_up_to_date([LOOKUP, dataset])
    assert "contrail move-away items -p shop" in str(refused.value)
    assert lake.table("items").schema() == before
    assert seen(lake, "colour") == {DAY1: "red"}


def test_every_table_that_cannot_follow_is_told_at_once(lake: Lake) -> None:
    lake.ensure(ITEMS)
    lake.ensure(LOOKUP)
    text = {"id": ColumnSpec(type="string")}
    wrong = [replace(LOOKUP, columns=text), replace(ITEMS, columns={**ITEMS.columns, **text})]
    with pytest.raises(SchemaError, match=r"(?s)table lookup .*id: int in the table.*table items .*id: int"):
        lake.bring_up_to_date(wrong)


def test_a_name_means_one_column_for_the_life_of_a_table(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    tint = ColumnSpec(type="string", required=False, renamed_from="colour")
    lake.ensure(items(tint=tint))
    with pytest.raises(SchemaError, match="colour: was the name of the column tint before"):
        lake.ensure(items(colour=ITEMS.columns["colour"], tint=ColumnSpec(type="string", required=False)))
    lake.ensure(items())
    with pytest.raises(SchemaError, match="colour: string in the table, int in the spec"):
        lake.ensure(items(colour=ColumnSpec(type="int", required=False)))


def test_a_mapping_that_comes_after_both_columns_were_filled_is_refused(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    publish(lake, items(tint=ColumnSpec(type="string", required=False)), DAY2)
    late = items(tint=ColumnSpec(type="string", required=False, renamed_from="colour"))
    with pytest.raises(SchemaError, match="renamed_from makes one column of tint and colour, which are two"):
        lake.ensure(late)


def test_nothing_is_committed_when_nothing_changed(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    before = lake.table("items").metadata_location
    lake.bring_up_to_date([ITEMS])
    assert lake.table("items").metadata_location == before


NAMES = st.sampled_from(["a", "b", "c", "d"])
SPECS = st.lists(st.dictionaries(NAMES, st.sampled_from(["int", "string"]), max_size=3), min_size=2, max_size=4)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs=SPECS, number=st.integers(min_value=0))
def test_through_any_specs_a_column_has_what_was_published_in_it(
    lake: Lake, specs: list[dict[str, Any]], number: int
) -> None:
    """Whatever columns come, go and come back, each day shows what it was published with, or nothing."""
    name = f"items_{len(lake.table_names())}"
    wrote: dict[date, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    for at, spec in enumerate(specs, start=1):
        day = date(2024, 1, at)
        dataset = replace(items(**{n: ColumnSpec(type=kind, required=False) for n, kind in spec.items()}), name=name)
        if any(kinds.get(n, kind) != kind for n, kind in spec.items()):
            with pytest.raises(SchemaError):
                publish(lake, dataset, day)
            continue
        kinds |= spec
        publish(lake, dataset, day)
        wrote[day] = {n: VALUES[kind][0] for n, kind in spec.items()}
        found = lake.scan(name)
        assert found.column_names == list(dataset.columns)
        for row in found.to_pylist():
            assert all(row[n] == wrote[row["partition_date"]].get(n) for n in spec)


def test_a_writer_of_an_older_spec_takes_nothing_from_a_newer_one(lake: Lake) -> None:
    newer = items(colour=ITEMS.columns["colour"], size=SIZE)
    publish(lake, newer, DAY1)
    publish(lake, ITEMS, DAY2)
    lake.ensure(newer)
    assert seen(lake, "size") == {DAY1: 0.5, DAY2: None}


def test_views_open_files_by_ids(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    lake.ensure(items(tint=ColumnSpec(type="string", required=False, renamed_from="colour")))
    with duckdb.connect() as connection:
        readers.create_view(connection, "v", readers.schema(lake, "items"), readers.files(lake, "items"))
        assert connection.sql("SELECT tint FROM v WHERE tint = 'red'").fetchall() == [("red",)] * 2


def test_the_key_of_a_table_from_before_is_noted(lake: Lake) -> None:
    publish(lake, ITEMS, DAY1)
    with lake.table("items").transaction() as change:
        change.remove_properties("contrail.key")
    Tables(lake.settings, "shop").bring_up_to_date([ITEMS])
    with pytest.raises(SchemaError, match="key: id in the table"):
        lake.ensure(replace(ITEMS, key=("colour",)))
