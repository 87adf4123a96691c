"""The pages of the site: what the navigation names, and all that they link to."""

import re
from pathlib import Path, PurePosixPath

import pytest
from docs.make_site import Site, configuration, outside_code, paths, write
from tests.conftest import PROJECT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with one page in its navigation, and something of every kind that a page may link to."""
    files = {
        "mkdocs.yml": "theme: {name: material}\nnav: [{Start: [README.md]}, {Decisions: docs/adr/README.md}]\n",
        "README.md": "# Home\n\n[a](docs/a.md#part) [code](lib/x.py) [folder](lib) [hidden](.ci/run) [gone](gone.md)\n"
        "\n```\n[not a link](docs/never.md)\n```\n",
        "docs/a.md": "# A\n\n[up](../README.md) [outside](https://example.org/x) [here](#part)\n\n## Part\n",
        "docs/never.md": "# Never\n",
        "docs/adr/0001-first.md": "# 1. First\n",
        "lib/x.py": "x = 1\n",
        "lib/_y.py": "y = 1\n",
        ".ci/run": "make\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def pages(project: Path) -> dict[str, str]:
    return {str(page): text for page, text in Site(project, configuration(project)["nav"]).pages.items()}


def test_what_a_page_links_to_becomes_a_page(project: Path) -> None:
    found = pages(project)
    assert found.keys() == {
        "README.md", "docs/a.md", "docs/adr/README.md", "docs/adr/0001-first.md", "lib/x.py.md", "lib/README.md", "ci/run.md",
    }  # fmt: skip
    links = "[a](docs/a.md#part) [code](lib/x.py.md) [folder](lib/README.md) [hidden](ci/run.md) [gone](gone.md)"
    assert links in found["README.md"]
    assert "[not a link](docs/never.md)" in found["README.md"]
    assert "[up](../README.md) [outside](https://example.org/x) [here](#part)" in found["docs/a.md"]


def test_a_source_file_shows_its_text_and_a_folder_its_files(project: Path) -> None:
    found = pages(project)
    assert found["lib/x.py.md"] == "# `x.py`\n\n````python\nx = 1\n````\n"
    assert found["lib/README.md"] == "# `lib`\n\n- [`x.py`](../lib/x.py.md)\n"
    assert "- [1. First](../../docs/adr/0001-first.md)" in found["docs/adr/README.md"]


def test_a_picture_is_copied_and_stays_a_picture(project: Path) -> None:
    (project / "docs" / "shots").mkdir()
    (project / "docs" / "shots" / "board.png").write_bytes(b"\x89PNG")
    (project / "docs" / "a.md").write_text("# A\n\n![The board](shots/board.png)\n")
    write(project, project / "site")
    assert "![The board](../docs/shots/board.png)" in (project / "site" / "pages" / "docs" / "a.md").read_text()
    assert (project / "site" / "pages" / "docs" / "shots" / "board.png").read_bytes() == b"\x89PNG"


def test_every_picture_is_made_by_a_test_and_stands_on_a_page() -> None:
    kept = {path.stem for path in (PROJECT / "docs" / "screenshots").iterdir()}
    tests = [path.read_text() for path in (PROJECT / "tests" / "e2e").glob("test_*.py")]
    assert kept == {name for text in tests for name in re.findall(r"""\.show\("([\w-]+)"\)""", text)}
    pages = "".join(path.read_text() for path in (PROJECT / "docs").glob("*.md"))
    assert kept == set(re.findall(r"\(screenshots/([\w-]+)\.png\)", pages))


def test_decisions_are_in_the_navigation_by_their_titles(project: Path) -> None:
    (project / "docs/adr/0002-second.md").write_text("# 2. Second\n")
    assert configuration(project)["nav"][1] == {
        "Decisions": [
            "docs/adr/README.md", {"1. First": "docs/adr/0001-first.md"}, {"2. Second": "docs/adr/0002-second.md"},
        ]
    }  # fmt: skip


def test_what_is_written_again_is_written_whole(project: Path) -> None:
    site = project / "site"
    write(project, site)
    (project / "README.md").write_text("# Home\n")
    write(project, site)
    assert [path.name for path in (site / "pages" / "docs").rglob("*.md")] == ["README.md", "0001-first.md"]
    assert (site / "mkdocs.yml").exists()


def test_lines_within_longer_fences_are_code() -> None:
    text = "a\n````md\n```\n[b](c)\n```\n````\nd\n"
    assert [line for line, is_code in outside_code(text) if not is_code] == ["a\n", "d\n"]


def test_every_page_of_the_documentation_is_in_the_navigation() -> None:
    named = {PurePosixPath(path) for path in paths(configuration(PROJECT)["nav"])}
    there = {PurePosixPath(path.relative_to(PROJECT)) for path in (PROJECT / "docs").rglob("*.md")}
    assert there - named == set()
