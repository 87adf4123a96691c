"""The check of the project's own prose."""

from pathlib import Path

import pytest
from docs.check_prose import LONGEST, MEDIAN, Sentence, findings, main, pages, sentences


def words(count: int) -> str:
    return "Word" + " word" * (count - 1) + "."


LONG = words(LONGEST + 1)


def texts(markdown: str) -> list[str]:
    return [sentence.text for sentence in sentences(markdown)]


def test_a_long_sentence_is_found_with_its_line() -> None:
    found = findings("page.md", f"# Title\n\nShort.\nAlso short. {LONG}\n")
    assert found == [f"page.md:4: {LONGEST + 1} words, at most {LONGEST}: {LONG}"]


def test_a_sentence_of_the_longest_length_passes() -> None:
    assert findings("page.md", f"One. Two. Three. {words(LONGEST)}") == []


def test_code_blocks_diagrams_and_headings_are_not_prose() -> None:
    page = f"# {LONG}\n\n```\n{LONG}\n```\n\n```mermaid\n{LONG}\n```\n\n    {LONG}\n\nProse."
    assert texts(page) == ["Prose."]


@pytest.mark.parametrize(
    "page",
    [
        f"1. {LONG}",
        f"- item\n  - {LONG}",
        f"> {LONG}",
        f"| a | b |\n|---|---|\n| x | {LONG} |",
        f"| a | {LONG} |\n|---|---|\n| x | y |",
        f"**bold** [{LONG}](page.md)",
    ],
)
def test_lists_quotes_cells_and_links_are_prose(page: str) -> None:
    assert any(f"words, at most {LONGEST}: " in line for line in findings("page.md", page))


def test_the_line_of_a_cell_is_its_rows() -> None:
    page = f"Text.\n\n| a | b |\n|---|---|\n| x | y |\n| x | {LONG} |"
    assert [sentence.line for sentence in sentences(page)] == [1, 6]


def test_short_cells_are_names_and_not_sentences() -> None:
    assert texts("| a | b |\n|---|---|\n| five words are no sentence | six words are a short sentence |") == [
        "six words are a short sentence"
    ]


def test_code_is_one_word_and_stays_readable() -> None:
    said = "Run `make airflow ARGS='dags list'. Now` – then stop."
    assert sentences(said) == [Sentence(1, said, words=4)]


def test_sentences_end_where_they_end() -> None:
    page = (
        "Python 3.11 runs it, e.g. On Debian. See `a.py`. `b.py` too (really.) Why? “Because.” Version 2.0 is out… Yes"
    )
    assert texts(page) == [
        "Python 3.11 runs it, e.g. On Debian.",
        "See `a.py`.",
        "`b.py` too (really.)",
        "Why?",
        "“Because.”",
        "Version 2.0 is out…",
        "Yes",
    ]


def test_the_median_of_a_page_is_held() -> None:
    page = "\n\n".join([words(3), words(MEDIAN), words(LONGEST)])
    assert findings("page.md", page) == []
    page = "\n\n".join([words(3), words(MEDIAN + 1), words(LONGEST)])
    assert findings("page.md", page) == [f"page.md: the median sentence has {MEDIAN + 1} words, at most {MEDIAN}"]


@pytest.mark.parametrize(
    "said", ["An approver is asked for.", "People are told of it.", "Killed anywhere, it goes on."]
)
def test_oblique_words_are_found(said: str) -> None:
    (found,) = findings("page.md", f"First.\n{said}")
    assert found.startswith("page.md:2: '") and found.endswith(said)


def test_every_page_of_the_project_is_checked() -> None:
    checked = {path.relative_to(Path(__file__).resolve().parents[3]).as_posix() for path in pages()}
    assert {"README.md", "docs/glossary.md", "docs/adr/0001-record-decisions.md", "terraform/README.md"} <= checked
    assert {"benchmarks/RESULTS.md", "include/pipelines/flight_delay/README.md"} <= checked


def test_the_command_fails_where_there_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("Short.")
    bad.write_text(f"{LONG} Short. Short.")
    assert main([str(good)]) == 0 and capsys.readouterr().out == ""
    assert main([str(good), str(bad)]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}:1: {LONGEST + 1} words")
