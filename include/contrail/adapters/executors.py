"""The executors of Apache Spark: whether an engine has them, this code on them, and their errors as our own.

What they are given to do belongs to batches and spark_trainer.
"""

import atexit
import re
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
    """Whether functions of this package can be sent to the engine: not to the embedded one, nor over Spark Connect."""
    return engine.kind == "spark" and not engine.master.startswith("sc://")


@cache
def session_with_code(engine: EngineSettings) -> "SparkSession":
    """The engine's session, whose executors have been sent the package as it is here; libraries they have.

    Raises:
        EngineError: as ``spark_session``.
    """
    session = spark_session(engine)
    package = Path(errors.__file__).parent
    # Executors may ask for it as long as the session lives.
    place = tempfile.TemporaryDirectory(prefix="contrail-code-")
    atexit.register(place.cleanup)
    path = Path(place.name) / "contrail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for source in sorted(package.rglob("*.py")):
            archive.write(source, source.relative_to(package.parent))
    session.sparkContext.addPyFile(str(path))
    return session


@contextmanager
def own_errors() -> Iterator[None]:
    """Raises what Spark says of a failed job as the error that was raised on an executor, or as an EngineError."""
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
