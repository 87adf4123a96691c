"""The toy pipeline with all that a notebook may read: a champion that passed its gate, and its predictions."""

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

import contrail
from contrail.config.settings import settings
from contrail.notebook.opened import OpenPipeline


def judged_and_scored(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-03-05")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-02-09", params={"nthread": 1})
    toy.run("promote", "2024-02-11", "2024-02-24")
    toy.run("score", "2024-02-25", "2024-03-02")


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(judged_and_scored)


@pytest.fixture
def parcels(scored: Toy) -> OpenPipeline:
    return contrail.open("toy")
