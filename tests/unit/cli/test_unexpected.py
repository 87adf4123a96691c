"""What a person sees of an error that nobody expected: a few lines, and a file with the trace."""

import re
import shutil
from pathlib import Path

import pytest
from tests.conftest import TOY_PIPELINES, Toy
from tests.unit.cli.test_cli import run
from tests.unit.stages.test_features import publish_all

from contrail.cli import tables
from contrail.config.settings import settings


def test_the_message_is_short_and_the_trace_is_in_a_file(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "lake_of", lambda _: {}["the [red]lake[/]\x1b[2J"])
    code, out, err = run(monkeypatch, capsys, "history", "predictions", "-p", "toy")
    assert (code, out) == (1, "")
    first, where, advice, kept = err.splitlines()
    assert first == r"✗ KeyError: 'the [red]lake[/]\x1b[2J'"
    assert re.fullmatch(r"  in tests/unit/cli/test_unexpected\.py, line \d+: monkeypatch.setattr.*", where)
    assert "please report it" in advice
    # The command may have published parts before, as a backfill does.
    assert advice.startswith("  Nothing is half published: readers see whole partitions, old or new. ")
    found = re.fullmatch(r"  Reference (\w{8}): the whole trace is in (.*)", kept)
    assert found
    trace = Path(found[2]).read_text()
    assert found[1] in found[2]
    assert "contrail history predictions -p toy" in trace
    assert "Traceback (most recent call last)" in trace
    assert "KeyError" in trace


def test_an_error_in_the_pipelines_own_code_names_its_line(
    toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines = shutil.copytree(TOY_PIPELINES, tmp_path / "pipelines")
    features = pipelines / "toy" / "features.py"
    lines = features.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("def build"))
    lines.insert(place + 1, "    window.nothing_of_this_name")
    features.write_text("\n".join(lines))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(pipelines))
    settings.cache_clear()
    from contrail.config.pipeline import load_pipeline

    toy = Toy(load_pipeline("toy"), settings())
    publish_all(toy)
    code, _, err = run(monkeypatch, capsys, "features", "-p", "toy", "--from", "2024-01-10")
    assert code == 1
    assert "✗ AttributeError: 'FeatureWindow' object has no attribute 'nothing_of_this_name'" in err
    assert f"toy/features.py, line {place + 2}: window.nothing_of_this_name" in err
    assert "Mend the line, and run the command again." in err


def test_where_no_file_can_be_written_the_trace_is_printed(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "lake_of", lambda _: {}["lake"])
    toy.settings.home_path.mkdir()
    (toy.settings.home_path / "errors").write_text("a file where the folder should be")
    code, _, err = run(monkeypatch, capsys, "history", "predictions", "-p", "toy")
    assert code == 1
    assert "the trace could not be kept in" in err
    assert "Traceback (most recent call last)" in err
