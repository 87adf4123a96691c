"""The commands of the quarantine: rows as CSV, and mended rows back."""

import csv
import io
import json
from pathlib import Path

import pytest
from tests.conftest import Prepare, Toy
from tests.unit.cli.test_cli import run
from tests.unit.operations.test_replay import DAY, quarantined, two_bad_rows


@pytest.fixture
def bad(prepared: Prepare) -> Toy:
    return prepared(two_bad_rows)


def test_rows_are_written_mended_and_replayed(
    bad: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = run(monkeypatch, capsys, "quarantine", "-p", "toy", "--table", "parcels", "--rule", "type:weight")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (code, row["_line"], row["_rule"], row["weight"]) == (0, "4", "type:weight", "1x5")
    mended = tmp_path / "rows.csv"
    mended.write_text(out.replace(",1x5,", ",1.5,"))
    asked = (
        "replay",
        "-p",
        "toy",
        "--table",
        "parcels",
        "--file",
        str(mended),
        "--reason",
        "a slip",
        "--person",
        "eve",
    )
    code, out, _ = run(monkeypatch, capsys, *asked, "--dry-run")
    assert code == 0
    assert "weight: 1x5 → 1.5" in out
    assert "1 row of parcels would be mended, 1 good" in out
    assert len(quarantined(bad)) == 2
    code, out, _ = run(monkeypatch, capsys, *asked, "--json", "--run-id", "r1")
    details = json.loads(out)["details"]
    assert (code, details["mended"], details["passed"], details["replay"], details["days"]) == (0, 1, 1, "r1", [DAY])
    assert bad.sql("SELECT replay, person, reason FROM mended") == [("r1", "eve", "a slip")]
    code, out, _ = run(monkeypatch, capsys, *asked)
    assert (code, "no row of parcels is mended otherwise than before" in out) == (0, True)


def test_what_is_wrong_has_its_exit_code(
    bad: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ("replay", "-p", "toy", "--reason", "a slip", "--table")
    code, _, err = run(monkeypatch, capsys, *asked, "parcles", "--sql", "SELECT 1")
    assert (code, "did you mean 'parcels'?" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, *asked, "parcels")
    assert (code, "either in a file or as SQL" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, *asked, "parcels", "--file", str(tmp_path / "none.csv"))
    assert (code, "cannot be read: No such file" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, *asked, "parcels", "--sql", "SELECT 'x' _file, 1 _line, '1' AS weight")
    assert (code, "x, line 1, is not in quarantine" in err) == (3, True)
    code, _, err = run(monkeypatch, capsys, "quarantine", "-p", "toy", "--table", "nothing")
    assert (code, "no landed table 'nothing'" in err) == (2, True)
