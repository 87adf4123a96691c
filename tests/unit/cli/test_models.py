"""The model card on the command line: as Markdown where no terminal reads it, as a page in a file."""

from pathlib import Path

import pytest
from tests.commands import contrail
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.config.settings import settings


def one_version(toy) -> None:  # type: ignore[no-untyped-def]
    publish_toy(toy, "2024-01-01", "2024-02-15")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})


def test_a_card_is_printed_or_written_to_a_file(
    prepared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    skip_what_only_train_needs(monkeypatch)
    prepared(one_version)
    page = tmp_path / "card.html"
    assert contrail(monkeypatch, f"contrail model-card -p toy latest --html {page}") == 0
    told = capsys.readouterr()
    assert (told.out, page.read_text().startswith("<!doctype html>")) == ("", True)
    assert f"it is in {page}" in told.err
    assert contrail(monkeypatch, "contrail model-card -p toy 1 --markdown") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Late parcels, version 1\n")
    assert contrail(monkeypatch, "contrail model-card -p toy latest") == 0
    assert capsys.readouterr().out == printed
    assert contrail(monkeypatch, "contrail model-card -p toy") == 3
    assert "has no champion. Run: contrail promote --pipeline toy" in capsys.readouterr().err
