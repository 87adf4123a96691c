"""What a job left: its exit status, its result as JSON, and the end of its log."""

import json
from pathlib import Path

from contrail.dispatch.outcome import Outcome, read_outcome, read_tail


def test_the_result_of_a_job_stays_json(tmp_path: Path) -> None:
    for result, text in (({"rows": 3, "details": {}}, '{"rows": 3, "details": {}}'), (None, "null")):
        (tmp_path / "result.json").write_text(json.dumps({"code": 0, "result": result, "said": ["done"]}))
        assert read_outcome(f"file://{tmp_path}") == Outcome(0, text, ("done",))


def test_what_a_job_left(tmp_path: Path) -> None:
    assert read_outcome(f"file://{tmp_path}") is None
    assert read_tail(f"file://{tmp_path}", 5) == []
    (tmp_path / "log.txt").write_text("a\nb\nc\n")
    assert read_tail(f"file://{tmp_path}", 2) == ["b", "c"]
