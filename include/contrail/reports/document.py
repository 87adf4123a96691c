"""A page in blocks that can be said twice, as HTML and as Markdown, in the same words. What a page says is its module's.

Whatever comes from data is text here, and each form escapes it in its own way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from contrail.methods.segments import Measured
from contrail.reports.page import protected, template

if TYPE_CHECKING:
    from markupsafe import Markup

# An underscore within a word is no mark.
_MARKS = re.compile(r"([\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_])|^[#>+-])")
# On a terminal they would move the cursor, change colours, or turn the text around.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ITEM = re.compile(r"^[-*] +")
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Cell:
    """A cell of a table. ``under`` is small; a ``loud`` cell stands out; ``strip`` has marks from 0 to 100."""

    text: str
    under: str = ""
    loud: bool = False
    strip: tuple[float, float, float] | None = None
    reference: float | None = None

    def __str__(self) -> str:
        return self.text + (f" ({self.under})" if self.under else "")


@dataclass(frozen=True)
class Note:
    """A sentence. ``kind`` says how it looks: plain, soft, or a warning."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Prose:
    """Markdown that a person wrote: paragraphs, lists and code within a line. Other marks stay as they are."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    tiles: bool = False


@dataclass(frozen=True)
class Rows:
    """A table. The first ``texts`` columns are texts, the others numbers. ``code`` are positions of columns with names or hashes.

    A ``folded`` one opens by its title.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    title: str = ""
    texts: int = 1
    folded: bool = False
    code: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """A drawing, and what it shows in words, which Markdown and a screen reader get."""

    drawing: "Markup"
    words: str
    title: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Pictures:
    """Drawings beside each other."""

    drawn: Sequence[Picture]


Block = Note | Prose | Bullets | Facts | Rows | Picture | Pictures


@dataclass(frozen=True)
class Section:
    """A part of a page, with a heading."""

    title: str
    blocks: Sequence[Block] = field(default=())

    @property
    def anchor(self) -> str:
        """The name by which a link finds it."""
        return re.sub(r"\W+", "-", self.title.lower())


@dataclass(frozen=True)
class Document:
    """A page: its title, the sentence that matters most, how good or bad that is, its sections, and what it is."""

    title: str
    lead: str
    tone: str
    sections: Sequence[Section]
    kind: str


def as_cell(value: "str | Cell | Measured | None", loud: bool = False) -> Cell:
    """A value as a cell, a measured one with its interval below."""
    if isinstance(value, Measured):
        ends = value.low is not None and value.high is not None
        return Cell(number(value.value), f"{number(value.low)} to {number(value.high)}" if ends else "", loud)
    return value if isinstance(value, Cell) else Cell("–" if value is None else value)


def number(value: float | None) -> str:
    """A number with four digits after the point, fewer when it is large; a whole one without a point."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4f}" if abs(value) < 100 else f"{value:,.1f}"


def to_html(document: Document) -> str:
    """Make the page, and protect it."""
    # Compiled each time: it takes 15 ms, and a card is rendered once a run.
    filled = template("document.html.j2", prose=prose_html)
    return protected(filled.render(document=document, kind=lambda block: type(block).__name__.lower()))


def prose_html(text: str) -> "Markup":
    """Paragraphs, lists and code of Markdown as HTML; every other mark is text."""
    from markupsafe import Markup

    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if all(_ITEM.match(line) or line.startswith("  ") for line in lines):
            items = re.split(r"\n(?=[-*] )", paragraph)
            parts.append(f"<ul>{''.join(f'<li>{_inline(_ITEM.sub(str(), item))}</li>' for item in items)}</ul>")
        else:
            parts.append(f"<p>{_inline(paragraph.lstrip('# '))}</p>")
    return Markup("".join(parts))  # noqa: S704 - _inline has escaped every text


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(" ".join(text.split())))


# ---- Markdown ----


def to_markdown(document: Document) -> str:
    """The page as Markdown, without pictures; what they show is said in words."""
    parts = [f"# {plain(document.title)}", plain(document.lead)]
    for section in document.sections:
        parts.append(f"## {plain(section.title)}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), "\n\n".join(parts)) + "\n"


def plain(text: str) -> str:
    """A text in which nothing is a mark of Markdown or HTML, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block) -> str:
    if isinstance(block, Note):
        return plain(block.text)
    if isinstance(block, Prose):
        return re.sub(r"^#+ ", "", block.text.replace("<", "&lt;"), flags=re.MULTILINE)
    if isinstance(block, Bullets):
        return "\n".join(f"- {plain(item)}" for item in block.sentences)
    if isinstance(block, Facts):
        return "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in block.pairs)
    if isinstance(block, Pictures):
        return "\n".join(f"- {plain(one.title)}: {plain(one.words)}" for one in block.drawn)
    if isinstance(block, Picture):
        return plain(block.words)
    title = [f"**{plain(block.title)}**"] if block.title else []
    return "\n\n".join([*title, markdown_table(block.head, [[_cell(one) for one in row] for row in block.rows])])


def _cell(value: str | Cell) -> str:
    cell = as_cell(value)
    text = plain(str(cell))
    return f"**{text}**" if cell.loud and text else text


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [[plain(one) for one in head], ["---"] * len(head), *rows]
    )
