"""The score card as a page: what scored, what did not and why, and under each section its evidence."""

from collections.abc import Iterator

from contrail.operations.score_card.card import ScoreCard
from contrail.operations.score_card.claims import Claim, Scored, Section
from contrail.reports import document
from contrail.reports.document import Block, Bullets, Cell, Document, Facts, Note, Rows

_MARKS = {True: "✓", False: "✗"}
_NEEDED = {"half": "for a half", "whole": "for the whole"}
# Sections of more than 5 points are what the paper's readers should reach.
_GOAL, _SERIOUS = 5, 2


def render(card: ScoreCard) -> str:
    """The page as HTML."""
    return document.to_html(_document(card))


def text(card: ScoreCard) -> str:
    """The page as Markdown."""
    return document.to_markdown(_document(card))


def said(points: float) -> str:
    """Points as people write them: 0, 0.5, 1."""
    return f"{points:g}"


def when(claim: Claim) -> str:
    """The minute of a claim, UTC, or a dash."""
    return claim.at[:16].replace("T", " ") or "–"


def _document(card: ScoreCard) -> Document:
    least = [one.name.lower() for one in card.sections if one.points == card.score]
    of = f"version {card.version}" if card.version else "no champion yet"
    lead = (
        f"{said(card.score)} of 7 points: the least of its four sections, which is {' and '.join(least)}. "
        f"Champion: {of}. Looked at on {card.scored_at[:16].replace('T', ' ')} UTC."
    )
    tone = "pass" if card.score >= _GOAL else "waits" if card.score >= _SERIOUS else "refused"
    sections = [document.Section("The score", list(_overview(card)))]
    sections += [document.Section(one.name, list(_section(one))) for one in card.sections]
    return Document(f"{card.title}: ML Test Score", lead, tone, sections, "score card")


def _overview(card: ScoreCard) -> Iterator[Block]:
    yield Facts([(one.name, f"{said(one.points)} of {len(one.tests)}") for one in card.sections], tiles=True)
    yield Note(
        "A test has half a point when it was shown by hand or in part, and a whole one when a system shows it again and again. "
        "What cannot be shown has none. The least section is the score."
    )
    raises = [
        f"{test.number} {test.name}: {one}" for each in card.sections for test in each.tests for one in test.raises
    ]
    if raises:
        yield Note("What would raise it:", "soft")
        yield Bullets(raises)
    yield Note(f"The rubric: {card.source}. The questions are in Contrail's words.", "soft")


def _section(section: Section) -> Iterator[Block]:
    yield Rows(
        ["Test", "Points", "Depends on", "Why not more"],
        [
            [
                Cell(f"{one.number} {one.name}", one.asks),
                Cell(said(one.points), loud=one.points < 1),
                one.about,
                one.missing or "–",
            ]
            for one in section.tests
        ],
        title=f"{said(section.points)} of {len(section.tests)} points",
        texts=4,
    )
    yield Rows(
        ["Test", "Needed", "Evidence", "Where", "When (UTC)", "Of"],
        [_claim(test, claim) for test in section.tests for claim in test.claims],
        title="Evidence",
        texts=6,
        folded=True,
        code=(3,),
    )


def _claim(test: Scored, claim: Claim) -> list[str | Cell]:
    mark = Cell(_MARKS[claim.holds], _NEEDED[claim.needed], loud=not claim.holds)
    how = "tried now" if claim.how == "run" else "cited" if claim.link else "looked for"
    found = Cell(claim.says, how)
    return [test.number, mark, found, claim.link or "–", when(claim), claim.of]
