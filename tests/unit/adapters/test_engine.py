"""The embedded engine in a process that runs for long."""

import subprocess
import sys
import textwrap

import pytest

from contrail.adapters import engine
from contrail.config.settings import EngineSettings
from contrail.errors import SpecError


def test_a_session_is_kept_as_long_as_it_is_told_to_be_and_that_is_days() -> None:
    code = """
        import time
        from contrail.adapters import engine
        from contrail.config.settings import EngineSettings
        engine._SAIL_IDLE_SECONDS = 1
        session = engine.spark_session(EngineSettings())
        session.range(3).count()
        time.sleep(3)
        try:
            session.range(3).count()
        except Exception as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is not running" in done.stdout
    assert engine._SAIL_IDLE_SECONDS >= 24 * 3600


def test_a_job_where_there_is_no_engine_says_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SpecError, match="send this stage to a target of kind dataproc or spark"):
        engine.spark_session.__wrapped__(EngineSettings())
