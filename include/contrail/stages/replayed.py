"""What ``contrail replay`` did, or would do. The module is light, as ``contrail.stages.results`` is."""

import json
from collections.abc import Collection
from datetime import date
from typing import Any

from pydantic import Field

from contrail.config.personal import MASK
from contrail.frozen import Frozen


class MendedRow(Frozen):
    """A mended row: where it landed, its rule before, and its changes, each with the value before and after.

    ``still`` is the rule that it breaks as mended, and ``detail`` says how. Both are empty for a row that passes.
    """

    day: date
    file: str
    line: int
    rule: str
    changes: dict[str, tuple[str | None, str | None]]
    still: str = ""
    detail: str = ""

    @classmethod
    def of(cls, row: tuple[Any, ...], personal: Collection[str]) -> "MendedRow":
        """Make it of a row of a query. Values of persons have a mask."""
        day, file, line, rule, changes, still, detail = row
        own = {name: (MASK, MASK) if name in personal else tuple(both) for name, both in json.loads(changes).items()}
        return cls(
            day=day, file=file, line=line, rule=rule, changes=own, still=still or "", detail=detail or ""
        )  # fmt: skip


class ReplayDetails(Frozen):
    """What a replay mended, or would mend.

    ``replay`` is its name in ``mended``; empty when it recorded nothing. Of the ``mended`` rows, ``passed`` broke no rule.
    ``kept`` counts the others by rule. ``unchanged`` rows were as given before. ``days`` are the mended days, and
    ``following`` those of the rows that refer to them. ``features`` and ``scores`` are what is built again. ``rows`` has some
    of the mended rows. ``different`` has the published days that became different.
    """

    dry_run: bool
    table: str
    replay: str = ""
    mended: int = 0
    passed: int = 0
    kept: dict[str, int] = Field(default={})
    unchanged: int = 0
    days: tuple[str, ...] = ()
    following: tuple[str, ...] = ()
    features: str = ""
    scores: str = ""
    refused: tuple[str, ...] = ()
    rows: tuple[MendedRow, ...] = ()
    different: tuple[str, ...] = ()
    decisions_flipped: int = 0
    reports: tuple[str, ...] = ()


class ReplayResult(Frozen):
    """What ``contrail replay`` did."""

    pipeline: str
    details: ReplayDetails
