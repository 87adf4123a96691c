"""Questions of ``contrail query``: whatever is asked, it only reads the tables, and ends with rows or in words."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import EngineError, SpecError
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from tests.fuzz.target import TEXTS, Target, WrongError

SECRET = "a line that no answer may show"
_SECONDS = 3.0
_NAMES = (
    "features",
    "validated_parcels",
    "predictions",
    "quarantine",
    "parcel",
    "depot",
    "weight",
    "partition_date",
    "f",
    "*",
)
_FILES = ("{home}/secret.txt", "{home}/*", "/etc/passwd", "/proc/self/environ", "http://127.0.0.1:{port}/x", "s3://b/k",
          "{home}/made", "sqlite:x", ":memory:", "/dev/stdin")  # fmt: skip
_READS = ("read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_parquet", "parquet_scan",
          "parquet_metadata", "parquet_schema", "glob", "sniff_csv", "query", "query_table", "getenv", "current_setting",
          "duckdb_settings", "duckdb_secrets", "which_secret", "pragma_table_info", "pragma_database_size", "duckdb_functions",
          "sqlite_scan", "iceberg_scan", "st_read", "json_serialize_sql", "from_json", "range", "repeat", "unnest",
          "generate_series", "regexp_extract_all", "list_transform", "array_to_string", "hash", "sum", "count", "max",
          "string_agg", "histogram", "approx_quantile", "row_number", "checkpoint", "force_checkpoint",
          "test_all_types")  # fmt: skip
_WRITES = (
    "COPY features TO {file}", "COPY features FROM {file}", "EXPORT DATABASE {file}", "IMPORT DATABASE {file}",
    "ATTACH {file} AS x",
    "DETACH memory", "CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1", "CREATE MACRO m() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "DROP VIEW features", "DELETE FROM features", "UPDATE features SET weight = 0", "INSERT INTO features SELECT * FROM features",
    "SET memory_limit = '99GB'", "SET enable_external_access = true", "RESET lock_configuration", "PRAGMA enable_profiling",
    "PRAGMA database_list", "INSTALL httpfs", "LOAD httpfs", "LOAD {file}", "CALL pragma_version()", "BEGIN",
    "COMMIT", "ROLLBACK",
    "CHECKPOINT", "VACUUM", "PREPARE p AS SELECT 1", "EXECUTE p", "USE memory", "ALTER TABLE features ADD COLUMN x INT",
    "COMMENT ON VIEW features IS 'x'", "SET VARIABLE x = 1", "EXPLAIN ANALYZE COPY (SELECT 1) TO {file}",
)  # fmt: skip
_LITERALS = st.sampled_from(["1", "0", "-1", "1e308", "NULL", "true", "DATE '2024-01-02'", "9" * 50, "[1, 2]",
"{'a': 1}", "x'00'",
                             "INTERVAL 1 DAY", "'a'", "'{file}'", "'({{'", "range(1000000000)",
                             "repeat('x', 1000000000)"])  # fmt: skip
_QUOTED = TEXTS.map(lambda text: "'" + text.replace("'", "''") + "'")
_ATOMS = st.sampled_from(_NAMES) | _LITERALS | _QUOTED


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    called = st.tuples(st.sampled_from(_READS), st.lists(inner, max_size=3)).map(lambda c: f"{c[0]}({', '.join(c[1])})")
    joined = st.tuples(
        inner, st.sampled_from(["+", "||", "AND", "=", "IN", "::", "->>", "^", "/", "%", "LIKE", ","]), inner
    )
    return called | joined.map(lambda c: f"({c[0]} {c[1]} {c[2]})") | inner.map(lambda e: f"(SELECT {e} FROM features)")


_VALUES = st.recursive(_ATOMS, _calls, max_leaves=6)
_SOURCES = (
    st.sampled_from(_NAMES)
    | st.sampled_from(_FILES).map(lambda file: f"'{file}'")
    | st.tuples(st.sampled_from(_READS), _VALUES).map(lambda c: f"{c[0]}({c[1]})")
    | st.just("features a, features b, features c, features d")
    | st.just("(VALUES (1), (2)) v(x)")
)
_TAILS = st.sampled_from(["", "", " LIMIT 5", " ORDER BY ALL", " GROUP BY ALL", " WHERE 1/0 = 1", " WINDOW w AS ()",
";", "; SELECT 2",
                          " UNION ALL SELECT 1", " OFFSET 1e9", " USING SAMPLE 10", " -- x", " /* x",
                          "; DROP VIEW features"])  # fmt: skip
_SELECTS = st.tuples(_VALUES, _SOURCES, _TAILS).map(lambda q: f"SELECT {q[0]} FROM {q[1]}{q[2]}")
_WITHS = st.tuples(_SELECTS, _TAILS).map(
    lambda q: f"WITH RECURSIVE r AS ({q[0]} UNION ALL SELECT * FROM r) SELECT * FROM r{q[1]}"
)
_OTHERS = st.sampled_from(
    ["DESCRIBE ", "SUMMARIZE ", "EXPLAIN ", "EXPLAIN ANALYZE ", "FROM ", "PIVOT ", "SHOW ", "(", "TABLE "]
)
QUESTIONS = (
    _SELECTS
    | _WITHS
    | st.sampled_from(_WRITES).map(lambda text: text.replace("{file}", "'{home}/made'"))
    | st.tuples(_OTHERS, _SELECTS).map("".join)
    | st.lists(st.sampled_from([*_NAMES, *_READS, *_WRITES, "SELECT", "FROM", "(", ")", ",", "'", '"', ";", "::", "$$"]) | TEXTS,
               max_size=12).map(" ".join)
)  # fmt: skip


class Watched:
    """A home with a secret file and a port, of which no question may learn."""

    def __init__(self) -> None:
        self.pipeline = load_pipeline("toy")
        self.lake = Lake(settings(), "toy")
        self.home = Path(settings().home_path)
        (self.home / "secret.txt").write_text(SECRET)
        self.port = socket.create_server(("127.0.0.1", 0))
        self.port.setblocking(False)

    def _files(self) -> frozenset[tuple[str, int, int]]:
        """Everything in the home but a question's own folder, and in the folder of the process."""
        found = []
        for root in (self.home, Path.cwd()):
            for path in root.rglob("*"):
                if path.is_file() and "spill-" not in str(path):
                    status = path.stat()
                    found.append((str(path), status.st_size, status.st_mtime_ns))
        return frozenset(found)

    def filled_in(self, question: str) -> str:
        """The question with the places of this home."""
        place = {
            "{home}": str(self.home),
            "{port}": str(self.port.getsockname()[1]),
            "{file}": f"{self.home}/secret.txt",
        }
        for mark, own in place.items():
            question = question.replace(mark, own)
        return question

    def check(self, question: str) -> None:
        """Ask, and look whether anything but the answer came of it."""
        question = self.filled_in(question)
        before = self._files()
        try:
            with ask(self.lake, self.pipeline.spec, question, _SECONDS) as answer:
                rows = answer.first(200)
        except (SpecError, EngineError) as refused:
            if SECRET in str(refused) or "Traceback" in str(refused):
                raise WrongError(f"the refusal says what nobody may know: {str(refused)[:300]}") from refused
            rows = []
        if SECRET in str(rows) or "root:x:" in str(rows):
            raise WrongError(f"the answer shows a file: {str(rows)[:300]}")
        with self._no_call():
            pass
        if changed := self._files() ^ before:
            raise WrongError(f"files changed: {sorted(changed)[:4]}")

    @contextmanager
    def _no_call(self) -> Iterator[None]:
        try:
            self.port.accept()
        except BlockingIOError:
            yield
            return
        raise WrongError("the question called somebody on the network")


def target(watched: Watched) -> Target:
    """Questions to a home."""
    return Target("query", QUESTIONS, watched.check, seconds=30, short=30)
