"""What --where may ask: equality of columns and values, and nothing that could run."""

import pytest
from tests.conftest import Toy

from contrail.errors import SpecError
from contrail.operations.forgetting.asked import parse


@pytest.mark.parametrize(
    ("where", "names", "values"),
    [
        ("depot = 'A'", ("depot",), (("A",),)),
        ("'A' = depot", ("depot",), (("A",),)),
        ("depot IN ('A', 'it''s', 'A')", ("depot",), (("A",), ("it's",))),
        (
            "parcel = 7 AND ship_date IN (DATE '2024-01-01', '2024-01-02')",
            ("parcel", "ship_date"),
            (("7", "2024-01-01"), ("7", "2024-01-02")),
        ),
        ("(weight = -1.5) AND depot='A'", ("depot", "weight"), (("A", "-1.5"),)),
    ],
)
def test_equality_is_understood(
    toy: Toy, where: str, names: tuple[str, ...], values: tuple[tuple[str, ...], ...]
) -> None:
    found = parse(where, toy.spec)
    assert (found.columns.names, found.values) == (names, values)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("depot = 'A' OR depot = 'B'", "only equality"),
        ("parcel > 7", "only equality"),
        ("depot LIKE 'A%'", "only equality"),
        ("depot = depot", "compare a column with values"),
        ("depot = lower('A')", "compare a column with values"),
        ("depot = NULL", "compare a column with values"),
        ("depot = (SELECT 'A')", "compare a column with values"),
        ("true", "only equality"),
        ("depot = ''", "compare a column with values"),
        ("depot = 'A'; SELECT 2", "more than a condition"),
        ("depot = 'A'; DROP TABLE x", "Only SELECT"),
        ("depot = 'A' ORDER BY 1", "more than a condition"),
        ("depot = 'A' GROUP BY 1", "more than a condition"),
        ("depot =", "syntax error"),
        ("depot = 'A' AND depot = 'B'", "named twice"),
        ("depott = 'A'", "did you mean 'depot'"),
        ("parcel = 'x'", "'parcel' is int, and the value that is asked for is none"),
        ("delay = 1 AND weight = 2", "no landed table has all of the columns"),
    ],
)
def test_anything_else_is_refused(toy: Toy, where: str, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(where, toy.spec)
    assert said in str(refused.value)
