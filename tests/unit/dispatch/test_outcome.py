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
    for part, text in (("driver.000000000", "a\nb\n"), ("driver.000000001", "c\nd\n")):
        (tmp_path / part).write_text(text)
    assert read_tail(f"file://{tmp_path}/driver", 1) == ["d"]
    assert read_tail("", 5) == []
    assert read_tail(f"file://{tmp_path}/none", 5) == []
