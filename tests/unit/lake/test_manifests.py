"""A manifest that a store does not give now is not damaged: nobody is told to go back to an older snapshot."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from gcsfs.retry import HttpError
from pyiceberg.table.snapshots import Snapshot
from tests.unit.lake.shop import DAY1, ITEMS, provenance, rows

from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.lake import manifests
from contrail.lake.lake import Lake


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        (HttpError({"code": 429, "message": "slow down"}), False),
        (aiohttp.ClientPayloadError("not completed"), False),
        (ValueError("no avro"), True),
        (EOFError(), True),
    ],
)
def test_only_what_was_read_and_is_wrong_is_damage(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, damage: bool
) -> None:
    lake = Lake(settings(), "shop")
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    table = lake.table("items")
    snapshot = table.current_snapshot()
    assert snapshot

    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(Snapshot, "manifests", fails)
    with pytest.raises(DamagedError if damage else type(error)):
        manifests.whole(table, snapshot)
