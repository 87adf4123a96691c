"""The score card of a pipeline: the ML Test Score of Breck, Cai, Nielsen, Salib and Sculley (IEEE Big Data 2017).

Each of 28 tests gives no point, a half or a whole one. A section's score is their sum. The final score is the least of the
four. The questions are in Contrail's own words.
"""

from collections.abc import Callable

from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.operations.score_card import data, infrastructure, model, monitoring
from contrail.operations.score_card.claims import Section, section
from contrail.operations.score_card.state import State
from contrail.stages.base import silent

SOURCE = (
    "Breck, Cai, Nielsen, Salib, Sculley: The ML Test Score: A Rubric for ML Production Readiness and Technical Debt "
    "Reduction. IEEE Big Data 2017"
)
_SECTIONS = (data, model, infrastructure, monitoring)


class ScoreCard(Frozen):
    """The score of a pipeline at a time, with all that gives it. ``version`` is the champion's; empty without one."""

    pipeline: str
    title: str
    version: str
    scored_at: str
    score: float
    sections: tuple[Section, ...]
    source: str = SOURCE


def score_card(lake: Lake, pipeline: Pipeline, progress: Callable[[str], None] = silent) -> ScoreCard:
    """Look at the evidence of each test, and give points for what can be shown. Nothing is published.

    Args:
        lake: The pipeline's tables.
        pipeline: The pipeline.
        progress: Takes a line for each section.
    """
    state, sections = State(lake, pipeline), []
    for each in _SECTIONS:
        progress(each.NAME.lower())
        sections.append(section(each.NAME, each.TESTS, state))
    try:
        version = state.version
    except MissingInputError:
        version = ""
    return ScoreCard(
        pipeline=pipeline.name,
        title=pipeline.spec.title,
        version=version,
        scored_at=state.now,
        score=min(one.points for one in sections),
        sections=tuple(sections),
    )
