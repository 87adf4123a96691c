"""Gather the pages of the documentation's site under ``site/pages``, and write its configuration, ``site/mkdocs.yml``.

``make docs`` calls it, and then the builder. The pages lie as they do in the project, so links mean the same on GitHub and
in the site. What a page links to becomes a page as well: a source file shows its text, a folder its README or its files.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

PROJECT = Path(__file__).resolve().parents[1]
SITE = PROJECT / "site"
INDEX = "README.md"
DECISIONS = PurePosixPath("docs/adr")

_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
# A wide diagram scrolls on a narrow screen: `.diagram` in theme/assets/site.css.
_DIAGRAM = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
_PICTURES = (".png", ".svg")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".tf": "terraform", ".toml": "toml"}


class Site:
    """The pages that the navigation names, and all that they link to. ``pictures`` are the images on them."""

    def __init__(self, project: Path, nav: Any) -> None:
        self.project = project
        self.pages: dict[PurePosixPath, str] = {}
        self.pictures: set[Path] = set()
        self._waiting = [self._page(project / path) for path in paths(nav)]
        while self._waiting:
            page, place = self._waiting.pop()
            if page not in self.pages:
                self.pages[page] = self._text(page, place)

    def _page(self, place: Path) -> tuple[PurePosixPath, Path]:
        """What shows a file or a folder: the page, and where it comes from."""
        if place.name == INDEX and not place.exists():
            place = place.parent
        if place.is_dir() and (place / INDEX).exists():
            place /= INDEX
        there = PurePosixPath(*(part.lstrip(".") for part in place.relative_to(self.project).parts))
        if place.is_dir():
            return there / INDEX, place
        return (there if place.suffix == ".md" else there.with_name(f"{there.name}.md")), place

    def _text(self, page: PurePosixPath, place: Path) -> str:
        """The Markdown of a page, whose links lead to pages."""
        if place.is_dir():
            text = self._listing(place)
        elif place.suffix == ".md":
            text = _DIAGRAM.sub(r'<div class="diagram" markdown>\n\n\g<0>\n\n</div>', place.read_text(encoding="utf-8"))
        else:
            return _shown(place)
        up = "../" * (len(page.parents) - 1)
        folder = place if place.is_dir() else place.parent
        return "".join(
            line if is_code else _LINK.sub(lambda found: self._target(found[0], folder, up), line)
            for line, is_code in outside_code(text)
        )

    def _target(self, link: str, folder: Path, up: str) -> str:
        """Where a link leads in the site."""
        parts = urlsplit(link)
        place = (folder / parts.path).resolve()
        if parts.scheme or not parts.path or not place.exists():  # the builder reports what does not exist
            return link
        if place.suffix in _PICTURES:
            self.pictures.add(place)
            return f"{up}{PurePosixPath(place.relative_to(self.project))}"
        found = self._page(place)
        self._waiting.append(found)
        return f"{up}{found[0]}" + (f"#{parts.fragment}" if parts.fragment else "")

    def _listing(self, folder: Path) -> str:
        """A page for a folder without one: its files, by their titles."""
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] not in "._")
        where = folder.relative_to(self.project)
        title = "Decisions" if where == Path(DECISIONS) else f"`{where}`"
        return "\n".join([f"# {title}\n", *(f"- [{_title(path)}]({path.name})" for path in files), ""])


def paths(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        yield nav
    else:
        for one in nav.values() if isinstance(nav, dict) else nav:
            yield from paths(one)


def outside_code(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line of a page, and whether it belongs to a fenced block."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        found = _FENCE.match(line)
        yield line, bool(fence or found)
        if found:
            closes = bool(fence) and found[1].startswith(fence)
            fence = "" if closes else fence or found[1]


def configuration(project: Path) -> dict[str, Any]:
    """The project's ``mkdocs.yml``, with every decision in the navigation."""
    found: dict[str, Any] = yaml.safe_load((project / "mkdocs.yml").read_text(encoding="utf-8"))
    decisions = sorted((project / DECISIONS).glob("[0-9]*.md"))
    shown = [{_title(path): str(DECISIONS / path.name)} for path in decisions]
    for tab in found["nav"]:
        for name, content in tab.items():
            if content == str(DECISIONS / INDEX):
                tab[name] = [content, *shown]
    return found


def write(project: Path, site: Path) -> None:
    """Write the pages and the configuration."""
    found = configuration(project)
    shutil.rmtree(site, ignore_errors=True)
    gathered = Site(project, found["nav"])
    for page, text in gathered.pages.items():
        path = site / "pages" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for picture in gathered.pictures:
        copy = site / "pages" / picture.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, copy)
    found["theme"]["custom_dir"] = str(project / "docs" / "theme")
    (site / "mkdocs.yml").write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _title(path: Path) -> str:
    """A page's first heading; a file's name."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ") if path.suffix == ".md" else f"`{path.name}`"


def _shown(path: Path) -> str:
    """A page that shows a file."""
    fence = "````"
    return (
        f"# `{path.name}`\n\n{fence}{_LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8')}{fence}\n"
    )


if __name__ == "__main__":
    write(PROJECT, SITE)
    sys.stdout.write(f"{len(list((SITE / 'pages').rglob('*.md')))} pages are in {SITE.relative_to(PROJECT)}/pages\n")
