"""Modules load without the collector; some not at all, and some when they are used."""

import gc
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contrail.imports import quick_imports


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that says in ``sys.modules`` when it is run."""
    (tmp_path / "contrail_made_up.py").write_text("import sys\nsys.modules['contrail_was_run'] = sys\nVALUE = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "contrail_made_up"
    for name in ("contrail_made_up", "contrail_was_run"):
        sys.modules.pop(name, None)


def test_an_absent_module_is_absent_only_within(module: str) -> None:
    with quick_imports(absent=[module]), pytest.raises(ModuleNotFoundError, match="contrail_made_up"):
        importlib.import_module(module)
    assert importlib.import_module(module).VALUE == 5


def test_a_module_that_is_there_stays(module: str) -> None:
    known = importlib.import_module(module)
    with quick_imports(absent=[module]):
        assert importlib.import_module(module) is known


def test_a_late_module_runs_when_it_is_used(module: str) -> None:
    with quick_imports(late=[module]):
        loaded = importlib.import_module(module)
    assert "contrail_was_run" not in sys.modules
    assert loaded.VALUE == 5
    assert "contrail_was_run" in sys.modules


def test_the_collector_rests_meanwhile_and_leaves_out_what_was_loaded(module: str) -> None:
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    with quick_imports():
        assert not gc.isenabled()
        importlib.import_module(module)
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    gc.unfreeze()
    with quick_imports():
        importlib.import_module(module)
    assert gc.get_freeze_count() == 0


def test_an_error_leaves_everything_as_it_was(module: str) -> None:
    before = list(sys.meta_path)
    with pytest.raises(RuntimeError), quick_imports(absent=[module], late=["json"]):
        raise RuntimeError
    assert sys.meta_path == before
    assert gc.isenabled()


def test_duckdb_that_was_used_before_ends_without_a_word() -> None:
    """DuckDB counts its objects when the process ends. Those that the collector leaves out were there still."""
    used = "import duckdb\nwith duckdb.connect() as one:\n    one.sql('SELECT 1').fetchall()\n"
    then = "from contrail.imports import quick_imports\nwith quick_imports():\n    import colorsys\n"
    loaded = "from contrail.config.pipeline import load_pipeline\n"
    ended = subprocess.run([sys.executable, "-c", loaded + used + then], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
