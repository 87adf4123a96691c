"""Mended rows in files of both formats: the columns that are there, as text, and where each row stands."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.lake.test_mended import SOURCE

from contrail.adapters.mend_file import read_mends
from contrail.errors import DataError, SpecError

CSV = 'size,_line,_file,_rule\n6,2,f,"a, ""quoted"" rule"\n,3,f,r\n'
ROWS = [
    {"size": "6", "_line": "2", "_file": "f", "_rule": 'a, "quoted" rule', "_place": 2},
    {"size": None, "_line": "3", "_file": "f", "_rule": "r", "_place": 3},
]


def read(path: Path, hidden: tuple[str, ...] = ()) -> list[dict[str, object]]:
    found = [row for batch in read_mends(path, SOURCE, hidden) for row in batch.to_pylist()]
    return [{name: row[name] for name in sorted(row)} for row in found]


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_csv_gives_its_own_columns_in_any_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(CSV.encode()) if name.endswith(".gz") else b"\xef\xbb\xbf" + CSV.encode())
    assert read(path) == [{name: row[name] for name in sorted(row)} for row in ROWS]


def test_parquet_gives_typed_values_as_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"_file": ["f"], "_line": [2], "size": [6.5]}), path)
    assert read(path) == [{"_file": "f", "_line": "2", "_place": 1, "size": "6.5"}]
    pq.write_table(pa.table({"_file": ["f"], "_line": [2], "size": [[6.5]]}), path)
    with pytest.raises(DataError, match=r"size.* has no text(.|\n)*Nothing was mended"):
        read(path)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("_file,_line,sise\nf,2,1\n", SpecError, "no column 'sise'; did you mean 'size'"),
        ("_file,_line,size,size\nf,2,1,1\n", SpecError, "'size' is there twice"),
        ("_line,size\n2,1\n", SpecError, "have no _file"),
        ("_file,_line,size\nf,2\n", DataError, "line 2 has 2 fields, the header 3"),
        ("", DataError, "0 bytes"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(error, match=words):
        read(path)


def test_a_hidden_column_cannot_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("_file,_line,size\nf,2,1\n")
    with pytest.raises(SpecError, match="size is personal"):
        read(path, ("size",))
