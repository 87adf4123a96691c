"""``contrail new`` asks on a terminal, takes flags elsewhere, and tells what it took for what."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import strangers
from tests.conftest import PROJECT
from typer.testing import CliRunner

from contrail.cli.app import app
from contrail.config.settings import settings
from contrail.config.spec import load_spec
from contrail.errors import SpecError


@pytest.fixture
def folders(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project without pipelines."""
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("CONTRAIL_DAGS", str(tmp_path / "dags"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_it_asks_nothing_where_there_is_no_terminal(folders: Path) -> None:
    sample = strangers.sales(folders)
    done = CliRunner().invoke(
        app, ["new", "shop", "--sample", str(sample), "--known-ahead", "promo"], catch_exceptions=False
    )
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert "sales │ its name is that of an outcome │ promo, customers" in said
    assert (
        "The gate needs 27 labelled rows (gate.min_rows): the default of 1,000 would refuse so short a sample." in said
    )
    assert "You decide, before you trust a number: 1. where its days begin" in said
    assert re.search(
        r"Next: contrail check +-p shop --thorough contrail land +-p shop --from 2023-01-01 --to 2023-05-30", said
    )


def test_a_wrong_option_is_named(folders: Path) -> None:
    sample = str(strangers.sales(folders))
    with pytest.raises(SpecError, match="--task ranking: Input should be 'binary' or 'regression'"):
        CliRunner().invoke(app, ["new", "shop", "--sample", sample, "--task", "ranking"], catch_exceptions=False)
    with pytest.raises(SpecError, match="contrail new NAME --sample FILE"):
        CliRunner().invoke(app, ["new", "shop"], catch_exceptions=False)


def test_on_a_terminal_it_asks_with_its_guess_and_takes_the_answers(folders: Path) -> None:
    sample = strangers.sales(folders)
    answers = [str(sample), "Europe/Berlin", "turnover", "customers", "", "3"]
    own, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT / 'include'}", "COLUMNS": "140", "TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-m", "contrail", "new", "shop"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    os.write(own, "".join(f"{answer}\n" for answer in answers).encode())
    said = ""
    while chunk := _more(own):
        said += chunk
    os.close(own)
    assert process.wait() == 0, said
    spec = load_spec(folders / "pipelines" / "shop" / "pipeline.yaml")
    assert (spec.timezone, spec.label.expression, spec.label.mature_after_days) == ("Europe/Berlin", "customers", 3)
    said = " ".join(said.split())
    assert "Which column is the outcome to predict? (its name is that of an outcome) [sales]:" in said
    assert "There is no turnover. There are: promo, customers, sales" in said


def _more(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # Linux says so when the other side has closed it
        return ""
