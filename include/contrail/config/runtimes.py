"""The runtimes of Dataproc Serverless: what each brings to a job's image, and until when Google supports it."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """A runtime, which cannot be pinned more closely: its Spark, Java and own Python, and the day of its last support.

    A job has the Python of its image.
    """

    spark: str
    java: str
    python: str
    until: datetime.date


# Source: docs.cloud.google.com/managed-spark/docs/concepts/versions, "serverless-versions" and the page of each runtime, as
# they were in August 2026. docs/gcp.md shows this table.
RUNTIMES = {
    "3.0": Runtime("4.0", "21", "3.12", datetime.date(2027, 1, 31)),
    "2.3": Runtime("3.5", "17", "3.11", datetime.date(2027, 11, 26)),
    "2.2": Runtime("3.5", "17", "3.12", datetime.date(2026, 9, 30)),
}
# Contrail gives Spark tables of Arrow, which PySpark takes from 4.0 on.
_OLDEST = (3, 0)


def unfit(version: str) -> str | None:
    """Say why the code of Contrail cannot run on a runtime. None where no reason is known.

    >>> unfit("3.0")
    >>> unfit("2.3")
    'runtime 2.3 has Spark 3.5, and Contrail needs Spark 4.0 or later: choose 3.0'
    """
    if _fits(version):
        return None
    known = f"has Spark {RUNTIMES[version].spark}" if version in RUNTIMES else "has no Spark 4"
    fit = ", ".join(filter(_fits, RUNTIMES))
    return f"runtime {version} {known}, and Contrail needs Spark 4.0 or later: choose {fit}"


def _fits(version: str) -> bool:
    return tuple(map(int, version.split("."))) >= _OLDEST
