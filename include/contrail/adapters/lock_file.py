"""The lock of libraries, ``requirements.txt``: which version of what, with which hashes, and who needs it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

from contrail.git import git

_ENTRY = re.compile(
    r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*(?:\\)?$", re.MULTILINE
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^\s+#\s+(?:via[ \t]+)?(?!via$)([A-Za-z0-9][\w.-]*)$", re.MULTILINE)
_ASKED = re.compile(r"^\s+#.*-r requirements\S*\.in$", re.MULTILINE)
_CLASSIFIER = "License :: OSI Approved :: "
_LONGEST_LICENCE = 60


@dataclass(frozen=True)
class Library:
    """A locked library.

    ``marker`` says on which Pythons and systems it is installed. ``needed_by`` names the libraries that ask for it, and
    ``asked`` says that Contrail does.
    """

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    asked: bool = False


def libraries(text: str) -> Iterator[Library]:
    """Read the entries of a lock, in its order."""
    entries = list(_ENTRY.finditer(text))
    ends = [*(entry.start() for entry in entries[1:]), len(text)]
    for entry, end in zip(entries, ends, strict=False):  # no entry has an end, too
        body = text[entry.end() : end]
        name, version, marker = entry.groups()
        hashes, needed_by, asked = tuple(_HASH.findall(body)), tuple(_VIA.findall(body)), bool(_ASKED.search(body))
        yield Library(name.lower(), version, marker or "", hashes, needed_by, asked)


def lock_text(project: Path, digest: str, revision: str) -> str | None:
    """The lock whose SHA-256 this is: today's, or the one of a kept revision. None: neither is."""
    path = project / "requirements.txt"
    if path.exists() and _is(content := path.read_bytes(), digest):
        return content.decode()
    kept = git(project, "show", f"{revision.removesuffix('+dirty')}:./{path.name}").stdout
    return kept if _is(kept.encode(), digest) else None


def _is(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest() == digest


def licence_of(library: Library) -> str | None:
    """What the installed library of this version says of its licence. None: it is not installed, or says nothing."""
    try:
        found = metadata(library.name)
    except PackageNotFoundError:
        return None
    return _licence(found) if found["Version"] == library.version else None


def _licence(said: PackageMetadata) -> str | None:
    if "License-Expression" in said:
        return said["License-Expression"]
    classifiers = said.get_all("Classifier") or []
    classified = [one.removeprefix(_CLASSIFIER) for one in classifiers if one.startswith(_CLASSIFIER)]
    if classified:
        return ", ".join(sorted(classified))
    first = said["License"].strip().partition("\n")[0] if "License" in said else ""
    return first if 0 < len(first) <= _LONGEST_LICENCE and first != "UNKNOWN" else None
