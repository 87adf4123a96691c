"""Days of several files: what makes a day complete, what refuses it, and what becomes of it later."""

import errno
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml
from tests.conftest import TOY_PIPELINES, Toy
from tests.landed import landed_path, lines_of

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import FileRefusedError
from contrail.lake.sessions import spill_folder
from contrail.partitions import Partitions
from contrail.stages import ingest
from contrail.stages.ingestion import files

DAY, NEXT = "2024-01-05", "2024-01-06"
PARTS = "{date}/part-*.parquet"


class Feed:
    """A toy whose deliveries land in another form."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        self.folder = Path(str(toy.landing)) / "deliveries"
        toy.land(DAY, NEXT)
        self.usual = {day: lines_of(toy, "deliveries", day) for day in (DAY, NEXT)}
        for day in (DAY, NEXT):
            landed_path(toy, "deliveries", day).unlink()

    def part(self, name: str, lines: list[str]) -> Path:
        """Land some lines of a day (the first is the header) as Parquet, typed by Arrow."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = pacsv.read_csv(io.BytesIO("\n".join(lines).encode()))
        pq.write_table(rows, path)
        return path

    def parts(self, day: str, folder: str | None = None, count: int = 3) -> None:
        """Land a day as several files."""
        head, *rows = self.usual[day]
        for n in range(count):
            self.part(f"{folder or day}/part-{n:05}.parquet", [head, *rows[n::count]])

    def rows(self, table: str = "raw_deliveries", day: str = DAY) -> int:
        ((found,),) = self.toy.sql(f"SELECT count(*) FROM {table} WHERE partition_date = '{day}'")
        return int(found)


def feed_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **landed: Any) -> Feed:
    folder = tmp_path / "pipelines"
    shutil.copytree(TOY_PIPELINES / "toy", folder / "toy", dirs_exist_ok=True)
    path = folder / "toy" / "pipeline.yaml"
    values = yaml.safe_load(path.read_text())
    values["tables"]["deliveries"]["landed"] = landed
    path.write_text(yaml.safe_dump(values))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder))
    settings.cache_clear()
    return Feed(Toy(load_pipeline("toy"), settings()))


@pytest.fixture
def feed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Feed:
    """A folder of Parquet files for each day."""
    return feed_as(tmp_path, monkeypatch, files=PARTS)


def test_several_files_are_one_day(feed: Feed) -> None:
    feed.parts(DAY)
    feed.toy.run("ingest", DAY)
    assert feed.rows() == len(feed.usual[DAY]) - 1
    found = feed.toy.sql("SELECT _file, min(_line), count(DISTINCT _sha256) FROM raw_deliveries GROUP BY 1 ORDER BY 1")
    assert found == [(f"deliveries/{DAY}/part-{n:05}.parquet", 1, 1) for n in range(3)]
    assert feed.toy.run("ingest", DAY).unchanged


def test_typed_rows_are_validated_as_those_of_a_text_file(feed: Feed, tmp_path: Path) -> None:
    feed.parts(DAY)
    landed_path(feed.toy, "deliveries", DAY).unlink(missing_ok=True)
    feed.toy.run("ingest", DAY)
    feed.toy.run("validate", DAY)
    found = feed.toy.sql("SELECT parcel, delay, delivered_at::VARCHAR FROM validated_deliveries ORDER BY 1")
    lines = [line.split(",") for line in feed.usual[DAY][1:]]
    head = feed.usual[DAY][0].split(",")
    parcel, delay = head.index("parcel"), head.index("delay")
    assert [(row[0], row[1]) for row in found] == sorted((int(each[parcel]), float(each[delay])) for each in lines)


def test_one_bad_file_refuses_its_day_and_no_other(feed: Feed) -> None:
    for day in (DAY, NEXT):
        feed.parts(day)
    bad = feed.folder / DAY / "part-00001.parquet"
    content = bad.read_bytes()
    bad.write_bytes(content[:-7])
    with pytest.raises(FileRefusedError, match="truncated_parquet") as caught:
        feed.toy.run("ingest", DAY, NEXT)
    assert f"file: {bad}" in str(caught.value) and "with .2 after the date" in str(caught.value)
    assert (feed.rows(), feed.rows(day=NEXT)) == (0, len(feed.usual[NEXT]) - 1)
    ((kept,),) = feed.toy.sql("SELECT kept_uri FROM refusals")
    assert Path(kept).read_bytes() == content[:-7] and Path(kept).name.startswith(f"{DAY}-part-00001-")
    bad.write_bytes(content)
    feed.toy.run("ingest", DAY, NEXT)
    assert feed.rows() == len(feed.usual[DAY]) - 1


def test_a_later_file_replaces_the_day(feed: Feed) -> None:
    head, *rows = feed.usual[DAY]
    feed.part(f"{DAY}/part-a.parquet", [head, *rows[:9]])
    feed.toy.run("ingest", DAY)
    feed.part(f"{DAY}/part-b.parquet", [head, *rows[9:]])
    assert feed.toy.run("ingest", DAY).details.replaced == (f"deliveries {DAY}",)
    assert feed.rows() == len(rows)


def test_a_day_is_not_taken_before_its_marker(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_as(tmp_path, monkeypatch, files=PARTS, complete="{date}/_SUCCESS")
    feed.parts(DAY)
    with pytest.raises(FileRefusedError, match=f"missing_file: .* its files wait for {DAY}/_SUCCESS"):
        feed.toy.run("ingest", DAY)
    (feed.folder / DAY / "_SUCCESS").touch()
    feed.toy.run("ingest", DAY)
    head, *rows = feed.usual[DAY]
    feed.part(f"{DAY}.2/part-a.parquet", [head, *rows[:4]])
    assert feed.toy.run("ingest", DAY).unchanged  # the second delivery is on its way
    (feed.folder / f"{DAY}.2" / "_SUCCESS").touch()
    feed.toy.run("ingest", DAY)
    assert feed.rows() == 4


def test_an_unfinished_upload_holds_its_day_back(feed: Feed) -> None:
    feed.parts(DAY)
    upload = feed.folder / DAY / "part-00009.parquet.tmp"
    upload.touch()
    with pytest.raises(FileRefusedError, match=f"an upload has not ended: {DAY}/part-00009.parquet.tmp"):
        feed.toy.run("ingest", DAY)
    upload.unlink()
    feed.toy.run("ingest", DAY)


def test_names_in_a_days_folder_are_told(feed: Feed) -> None:
    feed.parts(DAY)
    (feed.folder / DAY / "readme.txt").touch()
    (feed.folder / f"{NEXT}.parquet").touch()
    with pytest.raises(FileRefusedError) as caught:
        feed.toy.run("ingest", DAY, NEXT)
    assert f"'{DAY}/readme.txt': no file of this table has this name" in str(caught.value)
    assert f"name it {NEXT}/part-*.parquet" in str(caught.value)


def test_the_same_row_in_two_files_is_known_by_its_file(feed: Feed) -> None:
    """Both lie in row 1 of their file."""
    head, first, *rows = feed.usual[DAY]
    feed.part(f"{DAY}/part-a.parquet", [head, first, *rows])
    feed.part(f"{DAY}/part-b.parquet", [head, first])
    feed.toy.run("ingest", DAY)
    feed.toy.run("validate", DAY)
    assert feed.rows("validated_deliveries") == len(rows) + 1
    ((detail,),) = feed.toy.sql("SELECT detail FROM quarantine WHERE rule = 'unique_key'")
    assert detail == f"the same row as line 1 of deliveries/{DAY}/part-a.parquet"


@pytest.mark.parametrize("share", [8, 1 << 40])
def test_rows_that_do_not_fit_wait_in_a_folder_that_goes(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, share: int
) -> None:
    monkeypatch.setattr(ingest, "_WAITING_SHARE", share)
    for day in (DAY, NEXT):
        feed.parts(day)
    feed.toy.run("ingest", DAY, NEXT)
    expected = [tuple(line.split(",")[:2]) for line in feed.usual[DAY][1:]]
    found = feed.toy.sql(
        f"SELECT ship_date, parcel FROM raw_deliveries WHERE partition_date = '{DAY}' ORDER BY parcel::INT"
    )
    assert found == sorted(expected, key=lambda row: int(row[1]))
    with spill_folder(feed.toy.settings) as folder:
        assert list(folder.parent.iterdir()) == [folder]


def test_json_lines_land(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_as(tmp_path, monkeypatch, files="deliveries_{date:%Y%m%d}.jsonl")
    head, *rows = [line.split(",") for line in feed.usual[DAY]]
    path = feed.folder / "deliveries_20240105.jsonl"
    path.write_text("".join(json.dumps(dict(zip(head, row, strict=True))) + "\n" for row in rows))
    feed.toy.run("ingest", DAY)
    feed.toy.run("validate", DAY)
    assert feed.rows("validated_deliveries") == len(rows)
    path.write_text(path.read_text() + "{}\nnope\n")
    with pytest.raises(FileRefusedError, match=f"not_json: line {len(rows) + 2} is no JSON object"):
        feed.toy.run("ingest", DAY)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "jsonl.zst", "parquet"])
def test_a_large_file_is_opened_twice_and_read_alike(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(files, "_SMALL", 0)
    feed = feed_as(tmp_path, monkeypatch, files=f"{{date}}.{suffix}")
    path = feed.folder / f"{DAY}.{suffix}"
    if suffix == "parquet":
        feed.part(path.name, feed.usual[DAY])
    else:
        head, *rows = [line.split(",") for line in feed.usual[DAY]]
        lines = (
            [json.dumps(dict(zip(head, row, strict=True))) for row in rows] if "jsonl" in suffix else feed.usual[DAY]
        )
        with pa.output_stream(str(path), compression="detect") as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode())
    feed.toy.run("ingest", DAY)
    assert feed.rows() == len(feed.usual[DAY]) - 1 and feed.toy.run("ingest", DAY).unchanged


def test_a_batch_knows_where_it_comes_from(feed: Feed) -> None:
    feed.parts(DAY, count=1)
    feed.toy.run("ingest", DAY)
    kinds = feed.toy.lake.schema("raw_deliveries")
    assert kinds.field("_line").type == pa.int64() and kinds.field("delay").type == pa.string()


@pytest.mark.parametrize(("number", "alone"), [(errno.EIO, True), (errno.ESTALE, False), (errno.EMFILE, False)])
def test_a_day_that_a_disk_does_not_give_is_taken_in_again_and_holds_no_other_up(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, number: int, alone: bool
) -> None:
    toy.land(DAY, NEXT)
    run, read = toy.stage_run("ingest", DAY, NEXT), files.read_batches
    toy.run("ingest", DAY, NEXT)

    def fails(uris: list[str], *rest: Any) -> Any:
        if any(DAY in uri for uri in uris):
            raise OSError(number, os.strerror(number))
        return read(uris, *rest)

    monkeypatch.setattr(files, "read_batches", fails)
    days = Partitions.parse(DAY, NEXT)
    if alone:
        found = files.published_hashes(run, "parcels", days)
        assert found[days.start] is None and found[days.end] is not None
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            files.published_hashes(run, "parcels", days)
