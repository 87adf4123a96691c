"""A stranger's names become names that Contrail, SQL and Python can use."""

import pytest
from hypothesis import given, strategies

from contrail.config.names import column_problem, feature_problem, key_problem
from contrail.operations.scaffold.words import names_of, says


@given(strategies.lists(strategies.text(max_size=150), max_size=8))
def test_every_name_is_one_that_a_column_a_key_and_a_feature_may_have(given_names: list[str]) -> None:
    found = names_of(given_names)
    assert len(set(found)) == len(found) == len(given_names)
    for name in found:
        assert (column_problem(name), key_problem(name), feature_problem(name)) == (None, None, None)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("Umsatz €", "umsatz"),
        ("Größe", "grosse"),
        ("customerID", "customer_id"),
        ("2nd value", "column_2nd_value"),
        ("label", "label_value"),
        ("reason_1", "reason_1_value"),
        ("数量", "column"),
        ("", "column"),
    ],
)
def test_a_name_stays_recognisable(given_name: str, name: str) -> None:
    assert names_of([given_name]) == [name]


def test_a_word_is_a_whole_part_of_a_name() -> None:
    assert says("order_date", ["date"])
    assert says("first_name", ["firstname"])
    assert not says("candidate", ["date"])
