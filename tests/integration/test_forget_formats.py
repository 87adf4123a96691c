"""A person is forgotten in landed files of every format; the rows of all others keep their place and are not read again."""

import gzip
import io
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
import zstandard
from tests import people
from tests.conftest import PROJECT, Toy
from tests.landed import landed_path
from tests.people import CUSTOMER, MARK, WHERE
from tests.scan import holding

from contrail.adapters.landed_files import open_folder
from contrail.adapters.landed_rows import read_rows
from contrail.config.settings import settings
from contrail.operations.forget import Forget

pytestmark = pytest.mark.slow

DAY = "2024-01-05"
Write = Callable[[Path, pd.DataFrame], None]


def write_jsonl(folder: Path, rows: pd.DataFrame) -> None:
    text = rows.to_json(orient="records", lines=True, force_ascii=False)
    (folder / f"{DAY}.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def write_latin(folder: Path, rows: pd.DataFrame) -> None:
    text = rows.assign(note=rows["note"].str.replace("leave it", 'à côté; "là"')).to_csv(index=False, sep=";")
    (folder / f"{DAY}.csv.zst").write_bytes(zstandard.compress(text.encode("latin-1")))


def write_parquet(folder: Path, rows: pd.DataFrame) -> None:
    (folder / DAY).mkdir()
    for n in range(2):
        rows[n::2].to_parquet(folder / DAY / f"part-{n}.parquet", index=False)


FORMS: dict[str, tuple[dict[str, Any], Write]] = {
    "jsonl": ({"files": "{date}.jsonl.gz"}, write_jsonl),
    "latin": ({"files": "{date}.csv.zst", "delimiter": ";", "encoding": "latin-1"}, write_latin),
    "parquet": ({"files": "{date}/part-*.parquet"}, write_parquet),
}


@pytest.fixture(params=FORMS)
def toy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """A day of parcels in another form, taken in."""
    landed, write = FORMS[request.param]
    people.make_pipeline(tmp_path / "pipelines")
    path = tmp_path / "pipelines" / "people" / "pipeline.yaml"
    spec = yaml.safe_load(path.read_text())
    spec["tables"]["parcels"]["landed"] = landed
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    monkeypatch.setenv("CONTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTRAIL_PROJECT", str(PROJECT))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    toy = people.open_people(tmp_path / "home")
    people.land(toy, DAY, DAY)
    usual = landed_path(toy, "parcels", DAY)
    write(usual.parent, pd.read_csv(io.BytesIO(gzip.decompress(usual.read_bytes()))))
    usual.unlink()
    toy.run("ingest", DAY)
    yield toy
    settings.cache_clear()


def landed(toy: Toy) -> list[dict[str, Any]]:
    source = toy.spec.tables["parcels"]
    folder = open_folder(toy.landing, "parcels", source.file_names)
    files = [folder.look(path, source.file_limits) for path in folder.deliveries[DAY]]
    return [
        {"_file": file.name, **row} for file in files for batch in read_rows(file, source) for row in batch.to_pylist()
    ]


def raw(toy: Toy) -> list[dict[str, Any]]:
    rows = toy.lake.scan("raw_parcels").to_pylist()
    return sorted(({name: row[name] for name in row if name != "_sha256"} for row in rows), key=str)


def of_others(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [row for row in rows if row["customer"] != CUSTOMER]
    assert 0 < len(found) < len(rows)
    return found


def test_others_keep_their_place(toy: Toy) -> None:
    home = toy.settings.home_path
    in_files, in_lake = of_others(landed(toy)), of_others(raw(toy))
    aside = home.parent / "landed"
    shutil.copytree(str(toy.landing / "parcels"), aside)
    assert holding(home, MARK)
    Forget(toy.pipeline, toy.lake, WHERE, timedelta(0)).run("somebody", "asked")
    assert holding(home, MARK) == []
    assert landed(toy) == in_files
    assert raw(toy) == in_lake
    assert toy.run("ingest", DAY).unchanged
    # The feed delivers the same files again.
    shutil.copytree(aside, str(toy.landing / "parcels"), dirs_exist_ok=True)
    toy.run("ingest", DAY)
    assert raw(toy) == in_lake
