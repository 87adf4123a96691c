"""Each locked library has a licence that Contrail's users can live with: a new one fails until somebody has looked at it.

Contrail is under the Apache License 2.0, and ships none of the libraries' code. It installs and imports them as they are.
"""

import re
from collections.abc import Iterable, Mapping

import pytest
from packaging.markers import Marker
from tests.conftest import PROJECT

from contrail.adapters.lock_file import Library, libraries, licence_of

# As the libraries say it: an identifier of SPDX, or the words of a classifier.
PERMISSIVE = {
    "0BSD", "Apache License", "Apache License 2.0", "Apache Software License", "Apache 2.0", "Apache-2.0", "BSD",
    "BSD 3-Clause", "3-Clause BSD License", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC",
    "ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "MIT-CMU", "PSF-2.0", "Python Software Foundation License", "TCL",
    "The Unlicense (Unlicense)", "Zlib", "Zope Public License",
}  # fmt: skip
# They bind whoever changes the library's own files. Contrail changes none.
OF_ITS_OWN_FILES = {"EPL-2.0", "MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"}
ALLOWED = PERMISSIVE | OF_ITS_OWN_FILES
EXCEPTIONS = {
    "grandalf": "GPL 2 or EPL 1, as its licence file says: DVC draws graphs with it. The EPL is taken.",
    "huey": "Says nothing. Its licence file is the MIT licence.",
    "nvidia-nccl-cu12": "NVIDIA's terms let anybody use it, and pip fetches it from its maker. XGBoost asks for it on Linux.",
    "openlineage-sql": "Says nothing. Its project is under the Apache License 2.0.",
    "psycopg": "LGPL 3: imported as it is, and anybody can put another version in its place.",
    "psycopg-binary": "As psycopg.",
    "psycopg2-binary": "LGPL, with an exception for the libraries that it holds: imported as it is.",
    "pygit2": "GPL 2 with an exception: to link with it binds no other code.",
    "skops": "Names no licence. Its licence file is the MIT licence.",
    "text-unidecode": "GPL or Artistic License, as one likes. The Artistic License is taken.",
}


def refused(locked: Iterable[Library], exceptions: Mapping[str, str]) -> dict[str, str]:
    """The licence of each library that is installed on this Python, has none of the allowed ones, and is no exception."""
    here = [one for one in locked if not one.marker or Marker(one.marker).evaluate()]
    said = {one.name: licence_of(one) or "" for one in here}
    return {name: licence for name, licence in said.items() if not _allowed(licence) and name not in exceptions}


def _allowed(licence: str) -> bool:
    """Of alternatives one must be allowed, of licences that hold together each. AND binds more closely than OR."""
    without_brackets = re.sub(r"\(([^()]+ OR [^()]+)\)", lambda found: _chosen(found[1]), licence)
    return any(all(one in ALLOWED for one in re.split(r" AND |, ", each)) for each in without_brackets.split(" OR "))


def _chosen(alternatives: str) -> str:
    return next((one for one in alternatives.split(" OR ") if one in ALLOWED), alternatives)


def locked() -> list[Library]:
    """The libraries of the lock."""
    return list(libraries((PROJECT / "requirements.txt").read_text()))


def test_each_locked_library_has_an_allowed_licence_or_a_reason() -> None:
    assert refused(locked(), EXCEPTIONS) == {}


def test_each_exception_is_for_a_locked_library_that_needs_it() -> None:
    not_needed = EXCEPTIONS.keys() - refused(locked(), {}).keys()
    assert not_needed <= {one.name for one in locked() if one.marker}, "of another system or Python"


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache Software License, MIT License", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT License, GNU General Public License v3 (GPLv3)", False),
        ("Business Source License 1.1", False),
        ("", False),
    ],
)
def test_a_licence_is_judged_by_all_of_its_words(licence: str, allowed: bool) -> None:
    assert _allowed(licence) is allowed
