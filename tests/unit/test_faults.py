"""What tells a fault of the machine: the same words and numbers for all who look."""

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from contrail import faults
from contrail.adapters.machine_errors import as_ours
from contrail.errors import EngineError
from contrail.lake.sql_catalog import is_away


@pytest.mark.parametrize("words", [*faults.POSTGRES_AWAY, faults.POSTGRES_WITHOUT_NAME])
def test_whoever_waits_for_a_database_and_whoever_tells_of_it_know_the_same_words(words: str) -> None:
    error = OperationalError("UPDATE", {}, psycopg2.OperationalError(f"{words} …"))
    assert is_away(error)
    assert isinstance(as_ours(error), EngineError)


def test_words_of_a_statement_are_no_answer_of_the_database() -> None:
    said = psycopg2.OperationalError("could not extend file")
    assert not is_away(OperationalError("SELECT 'terminating connection'", {}, said))
