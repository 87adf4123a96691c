"""The file that takes every message."""

import json
from pathlib import Path

import pytest

from contrail.config.settings import settings
from contrail.notify.delivery import deliver
from contrail.notify.messages import of_failure


def test_a_message_from_a_sandbox_says_so_and_lies_in_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRAIL_SANDBOX", "deeper")
    settings.cache_clear()
    assert deliver(of_failure("toy score", 3, "no model")) == ["file"]
    (line,) = (home / "sandboxes" / "deeper" / "notifications.jsonl").read_text().splitlines()
    assert json.loads(line)["where"] == "toy score (sandbox deeper)"
    assert not (home / "notifications.jsonl").exists()
