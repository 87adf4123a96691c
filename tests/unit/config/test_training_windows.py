"""Training and gate windows never overlap and never reach past what is known."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from contrail.config.spec import load_spec
from contrail.config.training_windows import as_of_training, training_windows
from contrail.errors import SpecError
from contrail.partitions import Partitions

SPEC = load_spec(Path(__file__).resolve().parents[2] / "pipelines" / "toy" / "pipeline.yaml")


def test_training_then_embargo_then_gate_then_as_of() -> None:
    found = training_windows(SPEC, date(2024, 3, 1))
    assert found.gate == Partitions(date(2024, 2, 16), date(2024, 2, 29))
    assert found.train.end + timedelta(days=1 + SPEC.train.embargo_days) == found.gate.start
    assert len(found.train) == SPEC.train.window_days


def test_training_starts_no_earlier_than_the_data() -> None:
    assert training_windows(SPEC, date(2024, 2, 10)).train.start == SPEC.first_partition


def test_too_few_days_are_refused() -> None:
    with pytest.raises(SpecError, match="too few days to train on"):
        training_windows(SPEC, date(2024, 1, 20))


def test_the_day_of_a_training_is_found_from_its_window() -> None:
    assert as_of_training(SPEC, training_windows(SPEC, date(2024, 3, 1)).train.end) == date(2024, 3, 1)
