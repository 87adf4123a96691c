"""Checks through Great Expectations: which rows break a rule, in which words, and what cannot be a rule."""

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from contrail.adapters import checks as checks_module
from contrail.adapters.checks import Checks, Verdict
from contrail.adapters.contracts import bad_share_expectation
from contrail.adapters.judged_rows import Rows
from contrail.errors import SpecError
from contrail.reports.contracts import TableReport, write_report

gxe = pytest.importorskip("great_expectations.expectations")

ROWS = pa.table(
    {
        "_row": pa.array([10, 11, 12, 13], pa.int64()),
        "speed": pa.array([5.0, 1048.0, None, 7.0]),
        "code": pa.array(["AA", "b6", None, "UA"]),
        "day": pa.array([date(2024, 1, 5)] * 4),
        "of": pa.array([date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 4), None]),
        "at": pa.array([datetime(2024, 1, 5, 12, tzinfo=UTC)] * 4),
        "found": pa.array([True, False, None, True]),
    }
)


def relation(rows: pa.Table) -> Rows:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("judged", rows)
    return Rows(connection, "judged", "_row")


def found(expectation: object, rows: pa.Table = ROWS) -> dict[int, str]:
    """The rows that break a rule, and what is said of them."""
    broken: dict[int, str] = {}
    judge(expectation, rows, broken)
    return broken


def judge(expectation: object, rows: pa.Table = ROWS, broken: dict[int, str] | None = None) -> Verdict:
    taken = {} if broken is None else broken
    (verdict,) = Checks().evaluate(
        "parcels rows", relation(rows), {"the_rule": expectation}, lambda _, __, ___, some: taken.update(some)
    )
    assert verdict.broken == len(taken)
    return verdict


@pytest.mark.parametrize(
    ("expectation", "broken"),
    [
        (gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0, max_value=150), {11: "speed=1048.0"}),
        (gxe.ExpectColumnValuesToMatchRegex(column="code", regex="^[A-Z]{2}$"), {11: "code=b6"}),
        (gxe.ExpectColumnValuesToBeInSet(column="found", value_set=[True]), {11: "found=False"}),
        (gxe.ExpectColumnValuesToNotBeNull(column="code"), {12: "code=<NA>"}),
        (
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="day", column_B="of", or_equal=True, ignore_row_if="either_value_is_missing"
            ),
            {11: "day=2024-01-05 00:00:00, of=2024-01-06 00:00:00"},
        ),
    ],
    ids=["range", "regex", "set", "not null", "pair"],
)
def test_the_rows_that_break_a_rule_are_found_with_their_values(expectation: object, broken: dict[int, str]) -> None:
    verdict = judge(expectation)
    assert (verdict.rule, verdict.checked, dict(verdict.examples)) == ("the_rule", 4, broken)


BIG = 2**53
NUMBERS = pa.table(
    {
        "_row": pa.array([0, 1, 2, 3], pa.int64()),
        "some": pa.array([BIG + 1, BIG, None, 12345678901234], pa.int64()),
        "all": pa.array([BIG, BIG + 1, 1, 2], pa.int64()),
        "word": pa.array(["a", None, "b", "b"]),
        "other": pa.array(["a", "a", None, "b"]),
        "flag": pa.array([True, None, False, True]),
        "share": pa.array([1234567890123.25, 0.1 + 0.2, None, 1e-100]),
    }
)


@pytest.mark.parametrize(
    ("expectation", "broken"),
    [
        (gxe.ExpectColumnValuesToBeBetween(column="some", max_value=BIG), {0: "some=9007199254740993"}),
        (gxe.ExpectColumnValuesToBeBetween(column="all", max_value=BIG), {1: "all=9007199254740993"}),
        (
            gxe.ExpectColumnValuesToBeInSet(column="some", value_set=[BIG]),
            {0: "some=9007199254740993", 3: "some=12345678901234"},
        ),
        (
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A="some", column_B="all", ignore_row_if="either_value_is_missing"
            ),
            {
                0: "some=9007199254740993, all=9007199254740992",
                1: "some=9007199254740992, all=9007199254740993",
                3: "some=12345678901234, all=2",
            },
        ),
        (
            gxe.ExpectColumnValuesToBeBetween(column="share", max_value=0.25),
            {0: "share=1234567890123.25", 1: "share=0.3"},
        ),
    ],
    ids=["optional", "required", "set", "pair", "float"],
)
def test_a_number_is_compared_exactly_and_told_as_it_was_landed(expectation: object, broken: dict[int, str]) -> None:
    assert found(expectation, NUMBERS) == broken


@pytest.mark.parametrize(("left", "right"), [("some", "all"), ("word", "other"), ("flag", "word"), ("share", "all")])
def test_an_empty_value_stops_no_rule_on_two_columns(left: str, right: str) -> None:
    equal = gxe.ExpectColumnPairValuesToBeEqual(column_A=left, column_B=right)
    assert 2 in found(equal, NUMBERS)


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([BIG, BIG + 1]), min_size=1, max_size=60)
)
@settings(max_examples=4, deadline=None)
def test_any_whole_number_keeps_its_value_in_a_contract(values: list[int | None]) -> None:
    numbers = pa.array(values, pa.int64())
    rows = pa.table({"_row": pa.array(range(len(values)), pa.int64()), "n": numbers})
    assert found(gxe.ExpectColumnValuesToBeInSet(column="n", value_set=[BIG]), rows) == {
        row: f"n={value}" for row, value in enumerate(values) if value not in (None, BIG)
    }


def test_a_rule_is_told_in_the_words_of_great_expectations() -> None:
    words = judge(gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0, max_value=150)).words
    assert words == "speed values must be greater than or equal to 0.0 and less than or equal to 150.0."
    assert bad_share_expectation(0.05).description == "at most 0.05 of a partition's rows may be bad."


def test_rules_of_one_table_are_one_validation_in_their_order() -> None:
    rules = {
        "pair": gxe.ExpectColumnPairValuesToBeEqual(column_A="day", column_B="of"),
        "range": gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0, max_value=150),
    }
    verdicts = Checks().evaluate("parcels rows", relation(ROWS), rules)
    assert [verdict.rule for verdict in verdicts] == ["pair", "range"]


@pytest.mark.parametrize("rows", [ROWS.slice(0, 0)])
def test_nothing_is_checked_of_nothing(rows: pa.Table) -> None:
    rule = gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0)
    assert Checks().evaluate("parcels rows", relation(rows), {"rule": rule}) == []


def test_a_rule_on_a_whole_table_is_not_a_row_rule() -> None:
    with pytest.raises(SpecError, match="rule 'the_rule': ExpectColumnMeanToBeBetween judges a whole table"):
        judge(gxe.ExpectColumnMeanToBeBetween(column="speed", min_value=0))


def test_a_rule_that_cannot_be_evaluated_is_named() -> None:
    with pytest.raises(SpecError, match="rule 'the_rule' cannot be evaluated"):
        judge(gxe.ExpectColumnValuesToBeBetween(column="code", min_value=0))


def test_great_expectations_does_not_call_home(home: Path) -> None:
    from contrail.config.settings import settings

    settings()
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


def test_the_page_needs_no_network_and_escapes_what_was_landed(tmp_path: Path) -> None:
    checks = Checks()
    rules = {"range": gxe.ExpectColumnValuesToBeBetween(column="speed", min_value=0, max_value=150)}
    verdicts = checks.evaluate("parcels rows", relation(ROWS), rules)
    bad = Verdict("code", "must be a code", 4, 1, {11: "code=<script>"})
    report = TableReport("parcels", 4, 3, {"range": 1}, [*verdicts, bad], [], ["2024-01-05: range: too many"])
    page, site = write_report(UPath(tmp_path), "run+1", "toy", [report], checks, kept=2)
    text = Path(page).read_text()
    assert Path(page).name == "run_1.html" and Path(site).exists()
    assert "speed=1048.0" in text and "too many" in text and "&lt;script&gt;" in text
    assert "://" not in text and "<script" not in text
    index = Path(site) if Path(site).is_file() else Path(site) / "index.html"
    links = re.findall(r'href="([^"]+)"', index.read_text())
    assert len(links) == 2, "the results and the rules of parcels"
    assert all((index.parent / unquote(link)).exists() for link in links)


def test_only_the_newest_pages_stay(tmp_path: Path) -> None:
    for number in range(4):
        page = tmp_path / f"run-{number}.html"
        page.write_text("old")
        os.utime(page, (number, number))
    write_report(UPath(tmp_path), "run-9", "toy", [TableReport("parcels")], Checks(), kept=2)
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["run-3.html", "run-9.html"]


MANY = pa.table({"_row": pa.array(range(60), pa.int64()), "n": [None if i % 7 == 0 else i for i in range(60)]})
BATCHED = [
    gxe.ExpectColumnValuesToBeBetween(column="n", max_value=19),
    gxe.ExpectColumnValuesToBeBetween(column="n", max_value=-1, mostly=0.5),
    gxe.ExpectColumnPairValuesToBeInSet(column_A="n", column_B="_row", value_pairs_set=[(3, 3), (None, 7)]),
    gxe.ExpectMulticolumnSumToEqual(column_list=["n", "_row"], sum_total=40, ignore_row_if="any_value_is_missing"),
]


@pytest.mark.parametrize("rule", BATCHED, ids=lambda rule: type(rule).__name__)
def test_batches_give_the_result_of_all_rows_at_once(rule: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether DuckDB cleared some of the rows, or none."""
    told, rows = [], []
    for size in (1000, 7):
        monkeypatch.setattr(checks_module, "_BATCH", size)
        checks, broken = Checks(), dict[int, str]()
        checks.evaluate("rows", relation(MANY), {"r": rule}, lambda _, __, ___, some, taken=broken: taken.update(some))
        store = checks._context.validation_results_store
        (key,) = store.list_keys()
        (result,) = store.get(key).results
        told.append((result.success, result.to_json_dict()["result"]))
        rows.append(broken)
    assert told[0] == told[1] and rows[0] == rows[1]
    assert told[0][1]["element_count"] == 60 and len(rows[0]) == told[0][1]["unexpected_count"] > 7


def test_only_rows_in_doubt_reach_great_expectations(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        checks_module.Frames,
        "of",
        lambda self, rows, own=checks_module.Frames.of: seen.append(len(rows)) or own(self, rows),
    )
    assert len(found(gxe.ExpectColumnValuesToBeBetween(column="n", max_value=57), MANY)) == 2
    assert found(gxe.ExpectColumnValuesToBeBetween(column="n", max_value=99), MANY) == {}
    assert seen == [2]


def test_many_broken_rows_are_all_counted_and_the_first_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_module, "_LISTED", 5)
    monkeypatch.setattr(checks_module, "_BATCH", 7)
    checks = Checks()
    (verdict,) = checks.evaluate(
        "rows", relation(MANY), {"r": gxe.ExpectColumnValuesToBeBetween(column="n", max_value=-1)}
    )
    assert verdict.broken == 51 and list(verdict.examples) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    store = checks._context.validation_results_store
    (key,) = store.list_keys()
    result = store.get(key).results[0].result
    assert (result["unexpected_count"], result["unexpected_list"]) == (51, [1, 2, 3, 4, 5])
    assert result["unexpected_percent_total"] == 85.0


def test_a_reference_shows_the_rows_own_values() -> None:
    broken: dict[int, str] = {}
    rule = gxe.ExpectColumnValuesToBeInSet(column="found", value_set=[True])
    shown = {"known": ("code", "speed")}
    Checks().evaluate(
        "parcels rows", relation(ROWS), {"known": rule}, lambda _, __, ___, some: broken.update(some), shown
    )
    assert broken == {11: "code=b6, speed=1048.0"}
