"""What a pipeline's README says for the model card: its sections on intended use and on limits.

Everything else on a card is recorded by the pipeline's runs. How text is shown does not belong here.
"""

import re
from pathlib import Path

from contrail.frozen import Frozen

README = "README.md"
INTENDED_USE, LIMITS = "Intended use", "Limits"
# A heading and what follows, up to the next one of the same level or above. A fence of code may hold lines like headings.
# A comment is for who writes the README: it may ask what to write, and is no answer.
_COMMENT = re.compile(r"^(```.*?^```[^\n]*$)|<!--.*?-->", re.MULTILINE | re.DOTALL)
_PARTS = re.compile(r"^(```.*?^```[^\n]*$)|^(#{1,2})[ \t]+(.+?)[ \t#]*$", re.MULTILINE | re.DOTALL)


class ReadmeSections(Frozen):
    """The text, in Markdown, below the headings ``## Intended use`` and ``## Limits``. Empty: there is no such heading."""

    intended_use: str = ""
    limits: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The headings that have no text."""
        found = {INTENDED_USE: self.intended_use, LIMITS: self.limits}
        return tuple(heading for heading, text in found.items() if not text)


def read_sections(folder: Path) -> ReadmeSections:
    """Read the sections of a pipeline's README, without comments. Without a README both are empty."""
    path = folder / README
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    text = _COMMENT.sub(lambda one: one[1] or "", text)
    found = [one for one in _PARTS.finditer(text) if one[3]]
    ends = [*(one.start() for one in found), len(text)][1:]
    parts = {one[3].strip().lower(): text[one.end() : end].strip() for one, end in zip(found, ends, strict=True)}
    return ReadmeSections(intended_use=parts.get(INTENDED_USE.lower(), ""), limits=parts.get(LIMITS.lower(), ""))
