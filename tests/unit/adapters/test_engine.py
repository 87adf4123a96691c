"""The embedded engine in a process that runs for long."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

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


def test_the_embedded_engine_spills_within_its_limit_and_says_what_to_do_beyond_it(tmp_path: Path) -> None:
    """A process of its own, because an engine takes its limits when it starts."""
    code = """
        from pyspark.sql import functions as F
        from contrail.adapters import engine
        from contrail.config.settings import settings
        from pyspark.errors import PySparkException
        session = engine.session_of(settings())
        rows = session.range(2_000_000).select("id", F.sha2(F.col("id").cast("string"), 256).alias("text"))
        print(rows.groupBy("text").agg(F.max("id").alias("last")).agg(F.count("last")).first()[0])
        rows = rows.union(rows.select(F.col("id") + 2_000_000, "text"))
        try:
            rows.join(rows.withColumnRenamed("text", "other"), on="id").agg(F.max("other")).collect()
        except PySparkException as error:
            print(engine.out_of_memory(error, settings()))
    """
    environment = {**os.environ, "CONTRAIL_HOME": str(tmp_path / "home"), "CONTRAIL_MEMORY_LIMIT": "64MiB"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, said = done.stdout.splitlines()
    assert count == "2000000"
    assert "needs more than its 67,108,864 bytes" in said
    assert "CONTRAIL_MEMORY_LIMIT" in said


def test_the_sparing_engine_exchanges_rows_through_files_and_leaves_none(tmp_path: Path) -> None:
    """The memory that its work took goes back at once."""
    code = """
        import threading
        from pathlib import Path
        from pyspark.sql import functions as F
        from contrail.adapters import engine
        from contrail.config.settings import settings
        session, seen, done = engine.session_of(settings(), sparing=True), set(), threading.Event()

        def watch():
            while not done.wait(0.01):
                seen.update(path.name for path in (settings().home_path / "tmp").glob("exchange-*/**/*"))

        def resident(line):
            (found,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(line))
            return int(found.split()[1])

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        session.range(1).count()
        before = resident("VmRSS")
        rows = session.range(1_000_000).select("id", F.sha2(F.col("id").cast("string"), 256).alias("text"))
        print(rows.join(rows.withColumnRenamed("text", "other"), on="id").where("text = other").count())
        done.set()
        watcher.join()
        print(len(seen) >= 4, resident("VmRSS") - before < (resident("VmHWM") - before) / 2)
    """
    environment = {**os.environ, "CONTRAIL_HOME": str(tmp_path / "home"), "CONTRAIL_MEMORY_LIMIT": "256MiB"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1000000", "True True"]
    assert list((tmp_path / "home" / "tmp").iterdir()) == []


def test_the_embedded_engine_notes_no_lines_of_code_which_it_would_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.errors import utils
    from pyspark.sql import functions as F

    noted: list[int] = []
    monkeypatch.setattr(utils, "_capture_call_site", lambda depth: noted.append(depth) or "")
    monkeypatch.setattr(utils, "_enable_debugging_cache", None)  # it asks the session at the first column
    session = engine.spark_session(EngineSettings())
    assert session.range(2).select((F.col("id") + F.lit(1)).alias("n")).collect()[1].n == 2
    assert noted == []
