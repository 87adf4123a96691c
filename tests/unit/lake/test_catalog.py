"""The catalog: tables are made once, gain columns, and are named when one is missing."""

import pyarrow as pa
import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.config.table_spec import ColumnSpec
from contrail.errors import MissingInputError
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake


def test_a_table_may_gain_an_optional_column(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    wider = Dataset("items", "", {**ITEMS.columns, "size": ColumnSpec(type="float", required=False)}, ("id",))
    lake.publish(wider, rows([DAY2]).append_column("size", pa.array([1.0, 2.0, 3.0])), [DAY2], provenance())
    with lake.connect() as connection:
        found = connection.sql("SELECT partition_date, sum(size) FROM items GROUP BY ALL ORDER BY ALL").fetchall()
    assert found == [(DAY1, None), (DAY2, 6.0)]
    assert lake.scan("items", columns=["size"]).column("size").null_count == 3


def test_a_missing_table_says_what_exists(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    with pytest.raises(MissingInputError, match=r"no table 'nope'\. Tables: items"):
        lake.scan("nope")


def test_a_namespace_that_another_run_has_just_made_is_no_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import IntegrityError

    make = lake.catalog.create_namespace_if_not_exists

    def lost_the_race(namespace: str) -> None:
        make(namespace)
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(lake.catalog, "create_namespace_if_not_exists", lost_the_race)
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert contents(lake) == [(DAY1, "red", 3)]


def test_a_change_that_is_to_come_is_told_and_not_made(lake: Lake) -> None:
    assert lake.follows(ITEMS), "a table that is not there will be made so"
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    wider = Dataset("items", "", {**ITEMS.columns, "size": ColumnSpec(type="float", required=False)}, ("id",))
    assert lake.follows(ITEMS)
    assert not lake.follows(wider)
    with pytest.raises(
        MissingInputError, match=r"no columns \['size'\] yet; it has \['partition_date', 'id', 'colour'\]"
    ):
        lake.scan("items", columns=["size"])
    lake.bring_up_to_date([wider])
    assert lake.follows(wider)
