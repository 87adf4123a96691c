"""What would flip a decision: the smallest changes, and an honest answer where there is none."""

from datetime import date

import pytest
from tests.conftest import Toy
from tests.unit.lake.test_views import with_personal
from tests.unit.operations.explained import DAY

from contrail.config.pipeline import Pipeline
from contrail.errors import SpecError
from contrail.operations.one_prediction import find, one_prediction
from contrail.operations.what_if import flips_of, parse_changes

ON = date.fromisoformat(DAY)


def test_each_flip_flips_when_a_person_makes_it(answered: Toy) -> None:
    rows = find(answered.lake, answered.pipeline, ON, "")
    flagged, tried = [one for one in rows if one.decision][:3], 0
    assert flagged
    for one in [*flagged, rows[-1]]:
        found = flips_of(answered.lake, answered.pipeline, ON, one.key)
        assert found.flagged == one.decision
        for change in (*found.single, *found.double):
            again = one_prediction(answered.lake, answered.pipeline, ON, one.key, change.changes)
            assert again.changed is not None
            assert again.changed.score == change.score
            assert (change.score >= answered.spec.score.threshold) != one.decision
            assert not change.changes.keys() & {*answered.spec.key}
            tried += 1
        assert [change.size for change in found.single] == sorted(change.size for change in found.single)
        assert all(len(change.changes) == 1 for change in found.single)
        alone = {name for change in found.single for name in change.changes}
        assert all(len(change.changes) == 2 and not change.changes.keys() & alone for change in found.double)
    assert tried


def test_values_are_those_of_the_training_window(answered: Toy) -> None:
    trained = answered.lake.scan("features").to_pandas()
    trained = trained[trained["partition_date"].astype(str) <= "2024-01-31"]
    for one in find(answered.lake, answered.pipeline, ON, "")[:8]:
        found = flips_of(answered.lake, answered.pipeline, ON, one.key)
        for change in (*found.single, *found.double):
            for name, value in change.changes.items():
                assert (trained[name] == value).any(), (name, value)


def test_where_nothing_flips_it_is_said(answered: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = answered.spec.model_copy(update={"score": answered.spec.score.model_copy(update={"threshold": 1e-9})})
    found = flips_of(answered.lake, Pipeline(answered.pipeline.folder, spec), ON, {"parcel": 1})
    assert (found.single, found.double, found.flagged) == ((), (), True)
    assert found.tried.startswith("Nothing flips it. Each of 4 features was tried alone")


def test_personal_features_stay(answered: Toy) -> None:
    spec = with_personal(answered.spec, "parcels", "weight")
    for one in find(answered.lake, answered.pipeline, ON, "")[:5]:
        found = flips_of(answered.lake, Pipeline(answered.pipeline.folder, spec), ON, one.key)
        assert not any("weight" in change.changes for change in (*found.single, *found.double))


@pytest.mark.parametrize(("given", "found"), [
    (["weight=9.5", "depot=B"], {"weight": 9.5, "depot": "B"}),
    (["weight=", "depot=null", "distance=unknown"], {"weight": None, "depot": None, "distance": None}),
    (["depot=5", "weight=heavy", "nothing=3"], {"depot": "5", "weight": "heavy", "nothing": "3"}),
])  # fmt: skip
def test_changes_are_read_as_their_features_are(answered: Toy, given: list[str], found: dict[str, object]) -> None:
    assert parse_changes(answered.spec, given) == found


@pytest.mark.parametrize(("given", "words"), [
    ("weight", "write feature=value"), ("=3", "write feature=value"), ("weight=nan", "weight cannot be nan"),
    ("weight=1e999", "weight cannot be inf"), ("weight=heavy", "weight cannot be 'heavy'"), ("wieght=1", "did you mean 'weight'"),
    ("depot=Z", "does not know depot='Z'"),
])  # fmt: skip
def test_a_change_that_cannot_be_is_told(answered: Toy, given: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        one_prediction(answered.lake, answered.pipeline, ON, {"parcel": 1}, parse_changes(answered.spec, [given]))
    assert words in str(error.value)
