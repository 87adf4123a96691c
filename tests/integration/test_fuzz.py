"""Some examples of each target of ``make fuzz``, the same in each run; and that a fault is seen."""

from collections.abc import Iterator

import pytest
from tests.fuzz.rounds import NAMES, Rounds, ground, tried
from tests.fuzz.target import Target

from contrail.adapters import landed_csv
from contrail.lake import sql

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    with ground(tmp_path_factory.mktemp("fuzz")) as found:
        yield found


def faults(target: Target, count: int, number: int = 7) -> dict[str, str]:
    found = Rounds(target.name)
    tried(target, number, count, found)
    assert found.examples
    return found.faults


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_taken_or_refused_in_words(targets: dict[str, Target], name: str) -> None:
    assert faults(targets[name], targets[name].short) == {}


def test_a_reader_that_stops_is_seen(targets: dict[str, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landed_csv, "_ragged", lambda *_: IndexError("no such field"))
    (trace,) = faults(targets["read csv"], 60).values()
    assert "no such field" in trace


def test_a_question_that_reads_files_is_seen(targets: dict[str, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_confine", lambda *_: None)
    monkeypatch.setattr(sql, "refuse_other_sources", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="shows a file"):
        targets["query"].tried("SELECT * FROM read_text('{home}/secret.txt')")
