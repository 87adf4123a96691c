"""Damaged files and a lost catalog on the command line: what is told, and that the named command heals it."""

import json
import os
import re
from pathlib import Path

import pytest
from tests.commands import contrail
from tests.conftest import Toy

from contrail.config.settings import settings
from contrail.lake import archive
from contrail.lake.lake import Lake
from contrail.stages.results import parse_result
from contrail.stages.sentences import sentence

FIRST, LAST = "2024-01-01", "2024-01-03"


def fill(toy: Toy) -> None:
    toy.land(FIRST, LAST)
    for verb in ("ingest", "validate"):
        toy.run(verb, FIRST, LAST)


def damaged(toy: Toy, table: str) -> Path:
    path = Path(toy.lake.files(table)[-1].removeprefix("file://"))
    path.write_bytes(path.read_bytes()[::-1])
    return path


@pytest.mark.parametrize("table", ["validated_parcels", "validated_depots", "validated_deliveries"])
def test_the_command_that_a_damage_names_heals_it(
    prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: str
) -> None:  # type: ignore[no-untyped-def]
    toy = prepared(fill)
    before = toy.sql(f"SELECT * FROM {table} ORDER BY ALL")
    path = damaged(toy, table)
    assert contrail(monkeypatch, f"contrail query -p toy 'SELECT * FROM {table}'") == 3
    assert contrail(monkeypatch, "contrail verify -p toy") == 3
    told = capsys.readouterr().err
    assert str(path) in told
    (command,) = set(re.findall(r"^  (contrail .*)$", told, re.MULTILINE))
    assert contrail(monkeypatch, command) == 0
    assert contrail(monkeypatch, "contrail verify -p toy") == 0
    assert toy.sql(f"SELECT * FROM {table} ORDER BY ALL") == before


def test_a_lost_catalog_names_the_command_that_makes_it_again(
    prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    toy = prepared(fill)
    tables, rows = toy.lake.table_names(), toy.sql("SELECT count(*) FROM validated_parcels")
    (settings().home_path / "lake" / "catalog.db").write_bytes(b"")
    for line in ("status -p toy", f"validate -p toy --from {FIRST}", "query -p toy 'SHOW TABLES'", "verify -p toy"):
        assert contrail(monkeypatch, f"contrail {line}") == 3
    (command,) = set(re.findall(r"^  (contrail .*)$", capsys.readouterr().err, re.MULTILINE))
    assert contrail(monkeypatch, command) == 0
    toy.lake = Lake(settings(), "toy")
    assert toy.lake.table_names() == tables
    assert toy.sql("SELECT count(*) FROM validated_parcels") == rows


def test_what_is_whole_is_not_given_up(prepared, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    toy = prepared(fill)
    before = toy.lake.snapshot_id("validated_parcels")
    assert contrail(monkeypatch, "contrail verify -p toy --give-up validated_parcels") == 0
    assert contrail(monkeypatch, "contrail verify -p toy --give-up nope") == 2
    assert toy.lake.snapshot_id("validated_parcels") == before
    damaged(toy, "validated_parcels")
    assert contrail(monkeypatch, "contrail verify -p toy --give-up validated_parcels") == 0
    assert contrail(monkeypatch, "contrail verify -p toy") == 0
    assert len(toy.lake.partitions("validated_parcels")) == 2


def test_what_killed_runs_left_goes_and_the_rest_stays(
    prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    toy = prepared(fill)
    before = toy.sql("SELECT * FROM validated_parcels ORDER BY ALL")
    staged = toy.settings.staging / "toy" / "features-killed" / "features" / "part-0.parquet"
    orphan = Path(toy.lake.files("validated_parcels")[0].removeprefix("file://")).with_name("killed.parquet")
    spilled = toy.settings.home_path / "tmp" / "spill-killed" / "duckdb_temp_storage-0.tmp"
    for path in (staged, spilled):
        path.parent.mkdir(parents=True)
    for path in (staged, orphan, spilled):
        path.write_bytes(b"12345")
    assert contrail(monkeypatch, "contrail maintain -p toy") == 0
    assert "maintain: there was nothing to remove" in capsys.readouterr().out
    for path in (staged, orphan, spilled, *Path(staged).parents[:2]):
        os.utime(path, (0, 0))
    assert contrail(monkeypatch, "contrail maintain -p toy --dry-run --json") == 0
    printed = json.loads(capsys.readouterr().out)
    found = {one["of"]: one["files"] for one in printed["details"]["removed"] if one["files"]}
    result = parse_result("maintain", printed)
    assert sentence("maintain", result).startswith("maintain: 3 files (15 bytes) would go: validated_parcels 1 file")
    assert found == {"validated_parcels": 1, "staging": 1, "tmp": 1}
    assert staged.exists() and orphan.exists() and spilled.exists()
    assert contrail(monkeypatch, "contrail maintain -p toy") == 0
    assert "3 files (15 bytes) went: " in capsys.readouterr().out
    assert not staged.exists() and not orphan.exists() and not spilled.parent.exists()
    assert toy.sql("SELECT * FROM validated_parcels ORDER BY ALL") == before


def test_a_lost_archive_stops_no_status_and_is_given_up_by_the_command_it_names(
    prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    toy = prepared(fill)
    table = toy.lake.table("validated_parcels")
    with table.transaction() as transaction:
        transaction.set_properties({archive.PROPERTY: f"{table.location()}/metadata/gone.snapshots"})
    assert contrail(monkeypatch, "contrail status -p toy --json --to 2024-01-05") == 0
    told = capsys.readouterr()
    assert [day["validate"] for day in json.loads(told.out)][:3] == ["ok"] * 3
    assert told.err.count("gone.snapshots is not there.") == 1
    assert contrail(monkeypatch, "contrail verify -p toy") == 3
    told = capsys.readouterr()
    assert "gone.snapshots is not there." in told.err
    (command,) = set(re.findall(r"^  (contrail .*)$", told.err, re.MULTILINE))
    assert contrail(monkeypatch, command) == 0
    assert "1 table was put back" in capsys.readouterr().out
    assert contrail(monkeypatch, "contrail verify -p toy") == 0
