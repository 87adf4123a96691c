"""Which mend of a row counts, and what of it."""

import json

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.config.table_spec import TableSpec
from contrail.lake import mended
from contrail.lake.forgotten import Columns, Marks, of_rows
from contrail.lake.lineage import Commit, Lineage
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

SOURCE = TableSpec.model_validate(
    {
        "doc": "Rows.",
        "key": ["id"],
        "known_at": "at",
        "columns": {
            "id": {"type": "int", "doc": "Id."},
            "size": {"type": "float", "doc": "Size.", "renamed_from": ["weight"]},
            "late": {"type": "string", "required": False, "doc": "Added later."},
            "at": {"type": "timestamp", "doc": "Known."},
        },
    }
)


@pytest.fixture
def laid() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE landed_files (_file VARCHAR, _line BIGINT, id VARCHAR, size VARCHAR, late VARCHAR, "at" VARCHAR)'
    )
    connection.execute(
        "INSERT INTO landed_files VALUES ('f', 2, '1', '5', NULL, 'noon'), ('f', 3, '2', '', NULL, 'noon')"
    )
    connection.execute("CREATE TABLE mends (file VARCHAR, line BIGINT, landed VARCHAR, mended VARCHAR)")
    return connection


def mend(connection: duckdb.DuckDBPyConnection, line: int, landed: object, became: object) -> list[tuple[object, ...]]:
    connection.execute("INSERT INTO mends VALUES ('f', ?, ?, ?)", [line, json.dumps(landed), json.dumps(became)])
    return connection.execute(f"SELECT id, size, late FROM ({mended.laid_over(SOURCE)}) ORDER BY _line").fetchall()


def test_a_mend_counts_while_its_row_reads_as_it_did(laid: duckdb.DuckDBPyConnection) -> None:
    as_landed = {"id": "1", "size": "5", "late": None, "at": "noon"}
    assert mend(laid, 2, as_landed, {**as_landed, "size": "6"}) == [("1", "6", None), ("2", "", None)]
    laid.execute("UPDATE landed_files SET size = '7' WHERE _line = 2")
    assert mend(laid, 9, {}, {}) == [("1", "7", None), ("2", "", None)], "it was delivered again"


def test_an_empty_text_is_not_nothing_and_a_value_can_be_taken_away(laid: duckdb.DuckDBPyConnection) -> None:
    assert mend(laid, 3, {"id": "2", "size": None, "at": "noon"}, {"size": "1"})[1] == ("2", "", None)
    assert mend(laid, 2, {"id": "1", "size": "5", "at": "noon"}, {"size": None})[0] == ("1", None, None)


def test_a_mend_survives_columns_that_were_renamed_or_added_since(laid: duckdb.DuckDBPyConnection) -> None:
    landed = {"id": "1", "weight": "5", "at": "noon"}
    laid.execute("UPDATE landed_files SET late = 'x'")
    assert mend(laid, 2, landed, {**landed, "weight": "6"})[0] == ("1", "6", "x")


def test_a_person_is_found_in_the_row_as_landed_and_as_mended() -> None:
    columns = Columns.of({"id": "int"})
    connection = duckdb.connect()
    marks = of_rows(Marks("key"), connection, "SELECT '7' AS id", columns)
    condition = marks.condition(mended.dataset(None).arrow_schema())  # type: ignore[arg-type]
    connection.execute('CREATE TABLE rows ("row" VARCHAR, mended VARCHAR)')
    rows = [("7", "8"), ("8", "7"), ("8", "9")]
    connection.executemany("INSERT INTO rows VALUES (?, ?)", [[json.dumps({"id": one}) for one in row] for row in rows])
    found = connection.execute(f"SELECT count(*) FROM rows WHERE {condition}").fetchall()
    assert found == [(2,)]


def test_a_commit_of_another_table_is_no_change() -> None:
    made = Provenance("r", "replay", "", "", "")
    day = Partitions.parse("2024-01-05")
    commits = (Commit(2, (day,), 1, made, scope="table_name=b,replay=r2"), Commit(1, (day,), 1, made, scope=""))
    lineage = Lineage(commits, complete=True)
    assert lineage.unchanged_since(1, day, mended.scope("a"))
    assert not lineage.unchanged_since(1, day, mended.scope("b"))
    assert not lineage.unchanged_since(1, day)
    assert not lineage.unchanged_since(None, day, mended.scope("a")), "a commit without a scope is of every table"


TEXT = st.none() | st.text(max_size=6)
NAMES = ("id", "size", "late", "at")
ROW = st.fixed_dictionaries(dict.fromkeys(NAMES, TEXT))


@given(landed=st.lists(ROW, min_size=1, max_size=5), mends=st.data())
def test_any_row_reads_as_it_was_mended_and_any_other_as_it_landed(
    landed: list[dict[str, str | None]], mends: st.DataObject
) -> None:
    expected, rows = list(landed), []
    for line, row in enumerate(landed):
        if mends.draw(st.booleans()):
            became, was_delivered_again = {**row, **mends.draw(ROW)}, mends.draw(st.booleans())
            before = {**row, "id": f"{row['id']}-before"} if was_delivered_again else row
            rows.append(("f", line, json.dumps(before), json.dumps(became)))
            expected[line] = row if was_delivered_again else became
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE landed_files (_file VARCHAR, _line BIGINT, id VARCHAR, size VARCHAR, late VARCHAR)"
        )
        connection.execute('ALTER TABLE landed_files ADD COLUMN "at" VARCHAR')
        connection.execute("CREATE TABLE mends (file VARCHAR, line BIGINT, landed VARCHAR, mended VARCHAR)")
        connection.executemany(
            "INSERT INTO landed_files VALUES ('f', ?, ?, ?, ?, ?)",
            [(n, *map(row.get, NAMES)) for n, row in enumerate(landed)],
        )
        if rows:
            connection.executemany("INSERT INTO mends VALUES (?, ?, ?, ?)", rows)
        asked = f'SELECT id, size, late, "at" FROM ({mended.laid_over(SOURCE)}) ORDER BY _line'
        assert connection.execute(asked).fetchall() == [tuple(map(row.get, NAMES)) for row in expected]
