"""What DuckDB clears, Great Expectations would not object to: each kind of rule, on random and hostile rows.

The judge is Great Expectations itself, alone, on a frame of all rows.
"""

import json
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.adapters.checks import Checks
from contrail.adapters.clearance import clearance, is_row_wise
from contrail.adapters.frames import Frames
from contrail.adapters.judged_rows import Rows
from contrail.errors import SpecError

gx = pytest.importorskip("great_expectations")
gxe = gx.expectations

BIG = 2**53
INTS = st.sampled_from([0, 1, -1, 7, BIG, BIG + 1, -BIG - 1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
ODD = [0.0, -0.0, 1.0, 0.1 + 0.2, 5e-324, float(BIG), BIG + 2.0, 1e300, float("nan"), float("inf"), -float("inf")]
FLOATS = st.sampled_from(ODD) | st.floats()
WORDS = ["", "A", "AB", "AB\n", "\nAB", "ab", "a b", "ÄÖ", "٣", "3", "NaN", "None", "null", "true", "é", "e\u0301"]
TEXTS = st.sampled_from([*WORDS, "\0", "A\0", "\x1c", "\x0b", "\u2028", "😀", "ß", "%_", "'"]) | st.text(max_size=4)
BOOLS = st.booleans()
DATES = st.sampled_from([date(2024, 2, 29), date(1678, 1, 1), date(2261, 12, 31)]) | st.dates(
    date(1678, 1, 1), date(2261, 12, 31)
)
INSTANTS = st.datetimes(datetime(1678, 1, 2), datetime(2261, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))
TYPES = {
    "i": (pa.int64(), INTS),
    "f": (pa.float64(), FLOATS),
    "s": (pa.string(), TEXTS),
    "p": (pa.bool_(), BOOLS),
    "d": (pa.date32(), DATES),
    "u": (pa.timestamp("us", "UTC"), INSTANTS),
}
PATTERNS = [
    "^[A-Z]{2}$", "A", "^A?B*$", "[^A-Z]", r"^\w+$", r"\d", r"^\D*$", "^.$", "^..?$", "(A|a)(B|b)", "^(?:A|ab)$", "", "[A-Z-]",
    r"\s", r"\bAB\b", "(?i)ab", r"(.)\1", "A(?!B)", "(?<=A)B", "A++", "(?P<x>A)", r"\Z", r"AB\Z", "Ä", "[à-ü]", r"\u00e4",
    "(?s).", "a{1,2}?", "x{99}", r"[\w.]", "$", "^",
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Two columns of each type, ``a_<type>`` and ``b_<type>``, in which values come again."""
    count = draw(st.integers(1, 6))
    columns: dict[str, pa.Array] = {"_row": pa.array(range(10, 10 + count), pa.int64())}
    for kind, (arrow, values) in TYPES.items():
        pool = draw(st.lists(values, min_size=1, max_size=3))
        cell = st.sampled_from(pool) if draw(BOOLS) else st.none() | st.sampled_from(pool)
        for name in (f"a_{kind}", f"b_{kind}"):
            columns[name] = pa.array(draw(st.lists(cell, min_size=count, max_size=count)), arrow)
    return pa.table(columns)


@st.composite
def rules(draw: st.DrawFn) -> Any:
    """A rule of any kind; on values that its column may have, or cannot have."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    column, other = f"a_{kind}", f"b_{draw(st.sampled_from([kind, kind, *TYPES]))}"
    mostly = {"mostly": draw(st.sampled_from([1, 0.5]))}
    numbers = st.none() | st.integers(-2, 5) | FLOATS | INTS
    strict = {"strict_min": draw(BOOLS), "strict_max": draw(BOOLS)}
    bounds = {"min_value": draw(numbers), "max_value": draw(numbers)}
    lengths = {"min_value": draw(st.integers(0, 2)), "max_value": draw(st.none() | st.integers(1, 3))}
    values = draw(st.lists(TYPES[kind][1] | draw(st.sampled_from([TYPES[kind][1], INTS, TEXTS])), max_size=4))
    pattern, patterns = st.sampled_from(PATTERNS), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2)
    pair = draw(st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"]))
    several = draw(st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"]))
    makers: list[Any] = [
        lambda: gxe.ExpectColumnValuesToBeBetween(column=column, **bounds, **strict, **mostly),
        lambda: gxe.ExpectColumnValuesToBeBetween(column=draw(st.sampled_from(["a_i", "a_f"])), **bounds, **strict),
        lambda: gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, **mostly),
        lambda: gxe.ExpectColumnValuesToNotBeInSet(column=column, value_set=values, **mostly),
        lambda: gxe.ExpectColumnValuesToBeNull(column=column, **mostly),
        lambda: gxe.ExpectColumnValuesToNotBeNull(column=column, **mostly),
        lambda: gxe.ExpectColumnValueLengthsToBeBetween(column="a_s", **lengths, **strict),
        lambda: gxe.ExpectColumnValueLengthsToEqual(column="a_s", value=draw(st.integers(0, 3))),
        lambda: gxe.ExpectColumnValuesToMatchRegex(column="a_s", regex=draw(pattern), **mostly),
        lambda: gxe.ExpectColumnValuesToNotMatchRegex(column="a_s", regex=draw(pattern)),
        lambda: gxe.ExpectColumnValuesToMatchRegexList(
            column="a_s", regex_list=draw(patterns), match_on=draw(st.sampled_from(["any", "all"]))
        ),
        lambda: gxe.ExpectColumnValuesToNotMatchRegexList(column="a_s", regex_list=draw(patterns)),
        lambda: gxe.ExpectColumnValuesToBeUnique(column=column),
        lambda: gxe.ExpectColumnPairValuesToBeEqual(column_A=column, column_B=other, ignore_row_if=pair, **mostly),
        lambda: gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=column, column_B=other, or_equal=draw(BOOLS), ignore_row_if=pair
        ),
        lambda: gxe.ExpectCompoundColumnsToBeUnique(column_list=["a_i", "a_s", column], ignore_row_if=several),
        lambda: gxe.ExpectMulticolumnSumToEqual(column_list=["a_i", "b_i"], sum_total=0, ignore_row_if=several),
        lambda: gxe.ExpectColumnValuesToBeIncreasing(column=column),
    ]  # fmt: skip
    try:
        return draw(st.sampled_from(makers))()
    except ValueError:  # Great Expectations refuses to make it
        return gxe.ExpectColumnValuesToNotBeNull(column=column)


def judged_alone(rows: pa.Table, rule: Any) -> Any:
    """Great Expectations' own result on a frame of all rows; None where it cannot evaluate the rule."""
    connection = duckdb.connect()
    connection.register("rows", rows)
    frames = Frames(Rows(connection, "rows", "_row").types, compared(rule))
    (figures,) = connection.execute(f"SELECT {', '.join(['1', *frames.figures])} FROM rows").fetchall()
    frame = frames.seen(len(rows), figures[1:]).of(rows)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asked = {"result_format": "COMPLETE", "unexpected_index_column_names": ["_row"]}
    result = context.data_sources.pandas_default.read_dataframe(frame).validate(rule, result_format=asked)
    failed = [each for each in [result.exception_info, *result.exception_info.values()] if isinstance(each, dict)]
    return None if any(each.get("raised_exception") for each in failed) else result


def compared(rule: Any) -> set[str]:
    named = [getattr(rule, name) for name in ("column_A", "column_B") if hasattr(rule, name)]
    return {*named, *getattr(rule, "column_list", [])}


def told(result: Any) -> str:
    found = result.to_json_dict()
    found["result"].pop("unexpected_index_query", None)
    return json.dumps([found["success"], found["result"]], sort_keys=True)


def check(rows: pa.Table, rule: Any) -> None:
    """Compare the verdict on rows in DuckDB with Great Expectations' own."""
    own, checks = judged_alone(rows, rule.copy()), Checks()
    connection, broken = duckdb.connect(), {}
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("rows", rows)
    try:
        (verdict,) = checks.evaluate(
            "rows", Rows(connection, "rows", "_row"), {"r": rule}, lambda _, __, ___, found: broken.update(found)
        )
    except SpecError:
        assert own is None
        return
    assert own is not None
    expected = [row["_row"] for row in own.result.get("unexpected_index_list") or []]
    assert sorted(broken) == sorted(expected) and verdict.broken == len(expected)
    store = checks._context.validation_results_store
    (key,) = store.list_keys()
    assert told(store.get(key).results[0]) == told(own)


@given(tables(), rules())
@settings(max_examples=12, deadline=None)
def test_a_verdict_is_that_of_great_expectations_alone(rows: pa.Table, rule: Any) -> None:
    check(rows, rule)


KINDS = [
    gxe.ExpectColumnValuesToBeBetween(column="a_i", min_value=0.5, strict_min=True),
    gxe.ExpectColumnValuesToBeBetween(column="a_f", min_value=0, max_value=1, strict_max=True, mostly=0.5),
    gxe.ExpectColumnValuesToBeInSet(column="a_s", value_set=["A", ""]),
    gxe.ExpectColumnValuesToBeInSet(column="a_i", value_set=[1.0, 7]),
    gxe.ExpectColumnValuesToNotBeInSet(column="a_f", value_set=[1, 0]),
    gxe.ExpectColumnValuesToBeInSet(column="a_p", value_set=[True]),
    gxe.ExpectColumnValuesToBeNull(column="a_f"),
    gxe.ExpectColumnValuesToNotBeNull(column="a_f"),
    gxe.ExpectColumnValueLengthsToBeBetween(column="a_s", min_value=1, max_value=2),
    gxe.ExpectColumnValueLengthsToEqual(column="a_s", value=2),
    gxe.ExpectColumnValuesToMatchRegex(column="a_s", regex="^[A-Z]{1,2}$"),
    gxe.ExpectColumnValuesToNotMatchRegex(column="a_s", regex=r"^\w$"),
    gxe.ExpectColumnValuesToMatchRegexList(column="a_s", regex_list=["^A", r"\d"]),
    gxe.ExpectColumnValuesToNotMatchRegexList(column="a_s", regex_list=["A$", "[^A-Z]"]),
    gxe.ExpectColumnValuesToBeUnique(column="a_s"),
    gxe.ExpectCompoundColumnsToBeUnique(column_list=["a_i", "a_s"]),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="a_d", column_B="b_d"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="a_u", column_B="b_u", or_equal=True),
]
EDGES: dict[str, list[Any]] = {
    "i": [1, 7, BIG + 1, 0, None, 2, 3],
    "f": [-0.0, 1.0, float("nan"), float("inf"), None, 0.5, 3.0],
    "s": ["A", "AB\n", "٣", "A", None, "A\0", "AB"],
    "p": [True, False, True, True, None, True, False],
    "d": [date(2024, 1, 5), date(2024, 1, 5), date(2024, 1, 6), None, None, date(2024, 1, 7), date(2024, 1, 8)],
    "u": [datetime(2024, 1, day, 12, tzinfo=UTC) for day in range(1, 7)] + [None],
}


@pytest.mark.parametrize("rule", KINDS, ids=lambda rule: type(rule).__name__)
def test_each_kind_clears_rows_and_leaves_the_verdict(rule: Any) -> None:
    columns = {f"{side}_{kind}": pa.array(values, TYPES[kind][0]) for kind, values in EDGES.items() for side in "ab"}
    rows = pa.table({"_row": pa.array(range(7), pa.int64()), **columns})
    connection = duckdb.connect()
    connection.register("rows", rows)
    found = clearance(rule, "rows", Rows(connection, "rows", "_row").types)
    assert found is not None
    cleared = connection.execute(f"SELECT count(*) FROM rows WHERE {found.keeps}").fetchall()
    assert cleared[0][0] > 0
    check(rows, rule)


class ExpectOfATeam(gxe.ExpectColumnValuesToBeBetween):
    """A rule that looks like one of Great Expectations' own."""


@pytest.mark.parametrize(
    "rule",
    [
        ExpectOfATeam(column="a_i", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(
            column="a_i", min_value=0, row_condition="a_i > 3", condition_parser="pandas"
        ),
        gxe.ExpectColumnValuesToBeIncreasing(column="a_i"),
        gxe.ExpectColumnValuesToBeOfType(column="a_i", type_="int"),
    ],
)
def test_a_rule_that_is_not_known_is_left_to_great_expectations(rule: Any) -> None:
    assert clearance(rule, "rows", {"a_i": "BIGINT"}) is None
    assert not is_row_wise(rule)
