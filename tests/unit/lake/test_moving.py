"""A table that is moved away keeps all that it had, and leaves its name free."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.config.settings import settings
from contrail.config.table_spec import ColumnSpec
from contrail.errors import MissingInputError, SchemaError
from contrail.lake import recovery
from contrail.lake.catalog import open_catalog
from contrail.lake.lake import Lake
from contrail.lake.moving import move_away, moved_tables

TODAY = date(2024, 3, 1)
TEXT = replace(ITEMS, columns={**ITEMS.columns, "colour": ColumnSpec(type="int", required=False)})


def numbers() -> dict[str, object]:
    return {"partition_date": [DAY2], "id": [1], "colour": [5]}


def test_a_table_keeps_its_rows_and_snapshots_under_another_name(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
    before = lake.scan("items")
    assert move_away(lake, "items", TODAY) == "items_before_2024_03_01"
    assert lake.table_names() == ["items_before_2024_03_01"]
    assert lake.scan("items_before_2024_03_01") == before
    assert lake.scan("items_before_2024_03_01", snapshot_id=first)["colour"].to_pylist() == ["red"] * 3
    assert [entry.snapshot for entry in lake.history("items_before_2024_03_01")][-1] == first


def test_what_could_not_follow_is_made_anew_in_a_place_of_its_own(lake: Lake) -> None:
    import pyarrow as pa

    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(SchemaError):
        lake.ensure(TEXT)
    moved = move_away(lake, "items", TODAY)
    lake.publish(TEXT, pa.table(numbers(), TEXT.staged_schema()), [DAY2], provenance())
    assert lake.scan("items")["colour"].to_pylist() == [5]
    assert lake.scan(moved)["colour"].to_pylist() == ["red"] * 3
    places = {lake.table(name).location().rstrip("/") for name in (moved, "items")}
    assert len(places) == 2
    assert not any(f.startswith(f"{lake.table(moved).location()}/") for f in lake.files("items"))


def test_a_second_time_on_one_day_takes_another_name(lake: Lake) -> None:
    for _ in range(3):
        lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
        move_away(lake, "items", TODAY)
    stem = "items_before_2024_03_01"
    assert moved_tables(lake.table_names(), "items") == [stem, f"{stem}_2", f"{stem}_3"]


def test_a_table_that_is_not_there_is_told(lake: Lake) -> None:
    with pytest.raises(MissingInputError, match="no table 'items'"):
        move_away(lake, "items", TODAY)


def test_a_catalog_that_is_made_again_knows_both_by_their_names(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    moved = move_away(lake, "items", TODAY)
    lake.publish(ITEMS, rows([DAY2], count=1), [DAY2], provenance())
    Path(settings().catalog.uri.removeprefix("sqlite:///")).unlink()
    list(recovery.recover(open_catalog(settings()), settings().catalog, "shop"))
    again = Lake(settings(), "shop")
    assert {name: again.scan(name).num_rows for name in again.table_names()} == {"items": 1, moved: 3}


def test_killed_before_the_name_changed_the_table_is_where_it_was(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lake.catalog, "rename_table", killed)
        with pytest.raises(KeyboardInterrupt):
            move_away(lake, "items", TODAY)
    assert lake.scan("items").num_rows == 3
    assert move_away(lake, "items", TODAY) == "items_before_2024_03_01"
