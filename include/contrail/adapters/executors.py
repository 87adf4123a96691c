"""The executors of Apache Spark: whether an engine has them, how they get this code, and how their errors come back.

``batches`` and ``spark_trainer`` give them work.
"""

import atexit
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from contrail import errors
from contrail.adapters.engine import spark_session
from contrail.config.settings import EngineSettings
from contrail.errors import ContrailError, EngineError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OWN_ERROR = re.compile(r"^contrail\.errors\.(\w+): (.*)$", re.MULTILINE)


def has_executors(engine: EngineSettings) -> bool:
    """Say whether the engine can run functions of this package. The embedded engine and Spark Connect cannot."""
    return engine.kind == "spark" and not engine.master.startswith("sc://")


@cache
def session_with_code(engine: EngineSettings) -> "SparkSession":
    """Return the engine's session, after sending this package to its executors. They have the libraries.

    Raises:
        EngineError: as ``spark_session``.
    """
    session = spark_session(engine)
    package = Path(errors.__file__).parent
    # Executors may fetch the file as long as the session lives.
    place = Path(tempfile.mkdtemp(prefix="contrail-code-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    path = place / "contrail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for source in sorted(package.rglob("*.py")):
            archive.write(source, source.relative_to(package.parent))
    session.sparkContext.addPyFile(str(path))
    return session


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise Spark's error of a failed job as the error that an executor raised, or as an EngineError."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise _own(str(error)) from error


def _own(said: str) -> ContrailError:
    if found := _OWN_ERROR.search(said):
        kind: type[ContrailError] = getattr(errors, found[1])
        return kind(found[2])
    lines = [line for line in said.splitlines() if not line.startswith("\tat ")]
    return EngineError("Apache Spark did not finish:\n" + "\n".join(lines)[:2000])
