"""SQL that mends rows is asked in a process of its own: what a person is told when the machine fails that process."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Toy

from contrail.errors import ContrailError, EngineError, SpecError
from contrail.operations.replaying import apart

_LONG = "SELECT 'f' AS _file, 1 AS _line, count(*) AS weight FROM range(1000000000) a, range(1000000000) b"
_FULL = """
import errno, pyarrow.parquet as pq
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
pq.ParquetWriter.write_batch = full
"""


@pytest.fixture
def ask(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask in a process that does something else first: its Python runs ``fault`` as it starts."""

    def asked(fault: str, sql: str = "SELECT 'f' AS _file, 1 AS _line, 2 AS weight", **named: Any) -> Any:
        (tmp_path / "sitecustomize.py").write_text(fault)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        return apart.ask_apart(toy.pipeline, "parcels", sql, tmp_path, False, **named)

    return asked


def refused(ask: Any, kind: type[ContrailError], *asked: str, **named: Any) -> str:
    with pytest.raises(kind) as told:
        ask(*asked, **named)
    assert "Traceback" not in str(told.value)
    return str(told.value)


def test_a_killed_process_is_told_with_what_often_ends_it(ask: Any) -> None:
    told = refused(ask, EngineError, "import os; os.kill(os.getpid(), 9)")
    assert "was ended by SIGKILL. Nothing was mended. Often no memory was left" in told


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert "was ended by signal 40. Nothing was mended." in str(apart._as_ours(-40, ""))


def test_one_that_gets_no_memory_says_so(ask: Any) -> None:
    told = refused(ask, EngineError, "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))")
    assert "Nothing was mended." in told


def test_a_full_disk_is_told_with_its_place(ask: Any) -> None:
    told = refused(ask, EngineError, _FULL)
    assert "no room is left" in told


def test_one_that_takes_too_long_is_given_up_with_what_to_do(ask: Any) -> None:
    told = refused(ask, SpecError, "", _LONG, seconds=0.1)
    assert "given up after 0.1 s. Nothing was mended. Mend the rows of fewer days at a time" in told
