"""Files that are final are moved as they are. All others are sorted and written anew, and nobody need know which."""

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows
from upath import UPath

from contrail.config.table_spec import ColumnSpec
from contrail.errors import AuditError
from contrail.lake import publisher, writing
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake

WEIGHED = Dataset("items", "", {**ITEMS.columns, "weight": ColumnSpec(type="float")}, ("id",))
Staged = dict[str, pa.Table]


def with_ids(lake: Lake, table: pa.Table, dataset: Dataset = ITEMS) -> pa.Table:
    ids = lake.field_ids(dataset)
    fields = [field.with_metadata({b"PARQUET:field_id": str(ids[field.name]).encode()}) for field in table.schema]
    return table.cast(pa.schema(fields))


def staged(folder: Path, files: Staged) -> UPath:
    for name, table in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name)
    return UPath(folder)


def two_days(lake: Lake) -> Staged:
    """One partition a file, one of them in two, in folders and with files of no rows as an engine leaves them."""
    second = with_ids(lake, rows([DAY2], "blue"))
    return {
        "_day=1/part-1.parquet": with_ids(lake, rows([DAY1])),
        "_day=2/part-1.parquet": second.slice(2),
        "_day=2/part-2.parquet": second.slice(0, 2),
        "part-3.parquet": second.slice(0, 0),
        "_temporary/0/part-9.parquet": second,
    }


@pytest.fixture
def rewritten(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were written anew, a number for each publication that did."""
    found: list[int] = []
    own = writing.write
    monkeypatch.setattr(
        publisher.writing, "write", lambda *given: (written := own(*given), found.append(len(written)))[0]
    )
    return found


def test_final_files_are_moved_as_they_are(lake: Lake, tmp_path: Path, rewritten: list[int]) -> None:
    folder = staged(tmp_path / "staged", two_days(lake))
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "staged").glob("_day=*/*")}
    lake.publish(ITEMS, folder, [DAY1, DAY2], provenance())
    assert rewritten == []
    assert {Path(uri).stem.rsplit("-", 1)[1] for uri in lake.files("items")} == digests
    assert list((tmp_path / "staged").glob("_day=*/*")) == []
    expected = pa.concat_tables([rows([DAY1]), rows([DAY2], "blue")])
    assert lake.scan("items").to_pylist() == expected.to_pylist()
    assert (
        lake.table("items")
        .scan()
        .to_arrow()
        .sort_by([("partition_date", "ascending"), ("id", "ascending")])
        .cast(expected.schema)
        .equals(expected)
    )
    assert lake.verify("items").damages == ()
    assert lake.partitions("items")[DAY2].rows == 3


def test_the_same_final_files_again_change_nothing(lake: Lake, home: Path, tmp_path: Path) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    again = {f"{day}.parquet": with_ids(lake, rows([day])) for day in (DAY1, DAY2)}
    assert lake.publish(ITEMS, staged(tmp_path / "staged", again), [DAY1, DAY2], provenance()) == first
    assert len(list((home / "lake").rglob("*.parquet"))) == 2


NOT_FINAL: dict[str, Callable[[Lake], Staged]] = {
    "no ids": lambda lake: {"a.parquet": rows([DAY1])},
    "another id": lambda lake: {"a.parquet": rows([DAY1]).cast(_swapped(lake))},
    "not sorted": lambda lake: {"a.parquet": with_ids(lake, rows([DAY1])).take([1, 0, 2])},
    "two partitions": lambda lake: {"a.parquet": with_ids(lake, rows([DAY1, DAY2]))},
    "another type": lambda lake: {"a.parquet": _small_ints(lake)},
    "ranges that overlap": lambda lake: {
        "a.parquet": with_ids(lake, rows([DAY1])).take([0, 2]),
        "b.parquet": with_ids(lake, rows([DAY1])).take([1]),
    },
    "one of two": lambda lake: {"a.parquet": with_ids(lake, rows([DAY1])), "b.parquet": rows([DAY2])},
}


def _swapped(lake: Lake) -> pa.Schema:
    right = with_ids(lake, rows([DAY1])).schema
    return pa.schema(
        [right.field(0), *(pa.field(right[i].name, right[i].type, metadata=right[3 - i].metadata) for i in (1, 2))]
    )


def _small_ints(lake: Lake) -> pa.Table:
    right = with_ids(lake, rows([DAY1]))
    return right.cast(right.schema.set(1, right.schema.field(1).with_type(pa.int32())))


@pytest.mark.parametrize("kind", NOT_FINAL)
def test_other_files_are_sorted_and_written_anew(lake: Lake, tmp_path: Path, rewritten: list[int], kind: str) -> None:
    files = NOT_FINAL[kind](lake)
    lake.publish(ITEMS, staged(tmp_path / "staged", files), [DAY1, DAY2], provenance())
    assert len(rewritten) == 1
    days = [DAY1, DAY2] if sum(table.num_rows for table in files.values()) == 6 else [DAY1]
    assert lake.scan("items").to_pylist() == rows(days).to_pylist()
    assert all((tmp_path / "staged" / name).exists() for name in files), "they are the caller's"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pa.concat_tables([table, table.slice(2)]), "1 keys occur more than once"),
        (lambda table: table.set_column(3, table.schema.field(3), pa.array([1, float("inf"), 2])), "are infinite"),
        (
            lambda table: table.set_column(3, table.schema.field(3), pa.array([1.0, 2.0, None])),
            "weight: 1 of 3 rows are null",
        ),
        (lambda table: table.set_column(1, table.schema.field(1), pa.array([1, 2, None])), "id: 1 of 3 rows are null"),
    ],
)
def test_final_files_are_audited_where_they_are(
    lake: Lake, home: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    table = rows([DAY1]).append_column("weight", pa.array([1.0, 2.0, 3.0]))
    folder = staged(tmp_path / "staged", {"a.parquet": change(with_ids(lake, table, WEIGHED))})
    with pytest.raises(AuditError, match=message):
        lake.publish(WEIGHED, folder, [DAY1], provenance())
    assert list((home / "lake").rglob("*.parquet")) == []
    assert (tmp_path / "staged" / "a.parquet").exists()


def test_final_files_outside_the_partitions_are_refused(lake: Lake, tmp_path: Path) -> None:
    folder = staged(tmp_path / "staged", {"a.parquet": with_ids(lake, rows([date(2024, 5, 1)]))})
    with pytest.raises(AuditError, match="which this run does not replace"):
        lake.publish(ITEMS, folder, [DAY1], provenance())
