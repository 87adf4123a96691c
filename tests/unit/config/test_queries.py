"""Parameters of queries: found where they are, and nowhere else."""

import pytest

from contrail.config.queries import parameters_of, query_problem, with_parameters


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT * FROM t WHERE at >= :start AND at < :end", ["start", "end"]),
        ("SELECT a::text, ':day', \":end\" FROM t -- :start\n WHERE d = :day /* :end */", ["day"]),
        ("SELECT 'it''s :day' WHERE d=:day", ["day"]),
        ("SELECT $x$ :day $x$, `a:start` FROM t", []),
        ("SELECT a[1:2], b::date FROM t", []),
    ],
)
def test_a_parameter_is_no_part_of_a_text_a_name_or_a_comment(query: str, named: list[str]) -> None:
    assert parameters_of(query) == named
    assert with_parameters(query, lambda name: f":{name}") == query


def test_a_query_is_written_in_a_clients_own_form() -> None:
    asked = with_parameters(
        "SELECT 5 % 2 WHERE d = :day;\n", lambda name: f"%({name})s", lambda t: t.replace("%", "%%")
    )
    assert asked == "SELECT 5 %% 2 WHERE d = %(day)s"


@pytest.mark.parametrize(
    ("query", "daily", "said"),
    [
        ("SELECT * FROM t WHERE d = :date", True, "there is no parameter :date; use :start and :end"),
        ("SELECT * FROM t", True, "the same rows for every day"),
        ("SELECT * FROM t WHERE d = :day", False, "a reference table has no days"),
    ],
)
def test_parameters_that_cannot_work_are_refused(query: str, daily: bool, said: str) -> None:
    assert said in (query_problem(query, daily=daily) or "")
