"""What is counted from rows, for tests of those that read profiles."""

from datetime import date
from typing import Any

import pytest

from contrail.stages.profiles import _Profiles


def counted_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A list to which each publication of profiles adds its kind and its days."""
    found: list[tuple[str, str]] = []
    publish = _Profiles._publish

    def noted(self: _Profiles, days: list[date], rows: Any) -> None:
        found.append((self.kind, ",".join(f"{day:%m-%d}" for day in days)))
        publish(self, days, rows)

    monkeypatch.setattr(_Profiles, "_publish", noted)
    return found
