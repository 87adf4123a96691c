"""Personal values leave words, whoever wrote the words, and pseudonyms keep their type."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.config.names import literal
from contrail.config.personal import masked_sql, pseudonym_sql, without_quotes
from contrail.config.table_spec import ColumnType

CONNECTION = duckdb.connect()


def masked(words: str, **values: str | None) -> str:
    row = ", ".join(f"{'NULL' if value is None else literal(value)} AS {name}" for name, value in values.items())
    query = f"SELECT {masked_sql('words', values)} FROM (SELECT {literal(words)} AS words), (SELECT {row}) l"
    return str(CONNECTION.execute(query).fetchall()[0][0])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Found name=Doe, Jane, age=4, x=44", "Found name=•••, age=•••, x=44"),
        ('column age: "4x" is not a whole number', 'column age: "•••" is not a whole number'),
        ("the key is Doe, Jane already", "the key is ••• already"),
        ("no value, line 4", "no value, line 4"),
    ],
)
def test_values_are_masked(words: str, shown: str) -> None:
    assert masked(words, name="Doe, Jane", age="4") == shown


def test_a_missing_value_masks_nothing() -> None:
    assert masked("name is required", name=None) == "name is required"


WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.text(st.characters(exclude_characters="\0•", codec="utf-8"), min_size=4), WORDS, WORDS)
def test_a_long_value_never_stays(value: str, before: str, after: str) -> None:
    assert value not in masked(f"{before}{value}{after}".replace(value, f"[{value}]"), name=value).replace("[•••]", "")


@pytest.mark.parametrize(("kind", "value"), [("string", "'a'"), ("int", "5")])
def test_a_pseudonym_is_the_same_for_the_same_value(kind: ColumnType, value: str) -> None:
    def shown(sql: str, key: str) -> object:
        return CONNECTION.execute(f"SELECT {pseudonym_sql('v', kind, key)} FROM (SELECT {sql} AS v)").fetchall()[0][0]

    assert shown(value, "k") == shown(value, "k") != shown(value, "other")
    assert str(shown(value, "k")) not in ("a", "5")
    assert shown("NULL", "k") is None


def test_quotes_are_taken_out() -> None:
    assert without_quotes("line 3 has 4 fields ('me,it''s,d')") == "line 3 has 4 fields (•••)"
