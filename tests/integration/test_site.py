"""The site of the documentation, built by its builder: it reads no network, and a broken link fails."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docs.make_site import write
from tests.conftest import PROJECT

BUILDER = PROJECT / ".venv-docs" / "bin" / "zensical"
# What a browser fetches when it opens a page. A link, which a reader follows, is none.
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\s\"'>]+")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BUILDER.exists(), reason="the builder is in .venv-docs: make docs"),
]


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    write(project, site)
    command = [BUILDER, "build", "--strict", "--config-file", site / "mkdocs.yml"]
    return subprocess.run(
        command, cwd=site, env={"NO_COLOR": "1"}, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False
    )


def test_the_site_is_whole_and_reads_no_network(tmp_path: Path) -> None:
    done = build(PROJECT, tmp_path)
    assert done.returncode == 0, done.stdout
    pages = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "html").rglob("*.html")}
    assert len(pages) > 80
    assert not {str(path): found for path, text in pages.items() if (found := FETCHED.findall(text))}
    # Only a page with a diagram loads the script that draws it.
    drawn = {path.relative_to(tmp_path / "html").as_posix() for path, text in pages.items() if "mermaid.min.js" in text}
    assert {"index.html", "docs/gcp.html"} <= drawn and len(drawn) < 10
    search = (tmp_path / "html" / "search.js").read_text(encoding="utf-8")
    assert "label_coverage" in search and "contrail rollback-model" in search


@pytest.mark.parametrize("link", ["docs/words.md#no-such-word", "docs/no-such-page.md"])
def test_a_broken_link_fails(link: str, tmp_path: Path) -> None:
    project, page = tmp_path / "project", tmp_path / "project" / "README.md"
    shutil.copytree(PROJECT / "docs" / "theme", project / "docs" / "theme")
    (project / "docs" / "words.md").write_text("# Words\n\n## Word\n")
    (project / "mkdocs.yml").write_text(
        "site_name: x\ndocs_dir: pages\nsite_dir: html\ntheme: {}\nnav: [{Start: [README.md, docs/words.md]}]\n"
    )
    page.write_text("# Home\n\nSee [this](docs/words.md#word) and [that](docs).\n")
    done = build(project, tmp_path / "site")
    assert done.returncode == 0, done.stdout
    page.write_text(f"# Home\n\nSee [this]({link}).\n")
    done = build(project, tmp_path / "site")
    assert done.returncode != 0 and "README.md:3" in done.stdout
