"""The chain works in a home whose path is no plain ASCII word, and leaves no file beside it."""

from pathlib import Path

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES, Toy

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings

pytestmark = pytest.mark.slow


def test_the_chain_runs_in_a_home_with_spaces_and_other_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "Zoë Łukasz, 日本 +=@~-_." / "home"
    monkeypatch.setenv("CONTRAIL_HOME", str(home))
    monkeypatch.setenv("CONTRAIL_PROJECT", str(PROJECT))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(TOY_PIPELINES))
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    toy = Toy(load_pipeline("toy"), settings())
    toy.land("2024-01-01", "2024-02-12")
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, "2024-01-01", "2024-02-12")
    toy.run("train", "2024-01-01", "2024-02-09")
    toy.run("score", "2024-02-11", "2024-02-12", model="1")
    assert toy.sql("SELECT count(*) FROM predictions") == [(120,)]
    assert [path.name for path in tmp_path.iterdir()] == [home.parent.name]
    assert [path.name for path in home.parent.iterdir()] == ["home"]
    settings.cache_clear()
