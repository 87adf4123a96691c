"""JSON with placeholders for what differs between two runs, for golden files."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass
class Normal:
    """The JSON of one golden file with placeholders; ``<what: type>`` stands for a value, ``<what>`` for a part of a text.

    Numbers that name a snapshot keep their identity: the first in a file is ``<snapshot 1>`` wherever it is. Where the
    seconds are ``invented`` they are compared too.
    """

    place: Path
    started: datetime
    invented: bool = False
    snapshots: dict[str, int] = field(default_factory=dict)

    MEASURED = (
        *("seconds", "predict_seconds", "estimated_seconds", "estimated_minutes"),
        *(
            "least_seconds",
            "most_seconds",
            "whole_seconds",
            "none_seconds",
            "noise_seconds",
            "saved_seconds",
            "refit_seconds",
        ),
    )
    # The labels are of the folder of the jobs. Each change of a stage's code or libraries changes what it is made of.
    OTHERS = ("xgboost_version", "processor", "contrailrun", "contrailtask", "made_of")
    TEXTS = (
        (re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b"), "<run>"),
        (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
        (re.compile(r"\b[0-9a-f]{32}\b"), "<32 hex digits>"),
        (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
        (re.compile(r"\bin [\d,]+\.\d s\b"), "in <seconds> s"),
    )
    TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?(?P<zone>Z|\+00:00|)")
    # Iceberg draws them from 63 bits.
    SNAPSHOT = re.compile(r"(?<![\d.])\d{13,19}(?!\d)")

    def of(self, value: Any, key: str = "") -> Any:
        """A JSON value with placeholders; ``key`` is the one that it has in its object."""
        if isinstance(value, dict):
            return {self._text(name): self.of(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.of(one, key) for one in value]
        if value is None or isinstance(value, bool):
            return value
        if key in self.OTHERS or (key in self.MEASURED and not self.invented):
            return f"<{key}: {type(value).__name__}>"
        if key == "committed_at":  # in milliseconds, of which a thousandth has no fraction
            return self._text(re.sub(r"\.\d+", "", value))
        if isinstance(value, float):
            return float(f"{round(value, 9):.6g}") + 0.0  # not -0.0; other machines differ in the last digits
        if isinstance(value, int):
            return f"{self._snapshot(str(value))[:-1]}: int>" if self.SNAPSHOT.fullmatch(str(value)) else value
        return self._text(value)

    def _text(self, text: str) -> str:
        text = text.replace(str(self.place), "<place>")
        for pattern, placeholder in self.TEXTS:
            text = pattern.sub(placeholder, text)
        text = self.TIME.sub(self._time, text)
        return self.SNAPSHOT.sub(lambda found: self._snapshot(found[0]), text)

    def _time(self, found: re.Match[str]) -> str:
        """A time since the start as its form: whether it has a fraction, and how its zone is written."""
        moment = datetime.fromisoformat(found[0])
        if moment.replace(tzinfo=UTC) < self.started.replace(microsecond=0):
            return found[0]
        return f"<time{'.fraction' if found['fraction'] else ''}{found['zone']}>"

    def _snapshot(self, number: str) -> str:
        return f"<snapshot {self.snapshots.setdefault(number, len(self.snapshots) + 1)}>"
