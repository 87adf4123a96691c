"""A question reads the tables of one pipeline. It changes nothing, and sees nothing else."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_toy
from tests.unit.lake.test_views import with_personal

from contrail.errors import EngineError, SpecError
from contrail.lake import datasets, readers, records, sql
from contrail.lake.sql import ask
from contrail.lake.views import shown

SECRET = "a line that no answer may show"


def two_tables(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-03")


@pytest.fixture
def asked(prepared: Prepare) -> Toy:
    toy = prepared(two_tables)
    (toy.settings.home_path / "secret.txt").write_text(SECRET)
    return toy


def answered(toy: Toy, question: str, **options: Any) -> list[tuple[Any, ...]]:
    with ask(toy.lake, toy.spec, question, **options) as answer:
        return list(answer.rows())


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("SELECT count(*) FROM features", [(180,)]),
        ("WITH f AS (FROM features) SELECT count(*) FROM f JOIN validated_parcels USING (ship_date, parcel)", [(180,)]),
        ("-- a comment\nSELECT max(partition_date)::VARCHAR FROM \"FEATURES\";", [("2024-01-03",)]),
        ("FROM features SELECT count(*)", [(180,)]),
        ("SELECT count(*) FROM corrections", [(0,)]),
        ("SELECT count(*) FROM predictions_latest", [(0,)]),
        ("SELECT count(*) FROM model_performance", [(0,)]),
        ("SELECT * FROM (PIVOT features ON depot IN ('A') USING count(*) GROUP BY ship_date) LIMIT 0", []),
    ],
)  # fmt: skip
def test_what_reads_is_answered(asked: Toy, question: str, expected: list[Any]) -> None:
    assert answered(asked, question) == expected


@pytest.mark.parametrize("question", ["DESCRIBE features", "SUMMARIZE features", "EXPLAIN SELECT * FROM features",
                                      "EXPLAIN (ANALYZE, FORMAT json) SELECT 1", "EXPLAIN ANALYZE FROM features"])  # fmt: skip
def test_a_table_can_be_described_and_a_question_explained(asked: Toy, question: str) -> None:
    assert answered(asked, question)


def test_every_table_is_shown_also_those_without_rows(asked: Toy) -> None:
    assert {name for (name,) in answered(asked, "SHOW TABLES")} == set(shown(asked.spec))
    assert {"predictions_latest", "corrections"} < set(shown(asked.spec))


def test_only_the_tables_that_are_named_are_opened(asked: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    files = readers.files
    monkeypatch.setattr(readers, "files", lambda tables, name, **rest: opened.append(name) or files(tables, name, **rest))  # type: ignore[func-returns-value]  # fmt: skip
    answered(asked, "SELECT count(*) FROM features WHERE depot NOT IN (SELECT depot FROM validated_depots)")
    assert opened == ["features"], "there are no depots yet"


def test_a_table_is_shown_as_it_was(asked: Toy) -> None:
    then = datetime.now(UTC)
    publish_toy(asked, "2024-01-04", "2024-01-04")
    count = "SELECT count(*) FROM features"
    assert answered(asked, count) == [(240,)]
    assert answered(asked, count, as_of=then) == [(180,)]
    assert answered(asked, count, as_of=then - timedelta(days=900)) == [(0,)], "before there was any"


# Each would write, read another file, or change the session. `{file}` is a data file of a table, `{home}` the home.
FORBIDDEN = """
COPY (SELECT 1) TO '{file}'
COPY features TO '{home}/out.csv'
COPY features FROM '{home}/secret.txt'
EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{file}' (FORMAT parquet)
EXPLAIN ANALYZE COPY features TO '{home}/out.csv'
EXPLAIN (ANALYZE) COPY features TO '{home}/out.csv'
EXPLAIN /* well */ ANALYZE COPY features TO '{home}/out.csv'
/* EXPLAIN */ EXPLAIN ANALYZE COPY features TO '{home}/out.csv'
EXPLAIN EXPLAIN ANALYZE COPY features TO '{home}/out.csv'
EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1
EXPORT DATABASE '{home}/export'
IMPORT DATABASE '{home}/export'
ATTACH '{home}/other.db'
ATTACH '{home}/lake/catalog.db' (TYPE sqlite)
DETACH memory
USE memory
CREATE TABLE t (a INT)
CREATE OR REPLACE VIEW features AS SELECT 1
CREATE MACRO f() AS 1
CREATE SECRET (TYPE gcs)
CREATE TEMP TABLE t AS SELECT 1
INSERT INTO features SELECT * FROM features
UPDATE features SET depot = 'X'
DELETE FROM features
MERGE INTO features USING features AS f ON true WHEN MATCHED THEN DELETE
WITH gone AS (DELETE FROM features RETURNING *) SELECT * FROM gone
TRUNCATE features
DROP VIEW features
ALTER VIEW features RENAME TO f
COMMENT ON VIEW features IS 'x'
SET enable_external_access = true
RESET enable_external_access
SET GLOBAL memory_limit = '1TB'
PRAGMA enable_profiling = 'json'
PRAGMA database_list
CALL enable_logging('QueryLog', storage = 'file', storage_path = '{home}/logs')
SELECT * FROM enable_logging()
CHECKPOINT
VACUUM
ANALYZE
LOAD httpfs
INSTALL httpfs
PREPARE p AS SELECT 1
EXECUTE p
BEGIN
COMMIT
ROLLBACK
SELECT 1; COPY features TO '{home}/out.csv'
COMMIT; DROP VIEW features
SELECT * FROM read_text('{home}/secret.txt')
SELECT * FROM read_blob('{home}/secret.txt')
SELECT * FROM read_csv('{home}/secret.txt')
SELECT * FROM read_csv_auto('{home}/*.txt')
SELECT * FROM read_json('{home}/secret.txt')
SELECT * FROM read_parquet('{home}/lake/warehouse/*/*/*/*.parquet')
SELECT * FROM sniff_csv('{home}/secret.txt')
SELECT * FROM glob('{home}/*')
SELECT * FROM '{home}/secret.txt'
SELECT * FROM 'https://127.0.0.1/secret.csv'
SELECT * FROM read_text('{file}/../../../../../../../secret.txt')
SELECT getenv('HOME')
SELECT * FROM query('COPY features TO ''{home}/out.csv''')
SELECT * FROM sqlite_scan('{home}/lake/catalog.db', 'iceberg_tables')
SELECT * FROM frame
SELECT * FROM read_parquet('{file}')
SELECT * FROM '{file}'
DESCRIBE '{file}'
SUMMARIZE '{file}'
SELECT (SELECT max(parcel) FROM parquet_scan('{file}'))
SELECT * FROM parquet_metadata('{file}')
EXPLAIN SELECT * FROM read_parquet('{file}')
SELECT * FROM query('SELECT * FROM read_parquet(''{file}'')')
SELECT * FROM query_table('duckdb_views')
FROM json_execute_serialized_sql(json_serialize_sql('FROM read_parquet(''{file}'')'))
SELECT sql FROM duckdb_views
SELECT sql FROM DUCKDB_VIEWS()
SELECT view_definition FROM information_schema.views
SELECT definition FROM pg_catalog.pg_views
SELECT definition FROM pg_views
SELECT sql FROM sqlite_master
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM pandas_scan(1)
PIVOT features ON depot
SELECT nextval('s')

;
-- nothing
SELEC 1
""".strip("\n").split("\n")


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nothing_else_is_done_and_no_file_changes(asked: Toy, statement: str) -> None:
    home = asked.settings.home_path
    frame = SECRET  # noqa: F841 - DuckDB would find it, or a data frame of this name
    file = asked.lake.files("features")[0].removeprefix("file://")
    before = everything(home)
    with pytest.raises(SpecError) as refused:
        answered(asked, statement.format(file=file, home=home))
    assert SECRET not in str(refused.value)
    assert everything(home) == before


@pytest.mark.parametrize("question", [
    "EXPLAIN SELECT * FROM features WHERE parcel < 1000",
    "EXPLAIN ANALYZE SELECT * FROM features WHERE parcel < 1000",
    "SELECT sql FROM duckdb_views()",
    "SELECT * FROM read_parquet('{file}')",
    "FROM '{file}'",
    'SELECT s.* FROM "{stem}"."parquet" s, features',
    'SELECT s.* FROM "{stem}"."main"."parquet" s, features',
    'FROM "{folder}"."{name}"."parquet"',
    'SUMMARIZE "{stem}"."parquet"',
    'DESCRIBE "{stem}"."parquet"',
    "SELECT pg_get_viewdef(oid) FROM pg_class",
    "SELECT (oid).PG_GET_VIEWDEF() FROM pg_class",
    "SELECT current_setting('allowed_paths')",
    "SELECT json_serialize_plan('SELECT * FROM features WHERE parcel < 1000')",
])  # fmt: skip
def test_pseudonyms_have_no_way_around_them(asked: Toy, question: str) -> None:
    file = asked.lake.files("features")[0].removeprefix("file://")
    stem = file.removesuffix(".parquet")
    asked.spec = with_personal(asked.spec, "parcels", "parcel")
    with pytest.raises(SpecError):
        answered(asked, question.format(file=file, stem=stem, folder=stem.rpartition("/")[0], name=Path(stem).name))
    parcels = "SELECT count(*) FROM features WHERE parcel < 1000"
    assert (answered(asked, parcels), answered(asked, parcels, personal=True)) == ([(0,)], [(180,)])
    if question.startswith("EXPLAIN"):
        assert answered(asked, question, personal=True), "whoever may see the values may see the plan"


def everything(home: Path) -> dict[str, str]:
    """Each file below the home with a digest of what it holds."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in home.rglob("*") if path.is_file()}


def test_a_question_that_takes_too_long_is_given_up(asked: Toy) -> None:
    with pytest.raises(SpecError, match=r"given up after 0\.2 s.*set --seconds"):
        answered(
            asked, "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range", seconds=0.2
        )


def test_an_error_while_rows_are_read_is_in_words_too(asked: Toy) -> None:
    with pytest.raises(SpecError, match=r"the query failed: .*Could not convert string 'x'[\s\S]*Tables: corrections"):
        answered(asked, "SELECT CAST(CASE WHEN range > 90000 THEN 'x' ELSE '1' END AS INT) FROM range(100000)")


def test_the_memory_of_a_question_is_limited(asked: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_LOCKED", ("SET memory_limit = '20MB'", "SET max_temp_directory_size = '0KB'"))
    with pytest.raises(sql.EngineError, match=r"needs more than [\d,]+ MiB of memory \(memory_limit\)"):
        answered(asked, "SELECT range, count(*) FROM range(20000000) GROUP BY ALL ORDER BY ALL")


def test_an_earlier_moment_shows_the_columns_of_its_time(asked: Toy) -> None:
    then = datetime.now(UTC)
    columns = [name for name, *_ in answered(asked, "DESCRIBE features")]
    renamed = {("mass" if name == "weight" else name): c for name, c in asked.spec.features.columns.items()}
    renamed["mass"] = renamed["mass"].model_copy(update={"renamed_from": ("weight",)})
    features = asked.spec.features.model_copy(update={"columns": renamed})
    dataset = datasets.features(asked.spec.model_copy(update={"features": features}))
    asked.lake.bring_up_to_date([dataset])
    heaviest = "SELECT max({}) FROM features"
    assert [name for name, *_ in answered(asked, "DESCRIBE features", as_of=then)] == columns
    assert answered(asked, heaviest.format("mass")) == answered(asked, heaviest.format("weight"), as_of=then)
    assert [name for name, *_ in answered(asked, "DESCRIBE features")] == list(dataset.columns)


def test_views_show_what_their_table_has_at_the_time(asked: Toy) -> None:
    dataset = datasets.predictions(asked.spec)
    fewer = {name: column for name, column in dataset.columns.items() if not name.startswith("reason_3")}
    asked.lake.ensure(replace(dataset, columns=fewer))
    assert "reason_3" not in [name for name, *_ in answered(asked, "DESCRIBE predictions_latest")]
    performance = records.performance(asked.spec)
    asked.lake.ensure(replace(performance, columns={n: c for n, c in performance.columns.items() if n != "shadow"}))
    assert answered(asked, "SELECT * FROM model_performance") == []


def test_an_unknown_table_has_the_nearest_name(asked: Toy) -> None:
    with pytest.raises(
        SpecError, match=r"^no table 'featurs' in toy; did you mean 'features'\?\nTables: corrections, drift"
    ):
        answered(asked, "SELECT * FROM featurs")


def test_files_that_go_before_they_are_read_are_asked_for_again(asked: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgets a person removes files at once."""
    confine = sql._confine

    def later(connection: Any, opened: list[str]) -> None:
        for path in opened:
            Path(path).unlink()
        confine(connection, opened)

    monkeypatch.setattr(sql, "_confine", later)
    with pytest.raises(EngineError, match="removed while they were read"):
        answered(asked, "SELECT max(weight) FROM features")
