"""A person follows the tutorial of each desk to the letter: types its commands, and sees the lines that it shows.

All share the home that docs/tutorials/practice.md makes, by the same commands.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs
from tests.tutorials import HOME, SHELL, SHOWN, blocks, environment, make_project, missing, run_here

from contrail.cli import printing
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.operations.recheck import recheck

TUTORIALS = PROJECT / "docs" / "tutorials"
DESKS = ("analyst", "approver", "engineer", "scientist", "stranger")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tutorials")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with the pipeline, and the home to practise in."""
    folder = make_project(tmp_path_factory.mktemp("tutorials"))
    own = folder / "include" / "pipelines" / "flight_delay"
    shutil.copytree(PROJECT / "include" / "pipelines" / "flight_delay", own)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        for console in (printing.out, printing.err):
            patch.setattr(console, "width", int(environment(folder)["COLUMNS"]))
        settings.cache_clear()
        copy_empty_registry(settings())
        skip_what_only_train_needs(patch)
        follow("practice", folder)
        yield folder
    settings.cache_clear()


def follow(page: str, project: Path) -> None:
    """Type the commands of a page, and look for the lines that it shows after them."""
    said = ""
    for purpose, text in blocks(TUTORIALS / f"{page}.md"):
        if purpose == SHELL:
            said = "".join(run_here(command, project) for command in text.strip().splitlines())
        elif purpose == SHOWN:
            lost = missing(text, said)
            assert not lost, f"{page}: not printed: {lost}\n{said}"


def test_each_desk_has_one() -> None:
    assert sorted(path.stem for path in TUTORIALS.glob("*.md")) == sorted([*DESKS, "practice"])
    assert f"export CONTRAIL_HOME=$PWD/{HOME}\n" in (TUTORIALS / "practice.md").read_text()


@pytest.mark.parametrize("desk", DESKS)
def test_the_commands_work_and_print_what_the_page_shows(desk: str, project: Path) -> None:
    follow(desk, project)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("12 rows", "112 rows"),
        ("12 rows", "12,000 rows"),
        ("log loss 0.5191", "log loss 0.5391"),
        ("version 1 … champion", "version 2 is champion"),
        ("-0.0007", "0.0007"),
    ],
)
def test_another_number_is_not_what_the_page_shows(shown: str, printed: str) -> None:
    assert missing(shown, printed) == [shown]


def test_a_fraction_may_differ_in_its_last_digits() -> None:
    assert missing("log loss 0.5191 in … s", "log   loss 0.5187 in 3.1 s") == []


def test_a_thousand_random_flights_are_computed_again_to_the_last_bit(
    project: Path,
) -> None:
    settings.cache_clear()
    pipeline = load_pipeline("flight_delay")
    found = recheck(Lake(settings(), pipeline.name), pipeline, 1000)
    assert (found.rows, found.same, found.others) == (1000, 1000, ())
