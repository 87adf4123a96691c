"""Spark sessions: Sail embedded in this process, or Apache Spark, behind one function.

Both give a session with the same DataFrame API and the same settings. No stage asks which engine it has. Computing in a
session does not belong here.
"""

import atexit
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from contrail.config.settings import EngineSettings, Settings
from contrail.errors import EngineError, SpecError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

# Instants are in UTC. Code that needs a local time always names its zone.
_SESSION = {"spark.sql.session.timeZone": "UTC"}
# For each column that code makes, PySpark would note from which line, and look for IPython in vain. That is nine tenths of
# the time in which a plan is made, and the embedded engine never tells the line.
_NO_LINES = {"spark.python.sql.dataFrameDebugging.enabled": "false"}
# The embedded engine drops a session after some idle minutes. A process may train for hours between two uses.
_SAIL_IDLE_SECONDS = 7 * 24 * 3600
# Into how many parts rows are exchanged through files, and how many tasks there may be at once. A query of the pipelines
# here needs 5 at once or more.
_PARTS, _TASKS = 2, 16
_NO_MEMORY = re.compile("Resources exhausted|Failed to allocate additional")
_NO_BAR = {"spark.ui.showConsoleProgress": "false"}  # the bar would appear between the lines of a log
_LOCAL_SPARK = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
}
# Spark begins a shuffle with many partitions. Once it has seen their sizes it joins small ones, up to 64 MB. So neither a
# day nor a thousand years need a number.
_BY_SIZE = {"spark.sql.adaptive.coalescePartitions.initialPartitionNum": "1024"}
_AS_ICEBERG = {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"}  # Spark's own INT96 has no place there


def session_of(settings: Settings, sparing: bool = False) -> "SparkSession":
    """Return the session of the environment's engine, which keeps within ``memory_bytes`` where it is embedded.

    Apache Spark obeys the memory of its own executors. The embedded engine takes its limits when it starts. Its
    aggregations and sorts spill to the home's ``tmp``. A join that needs more fails: see ``out_of_memory``.

    Args:
        settings: Name the engine and the limit.
        sparing: The embedded engine exchanges rows through files, from its start on. It is slower, and needs less memory.

    Raises:
        EngineError, SpecError: as ``spark_session``.
    """
    if settings.engine.kind == "sail":
        folder = settings.home_path / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(
            SAIL_RUNTIME__MEMORY_POOL__TYPE="fair",
            SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE=str(settings.memory_bytes),
            SAIL_RUNTIME__TEMPORARY_FILES__PATHS=json.dumps([str(folder)]),
            # Staged files are read once. Sail's own zstd takes 1 s of CPU more of the 12 s of a year.
            SAIL_PARQUET__COMPRESSION="lz4_raw",
            **(_through_files(folder) if sparing else {}),
        )
    return spark_session(settings.engine)


def _through_files(folder: Path) -> dict[str, str]:
    """Return the settings with which the embedded engine cuts its work into tasks, as a cluster would.

    A task reads one part of its rows from files, and sorts what it joins, on disk if it must. In one piece, threads
    exchange rows in memory. When two of them spill what they exchange, both may wait for ever (apache/datafusion#24883).

    The engine's allocator (mimalloc) keeps what is freed for four seconds, and reserves 1 GiB at a time. Both would count
    as memory of this process: 0.7 GB of resident memory for a million rows. It reads its settings when pysail is loaded.
    """
    exchanged = tempfile.mkdtemp(prefix="exchange-", dir=folder)
    atexit.register(shutil.rmtree, exchanged, ignore_errors=True)
    return {
        "SAIL_MODE": "local-cluster",
        "SAIL_EXECUTION__DEFAULT_PARALLELISM": str(_PARTS),
        "SAIL_CLUSTER__WORKER_INITIAL_COUNT": "1",
        "SAIL_CLUSTER__WORKER_MAX_COUNT": "1",
        "SAIL_CLUSTER__WORKER_TASK_SLOTS": str(_TASKS),
        # The worker is a part of this process: it is never lost alone. On a busy machine its heartbeats may be late, and a
        # query then ends with "task failed for lost worker".
        "SAIL_CLUSTER__WORKER_HEARTBEAT_TIMEOUT_SECS": str(_SAIL_IDLE_SECONDS),
        "SAIL_CLUSTER__WORKER_MAX_IDLE_TIME_SECS": str(_SAIL_IDLE_SECONDS),
        "SAIL_CLUSTER__SHUFFLE_BACKEND__TYPE": "storage",
        "SAIL_CLUSTER__SHUFFLE_BACKEND__STORAGE__PATH": Path(exchanged).as_uri(),
        "SAIL_CLUSTER__SHUFFLE_BACKEND__STORAGE__COMPRESSION": "lz4",
        "SAIL_OPTIMIZER__PREFER_HASH_JOIN": "false",
        "MIMALLOC_PURGE_DELAY": "0",
        "MIMALLOC_ARENA_EAGER_COMMIT": "0",
    }


@cache
def spark_session(engine: EngineSettings) -> "SparkSession":
    """Return the engine's session. It starts on first use, and lives until the process ends.

    ``sail`` listens on a free port of the loopback address. For ``spark``, ``master`` is any Spark master
    (``local[2]``, ``spark://host:7077``, ``yarn``), the address of a Spark Connect server (``sc://host:port``), or
    ``spark-submit``.

    Raises:
        EngineError: if the engine cannot be started or reached.
        SpecError: if there is no PySpark, as in a job on Vertex AI.
    """
    if not find_spec("pyspark"):
        raise SpecError(
            "there is no PySpark here, as in every job on Vertex AI: in the environment file, send this stage to a target "
            "of kind dataproc or spark, or to local"
        )
    if engine.kind == "sail":
        return _sail()
    return _connect(engine.master, _SESSION) if engine.master.startswith("sc://") else _spark(engine.master)


def _sail() -> "SparkSession":
    from pysail.spark import SparkConnectServer

    os.environ["SAIL_SPARK__SESSION_TIMEOUT_SECS"] = str(_SAIL_IDLE_SECONDS)
    server = SparkConnectServer("127.0.0.1", 0)
    try:
        server.start(background=True)
    except RuntimeError as error:
        raise EngineError(f"the embedded engine (pysail) did not start: {error}") from error
    atexit.register(server.stop)
    host, port = server.listening_address
    return _connect(f"sc://{host}:{port}", {**_SESSION, **_NO_LINES})


def _connect(address: str, options: Mapping[str, str]) -> "SparkSession":
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        session = SparkSession.builder.remote(address).getOrCreate()
        for key, value in options.items():
            session.conf.set(key, value)
    except PySparkException as error:
        raise EngineError(f"no Spark Connect server answers at {address}: {error}") from error
    return session


def _spark(master: str) -> "SparkSession":
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    if master.startswith("local"):  # local executors would otherwise use python3 from PATH
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("contrail")
    if master != "spark-submit":  # with spark-submit the driver has a master already
        builder = builder.master(master)
    for key, value in {
        **_SESSION,
        **_NO_BAR,
        **_BY_SIZE,
        **_AS_ICEBERG,
        **(_LOCAL_SPARK if master.startswith("local") else {}),
    }.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except PySparkException as error:
        raise EngineError(
            f"Apache Spark ({master}) did not start: {error}. It needs Java 17 or later on PATH or in JAVA_HOME; "
            "set engine.kind to sail in the environment file to run without Java."
        ) from error


def forget_kept(session: "SparkSession") -> None:
    """Let Apache Spark drop what feature code let it keep. The embedded engine keeps nothing."""
    if session.__class__.__module__ == "pyspark.sql.session":
        session.catalog.clearCache()


def out_of_memory(error: Exception, settings: Settings) -> EngineError | None:
    """Say what to do about the embedded engine's error, if it needed more memory than it may use."""
    if settings.engine.kind != "sail" or not _NO_MEMORY.search(str(error)):
        return None
    (first, *_) = str(error).splitlines()
    return EngineError(
        f"the embedded engine needs more than its {settings.memory_bytes:,} bytes: {first[:300]}. Nothing was published. "
        "Build fewer days at a time, set memory_limit (or CONTRAIL_MEMORY_LIMIT) higher, or use Apache Spark, which "
        "spills joins too"
    )


def column(name: str) -> "Column":
    """The column of this name, whatever characters it has."""
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")


def read_files(session: "SparkSession", uris: Sequence[str], schema: "pa.Schema") -> "DataFrame":
    """Read one or more Parquet files. A column is null where a file has none of its names (``lake.parquet``)."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    from contrail.lake.parquet import earlier_of, in_files

    # The engine takes a schema by its names. Without one it would take the columns of one file for all files.
    rows = session.read.schema(from_arrow_schema(in_files(schema))).parquet(*uris)
    named = {field.name: [field.name, *earlier_of(field)] for field in schema}
    if all(len(names) == 1 for names in named.values()):
        return rows
    return rows.select(*(F.coalesce(*map(column, names)).alias(name) for name, names in named.items()))
