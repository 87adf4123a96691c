"""The label's expression is bound to the columns of its table when a spec is loaded."""

from pathlib import Path

import duckdb
import pytest

from contrail.config import expressions
from contrail.config.spec import PipelineSpec, load_spec

TOY = load_spec(Path(__file__).resolve().parents[2] / "pipelines" / "toy" / "pipeline.yaml", bind=False)


def said(expression: str) -> list[str]:
    label = TOY.label.model_copy(update={"expression": expression})
    return [problem.said for problem in expressions.problems(TOY.model_copy(update={"label": label}))]


@pytest.mark.parametrize(
    "expression",
    ["delay > 15", "delay", "delay / 2", "coalesce(delay, 0)::INT", "CASE WHEN delay > 1 THEN 1 ELSE 0 END"],
)
def test_an_expression_over_the_label_table_is_right(expression: str) -> None:
    assert said(expression) == []


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("dely > 15", 'Referenced column "dely" not found in FROM clause! Candidate bindings: "delay"'),
        ("weight > 15", 'Referenced column "weight" not found'),  # a column of another table
        ("o.delay > 15", 'Referenced table "o" not found'),
        ("delay >", 'syntax error at or near ">"'),
        ("", "SELECT clause without selection list"),
        ("1, 2", "single expression"),
        ("delay > 15) --", "syntax error"),
        ("delay > 15 -- late", "syntax error"),
        ("delay > 15; DROP TABLE o", "not an expression list"),
        ("avg(delay) > 15", "must appear in the GROUP BY"),
        ("nope(delay)", "Scalar Function with name nope does not exist"),
        ("delay > ?", "Values were not provided"),
        ("row_number() OVER () > 1", "uses a window function; a label is made of the columns of its own row alone"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 1", "uses a subquery"),
        ("random() > .5", "uses random()"),
        ("delivered_at > now()", "uses now()"),
        ("delivered_at > current_timestamp", "uses current_timestamp"),
        ("unnest([1, 2])", "uses unnest()"),
        ("*", "uses *"),
        ("COLUMNS(*)", "uses *"),
        ("ship_date", "is DATE; a label is a number, or true or false"),
        ("'late'", "is VARCHAR; a label is a number"),
        ("[delay]", "is DOUBLE[]; a label is a number"),
        ("(" * 3_000 + "delay" + ")" * 3_000, "does not fit the columns"),
        ("+".join(["delay"] * 3_000), "does not fit the columns"),
    ],
)
def test_any_other_is_refused_with_the_reason(expression: str, words: str) -> None:
    (only,) = said(expression)
    assert words in only


def test_functions_that_change_are_those_of_duckdb() -> None:
    with duckdb.connect() as connection:
        changing = connection.sql(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'scalar' AND stability <> 'CONSISTENT'"
        ).fetchall()
    assert {name for (name,) in changing} - expressions.CHANGING == set()


def test_a_column_of_any_name_can_be_a_label() -> None:
    hostile = ("order", "group", "ä", "x" * 128)
    for name in hostile:
        table = TOY.tables["deliveries"]
        wider = table.model_copy(update={"columns": {**table.columns, name: table.columns["delay"]}})
        label = TOY.label.model_copy(update={"expression": f'"{name}" > 1'})
        spec: PipelineSpec = TOY.model_copy(update={"tables": {**TOY.tables, "deliveries": wider}, "label": label})
        assert expressions.problems(spec) == []
