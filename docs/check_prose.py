"""Check the prose of the project's Markdown: short sentences, in the active voice.

``python docs/check_prose.py [FILE ...]`` prints a line for each finding and fails when there is one. Code blocks, diagrams
and headings are not prose. What a page says is not checked here.
"""

import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "include/**/*.md", "plugins/**/*.md", "terraform/README.md", "benchmarks/*.md")
LONGEST = 35  # words of a sentence
MEDIAN = 14  # words of a page's sentences
SHORTEST_CELL = 6  # a table's cell with fewer words is a name or a number, not a sentence
# Words seen here in sentences that a reader had to read twice. The person who acts belongs in front.
OBLIQUE = re.compile(
    r"\b(is|are|was|were) (told|asked (for|of))\b|\bkilled anywhere\b|\bto see a begin\b", re.IGNORECASE
)

_SPACE = "\ue000"  # a space within code, which is one word however long it is
_WORD = re.compile(r"\S*[^\W_]\S*")
# A sentence ends before a space and the start of another one; what follows an abbreviation goes on.
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|no|St)\.$", re.IGNORECASE)
_END = re.compile(r"""[.!?…]["'”’)\]]*(?=\s+["'“‘(\[]*[A-Z0-9`])""")


@dataclass(frozen=True)
class Sentence:
    """A sentence, and the line of the file that it begins on. Of its ``words``, code is one; a dash is none."""

    line: int
    text: str
    words: int


def sentences(markdown: str) -> list[Sentence]:
    """The sentences of a page's paragraphs, list items, quotes and longer table cells, in order."""
    return [sentence for line, text in _prose(markdown) for sentence in _split(text, line)]


def findings(name: str, markdown: str) -> list[str]:
    """What is wrong with a page, a line for each: long sentences, oblique words, a page of long sentences."""
    found, counts = [], []
    for sentence in sentences(markdown):
        counts.append(sentence.words)
        shown = f"{name}:{sentence.line}"
        if sentence.words > LONGEST:
            found.append(f"{shown}: {sentence.words} words, at most {LONGEST}: {sentence.text}")
        if oblique := OBLIQUE.search(sentence.text):
            found.append(f"{shown}: '{oblique[0]}'; say who does what: {sentence.text}")
    if counts and (median := statistics.median(counts)) > MEDIAN:
        found.append(f"{name}: the median sentence has {median:g} words, at most {MEDIAN}")
    return found


def pages() -> list[Path]:
    """Every page that is checked."""
    return sorted({path for pattern in PAGES for path in PROJECT.glob(pattern)})


def _prose(markdown: str) -> Iterator[tuple[int, str]]:
    """Each piece of prose with its first line. Within it, a line break of the file is kept."""
    line, holder = 1, ""
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.map:
            line = token.map[0] + 1
        if token.type in ("heading_open", "paragraph_open", "td_open", "th_open"):
            holder = token.type
        if token.type == "inline" and holder != "heading_open":
            text = "".join(_text(child) for child in token.children or ())
            if holder == "paragraph_open" or len(_WORD.findall(text)) >= SHORTEST_CELL:
                yield line, text


def _text(token: Token) -> str:
    if token.type == "code_inline":
        return f"`{token.content.replace(' ', _SPACE)}`"
    return "\n" if token.type in ("softbreak", "hardbreak") else token.content if token.type == "text" else ""


def _split(text: str, line: int) -> Iterator[Sentence]:
    start = 0
    ends = [end.end() for end in _END.finditer(text) if not _ABBREVIATION.search(text[: end.start() + 1])]
    for end in [*ends, len(text)]:
        said = text[start:end]
        if words := _WORD.findall(said):
            first = start + len(said) - len(said.lstrip())
            shown = " ".join(said.split()).replace(_SPACE, " ")
            yield Sentence(line + text.count("\n", 0, first), shown, len(words))
        start = end


def main(names: Sequence[str]) -> int:
    """Print the findings of these files, or of every page; 1 when there are any."""
    found = []
    for path in [Path(name).resolve() for name in names] or pages():
        shown = str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)
        found += findings(shown, path.read_text(encoding="utf-8"))
    sys.stdout.writelines(f"{line}\n" for line in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
