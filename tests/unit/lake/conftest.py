from pathlib import Path

import pytest

from contrail.config.settings import settings
from contrail.lake.lake import Lake


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(settings(), "shop")
