"""Which code and which lock file this process runs, read once.

Other provenance does not belong here.
"""

import hashlib
import subprocess
from functools import cache
from pathlib import Path


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def code_revision(project: Path) -> str:
    """The git commit, with ``+dirty`` when tracked files differ from it; ``unknown`` outside a checkout.

    The code of a remote job has no checkout. Its file ``REVISION`` names the commit that it was built from.
    """
    if (travelled := project / "REVISION").exists():
        return travelled.read_text().strip()
    try:
        commit = _git(project, "rev-parse", "HEAD")
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    if not commit:
        return "unknown"
    return commit + ("+dirty" if _git(project, "status", "--porcelain", "--untracked-files=no") else "")


@cache
def lock_hash(project: Path) -> str:
    """SHA-256 of ``requirements.txt``, the lock of every library; empty without that file."""
    path = project / "requirements.txt"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


@cache
def code_hash() -> str:
    """SHA-256 of Contrail's own Python files. It is exact even where the revision is dirty or unknown."""
    package = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
