"""Pages of HTML and Markdown: whatever data brings along stays text."""

from html.parser import HTMLParser
from typing import Any

from hypothesis import strategies as st
from upath import UPath

from contrail.reports.contracts import TableReport, write_report
from contrail.reports.document import Bullets, Cell, Document, Facts, Note, Prose, Rows, Section, to_html, to_markdown
from tests.fuzz.target import TEXTS, Target, WrongError
from tests.unit.reports.hostile import HOSTILE

_BITS = ("<", ">", "&", '"', "'", "/", "=", "script", "style", "!--", "-->", "<![CDATA[", "]]>", "{{", "}}", "{%",
"%}", "javascript:", "\\",
         "onload", "&lt;", "&#60;", "\0", "\x0b", "\u2028", "`", "*", "_", "[", "](", "|", "#", "\n\n", "- ", "<br>")  # fmt: skip
_TEXT = st.sampled_from(HOSTILE) | st.lists(st.sampled_from(_BITS) | TEXTS, max_size=8).map("".join)
_TEXT = _TEXT.map(lambda text: text or "-")  # a page leaves out what is empty, with its tags
EXAMPLES = st.lists(_TEXT, min_size=14, max_size=14)


class _Tags(HTMLParser):
    """The tags of a page, with their attributes' names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Any, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *sorted(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))

    def handle_pi(self, data: str) -> None:
        self.found.append(("pi",))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("decl",))


def _tags(page: str) -> list[tuple[Any, ...]]:
    parser = _Tags()
    parser.feed(page)
    parser.close()
    return parser.found


def _document(texts: list[str]) -> Document:
    a, b, c, d, e, f, g, h, i, j, k, m, n, o = texts
    rows = Rows([a, b], [[c, Cell(d, e, loud=True)], [f, g]], title=h, code=[0])
    blocks = [Note(i, "warn"), Bullets([j, k]), Facts([(m, n)]), Facts([(n, m)], tiles=True), rows]
    return Document(o, a, "good", [Section(b, blocks), Section(c, [])], d)


def _report(texts: list[str]) -> str:
    a, b, c, d, e, f, *_ = texts
    found = TableReport("flights", 3, 1, {a or "x": 2}, refused=[b], examples={a or "x": [c, d]}, unusual=[e])
    page, _ = write_report(UPath("reports"), "run", f, [found], None, 2)
    return UPath(page).read_text()


_PLAIN = [*"abcdefghijklmn"]


def _check(texts: list[str]) -> None:
    if _tags(to_html(_document(texts))) != _tags(to_html(_document(_PLAIN))):
        raise WrongError("the document has other tags with these texts")
    if _tags(_report(texts)) != _tags(_report(_PLAIN)):
        raise WrongError("the page of contracts has other tags with these texts")
    markdown = to_markdown(_document(texts))
    if "<script" in markdown.replace("\\<", "").lower():
        raise WrongError("Markdown has a tag")
    if any(sign in markdown for sign in ("\x1b", "\u202e", "\0")):
        raise WrongError("Markdown has codes of the terminal")
    prose = to_html(Document("t", "l", "good", [Section("s", [Prose(texts[0])])], "k"))
    if {tag[0] for tag in _tags(prose)} - {tag[0] for tag in _tags(to_html(_document(_PLAIN)))} - _OF_PROSE:
        raise WrongError("prose has tags of its own")


_OF_PROSE = {tag for name in ("p", "ul", "li", "code") for tag in (name, f"/{name}")}
TARGETS = [Target("pages", EXAMPLES, _check, short=12)]
