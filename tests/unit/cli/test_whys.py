"""The commands that answer why a row has its score, and what would change it."""

import json
from pathlib import Path

import pytest
from tests.commands import contrail
from tests.conftest import Prepare, Toy
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.operations.explained import CORRECTED, DAY, explained

from contrail.operations.one_prediction import one_prediction
from contrail.operations.why import why
from contrail.partitions import Partitions


@pytest.fixture
def answered(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(explained)


def test_why_names_scores_verdict_files_lines_and_runs(
    answered: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, f"contrail why {CORRECTED} -p toy --on {DAY}") == 0
    said = capsys.readouterr().out
    found = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, Partitions.parse(DAY).start)
    assert "the same score and the same reasons, to the last bit" in said
    assert f"parcels/{DAY}.2.csv.gz, line {CORRECTED + 2}" in said
    assert f"parcels of {DAY}" in said
    for one in found.published:
        assert f"{one.prediction:.4g}" in said
        assert one.scoring_run in said
    assert f"contract {found.sources[0].checked[0].contract}" in said


def test_json_is_what_the_function_returns_and_the_page_is_written(
    answered: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = f"contrail why ship_date={DAY},parcel=1 -p toy --json --html {tmp_path / 'why.html'}"
    assert contrail(monkeypatch, line) == 0
    found = why(answered.lake, answered.pipeline, {"parcel": 1}, Partitions.parse(DAY).start)
    assert json.loads(capsys.readouterr().out) == found.as_dict()
    assert "Source rows" in (tmp_path / "why.html").read_text()
    assert contrail(monkeypatch, f"contrail why 1 -p toy --on {DAY} --html {tmp_path}/no/such.html") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_sample_is_computed_again(
    answered: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, "contrail why -p toy --sample 20") == 0
    assert "20 random rows" in (said := capsys.readouterr().out)
    assert "20 computed again to the same score and reasons" in said
    for more in ("7", "--personal", "--as-of 2024-02-12", "--html x.html"):
        assert contrail(monkeypatch, f"contrail why {more} -p toy --sample 20") == 2
    assert contrail(monkeypatch, "contrail why -p toy") == 2
    assert "there is no key. Write <parcel> or <ship_date>,<parcel>" in capsys.readouterr().err


@pytest.mark.parametrize(("rest", "code", "words"), [
    ("x", 2, "parcel of the key: 'x' is not a whole number"),
    ("999", 3, "no prediction of any day with parcel=999"),
    ("7 --on 2024-03-09", 3, "has no predictions of 2024-03-09; it has 2024-02-01..2024-02-10"),
    ("7 --on yesterday", 2, "not a date"),
    ("7 --as-of then", 2, "write a time as"),
    ("7 --as-of 2020-01-01", 3, "had no predictions at 2020-01-01 00:00:00 UTC; the first were published at"),
    (f"ship_date={DAY} --on {DAY}", 2, "Name also parcel"),
])  # fmt: skip
def test_what_cannot_be_answered_is_told(
    answered: Toy, rest: str, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("why", "what-if"):
        assert contrail(monkeypatch, f"contrail {command} {rest} -p toy") == code
        assert words in capsys.readouterr().err


def test_what_if_says_the_score_of_the_function(
    answered: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, f"contrail what-if 1 weight=30 depot= -p toy --on {DAY} --json") == 0
    found = json.loads(capsys.readouterr().out)
    changes = {"weight": 30.0, "depot": None}
    own = one_prediction(answered.lake, answered.pipeline, Partitions.parse(DAY).start, {"parcel": 1}, changes)
    flips = found.pop("flips")
    assert found == own.as_dict()
    assert flips["tried"]
    assert contrail(monkeypatch, f"contrail what-if 1 weight=30 -p toy --on {DAY}") == 0
    said = capsys.readouterr().out
    assert "With your changes" in said
    assert "was tried alone" in said
    assert contrail(monkeypatch, f"contrail what-if 1 wieght=30 -p toy --on {DAY}") == 2
    assert "did you mean 'weight'" in capsys.readouterr().err
