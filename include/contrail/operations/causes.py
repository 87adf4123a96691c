"""Why published days were corrected, as the record ``corrections`` has it in words: files that came late, or mended rows."""

import re

from contrail.frozen import Frozen

_MENDED = ", mended by replay "
_FILE = re.compile(r"(\w+) (\d{4}-\d\d-\d\d(?:\.\.\d{4}-\d\d-\d\d)?)")


class Cause(Frozen):
    """Tables with days, as ``weather 2024-02-12``, that came late or again; or whose rows the replay ``mended``, if any."""

    files: str
    mended: str = ""

    @classmethod
    def read(cls, words: str) -> "Cause":
        """Read what ``words`` has written.

        Example:
            >>> Cause.read("weather 2024-02-12, mended by replay r1")
            Cause(files='weather 2024-02-12', mended='r1')
        """
        files, _, mended = words.partition(_MENDED)
        return cls(files=files, mended=mended)

    @property
    def words(self) -> str:
        """For the record."""
        return f"{self.files}{_MENDED if self.mended else ''}{self.mended}"

    @property
    def sentence(self) -> str:
        """What happened."""
        if self.mended:
            return f"rows of {self.files} were mended by replay {self.mended}"
        return f"{self.files} came late"

    @property
    def days(self) -> list[tuple[str, str]]:
        """Each table, and a range of its days."""
        return _FILE.findall(self.files)
