"""Contracts: the columns that their rules name, and names that are none."""

import pytest

from contrail.adapters.contracts import check_names, columns_of
from contrail.errors import SpecError

gxe = pytest.importorskip("great_expectations.expectations")


def test_the_columns_of_expectations() -> None:
    rules = [
        gxe.ExpectColumnPairValuesToBeEqual(column_A="day", column_B="of"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["of", "code"]),
        gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0),
    ]
    assert columns_of(rules) == ["day", "of", "code", "speed"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="parcels, rows: there is no 'wieght'; did you mean 'weight'"):
        check_names("parcels, rows", ["wieght"], ["weight", "depot"])
