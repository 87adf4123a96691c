"""The lock of libraries, read."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from tests.conftest import PROJECT

from contrail.adapters.lock_file import Library, libraries, licence_of, lock_text
from contrail.revision import locked_versions

LOCK = """# made by hand
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via
    #   -r requirements.in
    #   pandas
numpy==2.5.1 ; python_full_version >= '3.12' \\
    --hash=sha256:{b}
    # via pandas
Pandas[gcp]==2.3.3 \\
    --hash=sha256:{a}
    # via -r requirements.in
""".format(a="a" * 64, b="b" * 64)


def test_each_entry_has_its_version_marker_hashes_and_who_needs_it() -> None:
    older, newer, pandas = libraries(LOCK)
    assert older == Library("numpy", "2.4.6", "python_full_version < '3.12'", ("a" * 64, "b" * 64), ("pandas",), True)
    assert (newer.version, newer.needed_by, newer.asked) == ("2.5.1", ("pandas",), False)
    assert pandas == Library("pandas", "2.3.3", "", ("a" * 64,), (), True)


def test_our_own_lock_is_read_whole() -> None:
    found = list(libraries((PROJECT / "requirements.txt").read_text()))
    assert {one.name for one in found} == set(locked_versions(PROJECT))
    assert all(one.asked or one.needed_by for one in found)
    assert all(one.hashes for one in found), "pip refuses a library without a hash"
    names = {one.name for one in found}
    assert {needed for one in found for needed in one.needed_by} <= names


@pytest.mark.parametrize("place", [".", "part"])
def test_a_lock_of_an_older_revision_is_found_by_its_hash(tmp_path: Path, place: str) -> None:
    project = tmp_path / place
    project.mkdir(exist_ok=True)

    def git(*arguments: str) -> str:
        own = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(tmp_path)]
        return subprocess.run(["git", *own, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    path = project / "requirements.txt"
    path.write_text("old==1\n")
    git("add", "."), git("commit", "-qm", "old")
    revision, digest = git("rev-parse", "HEAD"), hashlib.sha256(b"old==1\n").hexdigest()
    path.write_text("new==1\n")
    assert lock_text(project, digest, revision + "+dirty") == "old==1\n"
    assert lock_text(project, hashlib.sha256(b"new==1\n").hexdigest(), revision) == "new==1\n"
    assert lock_text(project, digest, "unknown") is None
    assert lock_text(project, digest, "--output=/etc/passwd") is None


def test_only_the_installed_version_says_its_licence() -> None:
    (duckdb,) = [one for one in libraries((PROJECT / "requirements.txt").read_text()) if one.name == "duckdb"]
    assert "MIT" in str(licence_of(duckdb))
    assert licence_of(Library("duckdb", "0.0.1")) is None
    assert licence_of(Library("no-such-library", "1")) is None
