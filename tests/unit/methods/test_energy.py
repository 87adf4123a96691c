import pytest

from contrail.config.energy import EnergySettings
from contrail.methods.energy import TrainingCost


def test_energy_is_seconds_times_watts_and_carbon_that_times_the_grid():
    factors = EnergySettings(core_watts=10, gpu_watts=300, overhead=1.2, grams_per_kwh=500)
    cost = TrainingCost(seconds=100, core_seconds=1800, gpu_seconds=60, workers=1, factors=factors)
    assert cost.kwh == pytest.approx((1800 * 10 + 60 * 300) * 1.2 / 3.6e6)
    assert cost.grams == pytest.approx(cost.kwh * 500)
    assert TrainingCost.model_validate_json(cost.model_dump_json()) == cost
