"""Rows of files through a function: the same in this process and on Apache Spark."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.java import spark_environment
from upath import UPath

from contrail.adapters import batches
from contrail.adapters.batches import MapPart, map_files
from contrail.config.settings import EngineSettings
from contrail.errors import DataError
from contrail.lake.parquet import read_folder

INPUTS = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("size", pa.float64())])
MEMORY = 2**20
OUTPUTS = pa.schema([("sum", pa.float64()), ("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])


@dataclass(frozen=True)
class Add:
    """Adds ``number`` to the size, and refuses negative sizes."""

    number: float
    at_once: int = 1

    def __call__(self, rows: pa.Table) -> pa.Table:
        if pc.any(pc.less(rows["size"], 0)).as_py():
            raise DataError(f"sizes of {rows.column_names} are negative: mend the files")
        return pa.table({"id": rows["id"], "at": rows["at"], "sum": pc.add(rows["size"], self.number)})

    def files(self) -> dict[str, bytes]:
        return {"number": str(self.number).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Add":
        return cls(float(files["number"]))


def write(folder: Path, name: str, **columns: list[Any]) -> str:
    """A file with these columns of ``INPUTS``; its URI."""
    schema = pa.schema([INPUTS.field(column) for column in columns])
    pq.write_table(pa.table(columns, schema), folder / name)
    return f"file://{folder / name}"


def parts(folder: Path) -> list[MapPart]:
    """Two functions; the second one's older file has no sizes."""
    first = write(folder, "1.parquet", id=[1, 2], at=[1, None], size=[0.1, 2.5])
    old = write(folder, "2.parquet", id=[3], at=[1_700_000_000_000_001])
    new = write(folder, "3.parquet", size=[7.0], id=[4], at=[-5])
    return [MapPart([first], Add(1)), MapPart([], Add(9)), MapPart([old, new], Add(0.2))]


def mapped(folder: Path, engine: EngineSettings) -> list[dict[str, Any]]:
    found = map_files(engine, parts(folder), INPUTS, OUTPUTS, UPath(folder / "staged"), MEMORY)
    rows = found.read_all() if isinstance(found, pa.RecordBatchReader) else read_folder(found)
    return rows.select(OUTPUTS.names).cast(OUTPUTS).sort_by("id").to_pylist()


def stream(engine: EngineSettings, parts: list[MapPart], folder: Path) -> pa.RecordBatchReader:
    found = map_files(engine, parts, INPUTS, OUTPUTS, UPath(folder / "staged"), MEMORY)
    assert isinstance(found, pa.RecordBatchReader)
    return found


EMBEDDED, SPARK = EngineSettings(), EngineSettings(kind="spark", master="local[2]")


def test_each_part_has_its_function_and_a_column_that_a_file_lacks_is_null(tmp_path: Path) -> None:
    rows = mapped(tmp_path, EMBEDDED)
    assert [row["sum"] for row in rows] == [1.1, 3.5, None, 7.2]
    assert [row["at"] and row["at"].microsecond for row in rows] == [1, None, 1, 999_995]
    assert not (tmp_path / "staged").exists()


def test_no_files_are_no_rows_and_start_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "session_with_code", lambda _: pytest.fail("an engine was started"))
    for engine in (EMBEDDED, SPARK):
        empty = stream(engine, [MapPart([], Add(1))], tmp_path).read_all()
        assert (empty.num_rows, empty.schema) == (0, OUTPUTS)


@pytest.mark.parametrize("engine", [EMBEDDED, EngineSettings(kind="spark", master="sc://host:15002")])
def test_without_executors_rows_stay_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: EngineSettings
) -> None:
    monkeypatch.setattr(batches, "session_with_code", lambda _: pytest.fail("an engine was started"))
    assert len(mapped(tmp_path, engine)) == 4


def files_of(folder: Path, *sizes: int) -> list[str]:
    """A file of so many rows each, with its number as their id."""
    return [
        write(folder, f"{i}.parquet", id=[i] * count, at=[0] * count, size=[0.0] * count)
        for i, count in enumerate(sizes)
    ]


def test_rows_are_held_a_bounded_number_at_a_time(tmp_path: Path) -> None:
    found = [table["id"].to_pylist() for table in batches._read(files_of(tmp_path, 3, 2, 1, 9, 2), INPUTS, 5)]
    assert found == [[0, 0, 0, 1, 1], [2, 3, 3, 3, 3], [3] * 5, [4, 4]]


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_memory_limit_bounds_the_rows_of_all_calls_together(tmp_path: Path, at_once: int) -> None:
    seen: list[int] = []

    class Counting(Add):
        def __call__(self, rows: pa.Table) -> pa.Table:
            seen.append(len(rows))
            return super().__call__(rows)

    memory = 9_000
    part = MapPart(files_of(tmp_path, 100, 50), Counting(1, at_once))
    found = map_files(EMBEDDED, [part], INPUTS, OUTPUTS, UPath(tmp_path / "staged"), memory)
    assert isinstance(found, pa.RecordBatchReader)
    assert not seen, "nothing is computed before somebody reads"
    assert [value for batch in found for value in batch["id"].to_pylist()] == [0] * 100 + [1] * 50
    assert sum(seen) == 150
    assert max(seen) * (at_once + 2) * len(INPUTS) * batches._BYTES_A_VALUE <= memory / 4


def test_results_keep_the_order_of_the_files_whatever_call_is_first(tmp_path: Path) -> None:
    late = threading.Event()

    class FirstIsLast(Add):
        def __call__(self, rows: pa.Table) -> pa.Table:
            if rows["id"][0].as_py() == 0:
                assert late.wait(10), "a call that another one keeps waiting"
            elif rows["id"][0].as_py() == 2:
                late.set()
            return super().__call__(rows)

    one_row = len(INPUTS) * batches._BYTES_A_VALUE * 5
    part = MapPart(files_of(tmp_path, 1, 1, 1, 1), FirstIsLast(1, at_once=3))
    found = map_files(EMBEDDED, [part], INPUTS, OUTPUTS, UPath(tmp_path / "staged"), one_row)
    assert [batch["id"].to_pylist() for batch in found] == [[0], [1], [2], [3]]


def test_an_error_of_the_function_reaches_the_reader_as_it_is(tmp_path: Path) -> None:
    part = MapPart([write(tmp_path, "1.parquet", id=[1], at=[0], size=[-1.0])], Add(1))
    with pytest.raises(DataError, match=r"sizes of \['id', 'at', 'size'\] are negative: mend the files"):
        stream(EMBEDDED, [part], tmp_path).read_all()


def test_a_worker_makes_the_function_once_for_all_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Mapping[str, bytes]] = []
    monkeypatch.setattr(Add, "from_files", classmethod(lambda cls, files: made.append(files) or cls(1)))
    sent: Any = type("Sent", (), {"value": Add(1).files()})()

    def task() -> Iterator[pa.RecordBatch]:
        rows = pa.table({"id": [1], "at": [None], "size": [2.0]}, INPUTS).to_batches()
        return batches._map_batches(iter(rows * 3), Add, sent, OUTPUTS)

    assert [batch["sum"][0].as_py() for batch in [*task(), *task()]] == [3.0] * 6
    assert len(made) == 1


# A process of its own: PySpark cannot hold a Connect session and a classic one at once.
SCRIPT = """
import sys
from pathlib import Path
from tests.unit.adapters.test_batches import INPUTS, MEMORY, OUTPUTS, SPARK, Add, MapPart, UPath, map_files, mapped, write

folder = Path(sys.argv[1])
print(mapped(folder, SPARK), flush=True)
negative = [MapPart([write(folder, "4.parquet", id=[1], at=[0], size=[-1.0])], Add(1))]
map_files(SPARK, negative, INPUTS, OUTPUTS, UPath(folder / "staged"), MEMORY)
"""


@pytest.mark.slow
def test_spark_gives_the_same_rows_and_the_functions_own_errors(tmp_path: Path) -> None:
    environment = spark_environment(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.strip() == str(mapped(tmp_path, EMBEDDED)), done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last == "contrail.errors.DataError: sizes of ['id', 'at', 'size'] are negative: mend the files", done.stderr
