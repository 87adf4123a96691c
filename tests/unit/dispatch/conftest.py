from pathlib import Path

import pytest
from tests.unit.dispatch.priced import PRICES, made

from contrail.config.settings import Settings


@pytest.fixture
def current(toy_home: Path, tmp_path: Path) -> Settings:
    """Trainings of ``toy`` cost 6 an hour; a month may cost 10."""
    (tmp_path / "prices.yaml").write_text(PRICES)
    return made(tmp_path, monthly_budget=10)
