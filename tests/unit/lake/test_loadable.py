"""Which files of a table a warehouse can load as they are, and what becomes of the others."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from contrail.lake import loadable as module
from contrail.lake.loadable import loadable
from contrail.lake.parquet import with_earlier

COLUMNS = pa.schema([("parcel", pa.int64()), ("name", pa.string())])
TABLE = pa.schema([with_earlier(COLUMNS.field("parcel"), ["number"]), COLUMNS.field("name"), ("gone", pa.float64())])


def write(folder: Path, name: str, columns: dict[str, Any], *types: pa.DataType) -> str:
    """A file of the lake; its URI."""
    schema = pa.schema(list(zip(columns, types, strict=True)))
    pq.write_table(pa.table(columns, schema), folder / name)
    return f"file://{folder / name}"


def fitting(folder: Path, name: str = "new.parquet", kind: pa.DataType | None = None) -> str:
    return write(folder, name, {"name": ["a"], "parcel": [1]}, kind or pa.string(), pa.int64())


def test_files_with_the_columns_of_today_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_batches", lambda *_: pytest.fail("rows were read"))
    files = [fitting(tmp_path), fitting(tmp_path, "large.parquet", pa.large_string())]
    assert loadable(files, TABLE, COLUMNS, UPath(tmp_path / "staging" / "copy.parquet")) == files


@pytest.mark.parametrize(
    "columns",
    [{"number": [2], "name": ["b"]}, {"parcel": [2], "name": ["b"], "gone": [0.5]}, {"parcel": [2]}],
    ids=["another name", "a column more", "a column less"],
)
def test_rows_of_older_files_are_copied_under_the_names_of_today(tmp_path: Path, columns: dict[str, Any]) -> None:
    kinds = {"number": pa.int64(), "parcel": pa.int64(), "name": pa.string(), "gone": pa.float64()}
    old = write(tmp_path, "old.parquet", columns, *(kinds[name] for name in columns))
    new, copy = fitting(tmp_path), UPath(tmp_path / "staging" / "copy.parquet")
    assert loadable([old, new], TABLE, COLUMNS, copy) == [new, str(copy)]
    found = pq.read_table(str(copy))
    assert found.schema == COLUMNS
    assert found.to_pylist() == [{"parcel": 2, "name": columns.get("name", [None])[0]}]


def test_no_files_are_no_files(tmp_path: Path) -> None:
    assert loadable([], TABLE, COLUMNS, UPath(tmp_path / "copy.parquet")) == []
    assert not (tmp_path / "copy.parquet").exists()
