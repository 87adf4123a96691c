"""Homes that several tests of operations begin with."""

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.operations.explained import explained


@pytest.fixture
def answered(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy pipeline's chain over forty days, with one day whose predictions were corrected."""
    skip_what_only_train_needs(monkeypatch)
    return prepared(explained)
