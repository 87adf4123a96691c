"""Which code and which lock file this process runs, read once.

Other provenance does not belong here.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from contrail import git

# Of the project. Images and remote jobs have the code alone, and no installed package that could tell it.
VERSION = "0.1.0"
# Where Python's syntax has statements, or parts that have them: of a `try` its handlers, of a `match` its cases.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@cache
def code_revision(project: Path) -> str:
    """The git commit, with ``+dirty`` when tracked files differ from it; ``unknown`` outside a checkout.

    The code of a remote job has no checkout. Its file ``REVISION`` names the commit that it was built from.
    """
    if (travelled := project / "REVISION").exists():
        return travelled.read_text().strip()
    commit = git.said(project, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+dirty" if git.said(project, "status", "--porcelain", "--untracked-files=no") else "")


def uncommitted(folder: Path) -> list[str]:
    """List the files of a folder that no commit has as they are; the folder itself, where there is no checkout of it."""
    if not git.said(folder, "rev-parse", "HEAD"):
        return [str(folder)]
    return [line.split(maxsplit=1)[1] for line in git.said(folder, "status", "--porcelain", "--", ".").splitlines()]


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


@cache
def part_of_code(module: str, within: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a module of Contrail and of those that it imports from these rooms, and the libraries they all import.

    Args:
        module: A module, for example ``contrail.stages.score``.
        within: Modules and packages to follow, for example ``contrail.methods``. Others are plumbing.
    """
    package, digest = Path(__file__).resolve().parent, hashlib.sha256()
    libraries: set[str] = set()
    for name, path in sorted(_followed(package, module, within).items()):
        source = path.read_bytes()
        digest.update(name.encode() + b"\0" + source + b"\0")
        libraries |= {imported.partition(".")[0] for imported in imports_of(source)}
    return digest.hexdigest(), tuple(sorted(libraries - {package.name}))


def _followed(package: Path, module: str, within: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = package.parent.joinpath(*name.split(".")).with_suffix(".py")
        if name in found or not path.exists():
            continue
        found[name] = path
        todo += [each for each in imports_of(path.read_bytes()) if each.startswith(tuple(within))]
    return found


@cache
def imports_of(source: bytes) -> tuple[str, ...]:
    """Names of all that Python code imports, also inside functions. A name may be of a module or of a thing in it."""
    found: list[str] = []
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
            found += [f"{node.module or ''}.{alias.name}".lstrip(".") for alias in node.names]
    return tuple(found)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node. An import is one; most nodes are of expressions, which have none in them."""
    for name in _BLOCKS:
        for each in getattr(node, name, ()):
            yield each
            yield from _statements(each)


@cache
def locked_versions(project: Path) -> dict[str, str]:
    """The version of each library in the lock; several, where they depend on the Python. Empty without that file."""
    path = project / "requirements.txt"
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text() if path.exists() else "", re.MULTILINE):
        found.setdefault(name.lower(), set()).add(version)
    return {name: "|".join(sorted(versions)) for name, versions in found.items()}
