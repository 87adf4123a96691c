"""A statement's tables are found without running it."""

import pytest

from contrail.lake.statements import named_in


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("SELECT 1", set()),
        ("FROM range(3)", set()),
        ("SELECT * FROM a JOIN \"B\" USING (x) WHERE y IN (SELECT y FROM c)", {"a", "b", "c"}),
        ("WITH a AS (FROM b) SELECT *, (SELECT max(z) FROM c) FROM a JOIN d USING (x)", {"a", "b", "c", "d"}),
        ("SELECT * FROM (PIVOT a ON x IN (1, 2) USING count(*))", {"a"}),
        ("DESCRIBE a", {"a"}),
        ("SUMMARIZE FROM a JOIN b USING (x)", {"a", "b"}),
        ("EXPLAIN ANALYZE SELECT * FROM a", {"a"}),
        ("SELECT * FROM a UNION ALL FROM b", {"a", "b"}),
    ],
)  # fmt: skip
def test_only_named_tables_are_needed(statement: str, names: set[str]) -> None:
    assert named_in(statement) == names


@pytest.mark.parametrize(
    "statement",
    ["SHOW TABLES", "SHOW ALL TABLES", "FROM duckdb_columns()", "SELECT * FROM information_schema.tables",
     "SELECT * FROM pg_catalog.pg_views", "SELECT * FROM duckdb_views", "FROM query_table('a')",
     "SELECT * FROM (PIVOT a ON x USING count(*))"],
)  # fmt: skip
def test_what_may_show_any_table_needs_all(statement: str) -> None:
    assert named_in(statement) is None
