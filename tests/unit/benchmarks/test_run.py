import re

import pytest
from benchmarks.run import ALL, RESULTS, write
from tests.conftest import PROJECT

from contrail.git import git


def test_a_section_is_replaced_in_its_place_and_all_others_stay(tmp_path):
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\nWords.\n\n<!-- scoring -->\n\n## Old\n\n<!-- quarter -->\n\n## Story\n")
    write(results, "scoring", "## New\n")
    write(results, "gpu", "## On a GPU\n")
    assert results.read_text() == (
        "# Results\n\nWords.\n\n<!-- scoring -->\n\n## New\n\n<!-- gpu -->\n\n## On a GPU\n\n<!-- quarter -->\n\n## Story\n"
    )


def test_every_benchmark_has_its_section():
    assert [name for name in ALL if f"<!-- {name} -->\n\n## " in RESULTS.read_text()] == list(ALL)


def test_a_clone_has_every_revision_that_was_measured():
    named = set(re.findall(r"revision ([0-9a-f]{7,40})", RESULTS.read_text()))
    assert named
    unknown = {one for one in named if git(PROJECT, "merge-base", "--is-ancestor", one, "HEAD").returncode}
    if unknown == named:
        pytest.skip("a shallow clone, or a project that began anew from these files")
    assert unknown == set()
