"""The page's own files: nothing comes from elsewhere, and no text of the data becomes markup."""

import re

import pytest
from tests.conftest import PROJECT

from contrail_airflow.page.app import STATIC

FILES = sorted(path for path in STATIC.rglob("*") if path.is_file() and "vendor" not in path.parts)
SCRIPTS = [path for path in FILES if path.suffix == ".js"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_another_host(path: object) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # type: ignore[attr-defined]
    assert not re.search(r"https?://|[\"'(]//", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_of_text(path: object) -> None:
    text = path.read_text()  # type: ignore[attr-defined]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text)


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)


def test_every_link_into_the_documentation_leads_to_a_page_and_a_heading() -> None:
    found = {link for path in SCRIPTS for link in re.findall(r'"(docs/[\w-]+\.html(?:#[\w-]+)?)"', path.read_text())}
    assert len(found) > 5
    for link in found:
        page, _, heading = link.partition("#")
        headings = re.findall(r"^#+ (.+)$", (PROJECT / page).with_suffix(".md").read_text(), re.MULTILINE)
        assert heading in ("", *(re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings)), link
