"""Each of the 28 tests looks at real state: without its evidence it has fewer points."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from tests.conftest import Toy
from tests.unit.operations.score_card.conftest import FEATURE_TESTS, evidence_file, state_of

from contrail.adapters import data_versions, mlflow_store
from contrail.operations.kept_checks import BENEFITS, COSTS, LEAKS, REPRODUCED, kept, place_of
from contrail.operations.score_card import data, infrastructure, model, monitoring
from contrail.operations.score_card.card import ScoreCard, score_card
from contrail.operations.score_card.claims import Scored, scored
from contrail.operations.score_card.page import render, text
from contrail.operations.score_card.repository import Repository
from contrail.operations.score_card.state import State

pytestmark = pytest.mark.slow
TESTS = {test.number: test for room in (data, model, infrastructure, monitoring) for test in room.TESTS}
Take = Callable[[Toy, Path, State], object]


def file(name: str) -> Take:
    return lambda toy, root, state: (root / name).unlink()


def line(name: str, words: str) -> Take:
    """Take a line out of a file of the repository."""

    def take(toy: Toy, root: Path, state: State) -> None:
        lines = (root / name).read_text().splitlines(keepends=True)
        (root / name).write_text("".join(one for one in lines if words not in one))

    return take


def tables(*names: str) -> Take:
    def take(toy: Toy, root: Path, state: State) -> None:
        for name in names:
            toy.lake.catalog.drop_table((toy.spec.name, name))

    return take


def record(check: Any) -> Take:
    return lambda toy, root, state: place_of(toy.settings, "toy", check).unlink()


def of_version(**fields: Any) -> Take:
    """What was recorded of the version, without some of it."""

    def take(toy: Toy, root: Path, state: State) -> None:
        state.records = replace(state.records, **fields)

    return take


def trials(toy: Toy, root: Path, state: State) -> None:
    client = mlflow_store.client(toy.settings)
    for run in client.search_runs([client.get_experiment_by_name("toy").experiment_id]):
        client.delete_run(run.info.run_id)


def training_set(toy: Toy, root: Path, state: State) -> None:
    evidence_file(data_versions.folders(toy.settings)[1]).unlink()


def commit(toy: Toy, root: Path, state: State) -> None:
    with (root / "include" / "pipelines" / "toy" / "pipeline.yaml").open("a") as stream:
        stream.write("# not committed\n")


def contracts(toy: Toy, root: Path, state: State) -> None:
    (root / "include" / "pipelines" / "toy" / "expectations.py").write_text("def contracts():\n    return {}\n")


EVIDENCE: dict[str, tuple[Take, ...]] = {
    "1.1": (contracts, tables("validated_parcels")),
    "1.2": (of_version(findings=None), record(BENEFITS)),
    "1.3": (record(COSTS), record(BENEFITS)),
    "1.4": (record(LEAKS), line("Makefile", "toy 2024-01-01")),
    "1.5": (file("tests/integration/test_forget.py"), file("include/pipelines/toy/README.md")),
    "1.6": (file("docs/add-a-pipeline.md"), file("tests/integration/test_evolution.py")),
    "1.7": (file(FEATURE_TESTS), line(".ci/run", "make test")),
    "2.1": (commit, file(".github/CODEOWNERS")),
    "2.2": (tables("performance"), tables("governor")),
    "2.3": (trials,),
    "2.4": (tables("performance"), tables("governor")),
    "2.5": (of_version(decision=None),),
    "2.6": (of_version(findings=None), of_version(decision=None)),
    "2.7": (of_version(findings=None), of_version(decision=None)),
    "3.1": (training_set, record(REPRODUCED), tables("features")),
    "3.2": (line("Makefile", "contrail check --thorough"), file(".ci/run")),
    "3.3": (file("tests/integration/test_chain.py"), tables("performance")),
    "3.4": (of_version(decision=None), of_version(moves=())),
    "3.5": (tables("predictions"), file("tests/unit/operations/test_why.py")),
    "3.6": (of_version(decision=None),),
    "3.7": (file("tests/unit/operations/test_rollback_model.py"),),
    "4.1": (tables("profiles"), file("tests/unit/notify/test_messages.py")),
    "4.2": (tables("validated_parcels"),),
    "4.3": (tables("predictions"), tables("drift"), tables("features")),
    "4.4": (tables("governor"),),
    "4.5": (tables("predictions"), tables("performance"), file("tests/unit/lake/test_audit.py")),
    "4.6": (tables("drift"), line(".ci/run", "make bench")),
    "4.7": (tables("performance"), tables("governor")),
}
_BEFORE: dict[str, float] = {}  # points with all evidence
CASES = [
    pytest.param(number, take, id=f"{number}-{n}") for number, takes in EVIDENCE.items() for n, take in enumerate(takes)
]


def of(number: str, state: State) -> Scored:
    return scored(TESTS[number], state)


def test_there_are_28_tests_in_four_sections_and_each_has_evidence_to_take_away() -> None:
    assert [len(room.TESTS) for room in (data, model, infrastructure, monitoring)] == [7, 7, 7, 7]
    assert [*TESTS] == [f"{section}.{number}" for section in range(1, 5) for number in range(1, 8)] == [*EVIDENCE]


@pytest.mark.parametrize(("number", "take"), CASES)
def test_without_its_evidence_a_test_has_fewer_points(shown: Toy, repository: Path, number: str, take: Take) -> None:
    if number not in _BEFORE:
        _BEFORE[number] = of(number, used(state_of(shown, repository))).points
    state = used(state_of(shown, repository))
    take(shown, repository, state)
    after = of(number, state)
    assert after.points < _BEFORE[number], after.claims
    assert after.raises
    assert after.missing


def used(state: State) -> State:
    """As if each feature had a part in the trees: those of a few parcels leave one out."""
    findings = state.findings
    features = tuple(one.model_copy(update={"gain": 0.25}) for one in findings.features)
    state.records = replace(state.records, findings=findings.model_copy(update={"features": features}))
    return state


def test_with_nothing_but_code_only_what_runs_on_code_has_points(toy: Toy, tmp_path: Path) -> None:
    state = State(toy.lake, toy.pipeline)
    state.repository = Repository(tmp_path)
    points = {number: of(number, state).points for number in TESTS}
    assert {number for number, found in points.items() if found} == {"1.4", "3.2"}
    assert max(points.values()) == 0.5


def test_evidence_older_than_the_champion_or_the_features_gives_half_and_says_why(shown: Toy, repository: Path) -> None:
    state = state_of(shown, repository)
    assert of("1.4", state).points == 1
    path, kept_now = place_of(shown.settings, "toy", LEAKS), kept(shown.settings, "toy", LEAKS)
    assert kept_now is not None
    assert kept_now.made_of is not None
    before = state.made_champion.moved_at - timedelta(seconds=1)
    other = kept_now.made_of.model_copy(update={"code": "0" * 12})
    for changed, says in (
        ({"checked_at": before}, "leaks were looked for before version 1 was champion"),
        ({"made_of": other}, "before the features changed: Contrail's code of the stage changed"),
        ({"passed": False, "says": "weight leaks"}, "weight leaks"),
    ):
        path.write_text(kept_now.model_copy(update=changed).model_dump_json())
        found = of("1.4", state)
        assert (found.points, says in found.missing) == (0.5, True), found


def test_a_damaged_record_is_told_and_gives_nothing(shown: Toy, repository: Path) -> None:
    place_of(shown.settings, "toy", COSTS).write_text("{")
    found = of("1.3", state_of(shown, repository))
    assert found.points == 0
    assert "feature-costs.json" in found.missing


def test_a_number_that_is_none_and_a_feature_that_is_not_used_are_named(shown: Toy, repository: Path) -> None:
    state = state_of(shown, repository)
    row = {**state.performance[-1], "log_loss": math.nan}
    state.performance = [*state.performance[:-1], row]
    assert "no number: log_loss of 2024-03-09" in of("4.5", state).missing
    assert of("1.2", state).missing == "version 1 does not use distance"


def test_the_judged_days_of_a_window_are_read_once(
    shown: Toy, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, asked = state_of(shown, repository), list[Any]()
    read = state.lake.partitions

    def counted(table: str, *window: Any) -> Any:
        asked.append((table, *map(str, window)))
        return read(table, *window)

    monkeypatch.setattr(state.lake, "partitions", counted)
    assert of("4.2", state).points == 1
    windows = (str(state.recent), str(state.records.card.training.partitions))
    assert [asked.count(("validated_parcels", window)) for window in windows] == [1, 1]


def test_the_card_has_the_least_section_and_pages_with_all_evidence(
    shown: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "TESTS", data.TESTS[:4])
    for room in (model, infrastructure, monitoring):
        monkeypatch.setattr(room, "TESTS", room.TESTS[3:5])
    card = score_card(shown.lake, shown.pipeline)
    assert card.score == min(sum(test.points for test in one.tests) for one in card.sections)
    assert (card.version, len(card.sections)) == ("1", 4)
    html, words = render(card), text(card)
    for claim in (claim for section in card.sections for test in section.tests for claim in test.claims):
        assert escape(claim.says) in html
    assert "default-src 'none'" in html
    assert "4.4 Age" in words
    assert ScoreCard.model_validate(card.as_dict()) == card
