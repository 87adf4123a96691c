import numpy as np
import pytest

from contrail.config.tune_spec import DEFAULT_SEARCH, Searched
from contrail.methods.search import Search, Tried, with_params

SPACE = {
    "eta": Searched(low=0.01, high=0.3, log=True),
    "max_depth": Searched(low=2, high=8),
    "max_bin": Searched(choices=(64, 128, 256)),
}
TODAY = Tried({"max_depth": 4}, 0.7)


def loss(params) -> float:
    """Only the depth matters, and 7 is best."""
    return 0.5 + 0.01 * abs(params["max_depth"] - 7)


def searched(trials: int, seed: int = 0, metric: str = "log_loss", sign: int = 1) -> list[Tried]:
    search, found = Search(SPACE, metric, 5, seed), [TODAY]
    while len(found) < trials:
        (params,) = search.ask(found, 1)
        found.append(Tried(params, sign * loss(params)))
    return found


@pytest.fixture(scope="module")
def found():
    return searched(30)


def test_values_lie_in_the_space_and_whole_ends_give_whole_values(found):
    for one in found[1:]:
        assert 0.01 <= one.params["eta"] <= 0.3
        assert one.params["max_depth"] in range(2, 9)
        assert isinstance(one.params["max_depth"], int)
        assert one.params["max_bin"] in (64, 128, 256)


def test_the_same_trials_before_give_the_same_next_one_in_another_process_too(found):
    search = Search(SPACE, "log_loss", 5, 0)
    for at in (1, 4, 12):
        assert search.ask(found[:at], 1) == [found[at].params]
    assert Search(SPACE, "log_loss", 5, 1).ask(found[:4], 1) != [found[4].params]


def test_the_search_learns_from_what_it_has_seen(found):
    assert sum(one.params["max_depth"] >= 6 for one in found[20:]) >= 8
    larger = searched(30, metric="auc", sign=-1)  # 7 has the largest value then
    assert sum(one.params["max_depth"] >= 6 for one in larger[20:]) >= 8


def test_the_parameter_that_matters_is_the_most_important_one(found):
    rng = np.random.default_rng(0)
    places = [{"eta": rng.uniform(0.01, 0.3), "max_depth": int(rng.integers(2, 9)), "max_bin": 64} for _ in range(30)]
    shares = Search(SPACE, "log_loss", 5, 0).importance([Tried(one, loss(one)) for one in places])
    assert max(shares, key=shares.__getitem__) == "max_depth"
    assert sum(shares.values()) == pytest.approx(1)
    assert Search(SPACE, "log_loss", 5, 0).importance(found[:4]) == {}


def test_todays_parameters_lie_at_the_nearest_place_of_the_space():
    search = Search(SPACE, "log_loss", 5, 0)
    assert search.place_of({"learning_rate": 0.5, "max_depth": 1}) == {"eta": 0.3, "max_depth": 2, "max_bin": 256}
    assert search.place_of({"max_bin": 100, "eta": 0.05}) == {"eta": 0.05, "max_depth": 6, "max_bin": 128}
    assert set(Search(DEFAULT_SEARCH, "rmse", 5, 0).place_of({})) == set(DEFAULT_SEARCH)


def test_a_trial_replaces_a_parameter_also_under_its_other_name():
    own = {"reg_lambda": 3, "max_depth": 4}
    assert with_params(own, {"lambda": 5}) == {"max_depth": 4, "lambda": 5}
    assert with_params(own, {}) == own
