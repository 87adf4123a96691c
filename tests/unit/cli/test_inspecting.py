"""What `contrail inspect-features` prints, and how it ends with bad input."""

import json

import pytest
from tests.unit.cli.test_cli import run
from tests.unit.operations.inspecting.conftest import NOISE, inspected, planted_spec

__all__ = ["inspected", "planted_spec"]  # fixtures

ASKED = ("inspect-features", "-p", "toy")


def test_it_prints_what_to_drop_and_writes_the_page(inspected, monkeypatch, capsys, tmp_path):
    page = tmp_path / "features.html"
    code, out, err = run(monkeypatch, capsys, *ASKED, "--html", str(page))
    assert code == 0
    assert f"drop {NOISE}: shuffled, it costs nothing that can be seen; without it the loss" in out
    assert "! toy: " in out
    assert "features could be dropped: without all of them the log loss changes by" in out
    assert "trees without noise: loss" in err, "progress"
    assert NOISE in page.read_text()
    code, out, _ = run(monkeypatch, capsys, *ASKED, "--json")
    found = json.loads(out)
    assert NOISE in found["drop"]
    assert len(found["features"]) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--from", "2024-02-01"), 3, "may have seen 2024-02-01"),
        (("--from", "2024-03-08"), 3, "interval over days needs 5. Nothing was inspected."),
        (("--from", "2024-13-01"), 2, "2024-13-01"),
        (("--model", "9"), 3, "no model version 9"),
        (("--model", "challengr"), 3, "challengr"),
        (("--drop", "nois"), 2, "did you mean 'noise'?"),
        (("-p", "toi"), 2, "no pipeline 'toi'"),
    ],
)
def test_bad_input_says_what_to_do(inspected, monkeypatch, capsys, arguments, code, said):
    found, _, err = run(monkeypatch, capsys, *ASKED, *arguments)
    assert said in " ".join(err.split())
    assert found == code
    assert "Traceback" not in err


def test_without_a_champion_it_says_what_to_run(toy, monkeypatch, capsys):
    found, _, err = run(monkeypatch, capsys, *ASKED)
    assert "pipeline 'toy' has no champion. Run: contrail promote --pipeline toy" in err
    assert found == 3
