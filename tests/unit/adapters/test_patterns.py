"""Patterns that Python and RE2 read alike, and those that they may not."""

import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.adapters.patterns import means_same


@pytest.mark.parametrize(
    "pattern",
    ["(?i)a", r"(.)\1", "a(?!b)", "(?<=a)b", "a++", "a?+", "a{2}+", "(?P<x>a)", r"a\Z", r"\s", r"\bA", "ä", "[[:alpha:]]",
     "(a{99}){99}", "a{1001}", "(", "a**", None, 3],
)  # fmt: skip
def test_a_pattern_that_python_may_read_differently_clears_nothing(pattern: object) -> None:
    assert not means_same(pattern)


@pytest.mark.parametrize("pattern", ["^[A-Z0-9]{4,6}$", r"^\d+(?:\.\d+)?$", "a|b", r"[\w.-]+@[a-z]+", "^[^,;]*$", ""])
def test_a_pattern_that_means_the_same_clears_rows(pattern: str) -> None:
    assert means_same(pattern)


PIECES = ["a", "B", "0", "_", " ", "-", r"\.", r"\d", r"\w", r"\D", r"\W", ".", "[a-c]", "[^a]", "[a-]", r"[\w.-]"]
JOINTS = ["(", ")", "(?:", "|", "*", "+", "?", "{2}", "{1,}", "{0,2}", "^", "$", "\\", "[", "]", "#", "~"]


@given(
    st.lists(st.sampled_from([*PIECES, *JOINTS]), max_size=8).map("".join).filter(means_same),
    st.lists(st.text(st.sampled_from("abB0_ -.#~[]()*"), max_size=6), min_size=1, max_size=10),
)
@settings(max_examples=200, deadline=None)
def test_such_a_pattern_is_found_in_the_same_texts(pattern: str, texts: list[str]) -> None:
    asked = "SELECT list_transform(?, lambda text: regexp_matches(text, ?))"
    ((found,),) = duckdb.execute(asked, [texts, pattern]).fetchall()
    assert found == [re.search(pattern, text) is not None for text in texts]
