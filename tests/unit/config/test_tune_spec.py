"""What is searched is checked when the spec is read: each wrong value has its key, its line and the rule."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.test_spec import write  # noqa: F401 - a fixture

from contrail.config.spec import load_spec
from contrail.config.tune_spec import DEFAULT_SEARCH, Searched, TuneSpec
from contrail.errors import SpecError
from contrail.methods.fit import booster_params, override


@pytest.mark.parametrize(
    ("name", "searched", "said"),
    [
        ("eta", {"low": 0.3, "high": 0.1}, "the range is empty: low is 0.3 and high is 0.1"),
        ("eta", {"low": 0.3, "high": 0.3}, "the range is empty"),
        ("eta", {"low": 0.3}, "a range needs low and high"),
        ("eta", {}, "a range needs low and high"),
        ("alpha", {"low": 0, "high": 1, "log": True}, "low must be more than 0"),
        ("max_bin", {"choices": [64]}, "there is nothing to choose from"),
        ("max_bin", {"choices": [64, 128], "low": 1}, "choices need no low"),
        ("rounds", {"low": 1, "high": 9}, "this is no parameter of the trees"),
        ("learning_rate", {"low": 0.1, "high": 0.3}, "XGBoost calls this eta too; name it eta"),
        ("eta", {"from": 0.1, "high": 0.3}, "unknown key"),
        ("eta", {"low": ".inf", "high": 0.3}, "low"),
        ("eta", {"low": 0.1, "high": 50}, "with eta 50 trees may diverge; it is 1 at most"),
        ("eta", {"choices": [0.1, 5]}, "with eta 5 trees may diverge"),
    ],
)
def test_a_wrong_range_is_refused_with_its_key_and_the_rule(
    write: Any,  # noqa: F811
    name: str,
    searched: dict[str, Any],
    said: str,
) -> None:
    path: Path = write(f"tune.search.{name}", searched)
    with pytest.raises(SpecError, match=rf"line \d+: tune\.search\.{name}.*{said}"):
        load_spec(path)


def test_whole_ends_make_whole_values() -> None:
    assert Searched(low=2, high=8).whole
    assert not Searched(low=2.0, high=8.0).whole
    assert not Searched(low=2, high=8.5).whole


def test_the_values_that_are_tried_by_default_are_ones_that_xgboost_takes() -> None:
    assert TuneSpec().space == DEFAULT_SEARCH
    assert TuneSpec(search={"eta": Searched(low=0.1, high=0.2)}).space.keys() == {"eta"}
    from contrail.config.model_spec import TrainSpec

    for end in ("low", "high"):
        values = {n: one.choices[0] if one.choices else getattr(one, end) for n, one in DEFAULT_SEARCH.items()}
        booster_params("binary", override(TrainSpec(), values))
    assert not [said for one in DEFAULT_SEARCH.values() for said in one.problems()]
