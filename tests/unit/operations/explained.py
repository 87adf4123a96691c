"""A home whose predictions can be asked why: landed files, and all that was made of them by the stages themselves."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from tests.conftest import Toy
from tests.landed import lines_of as landed
from tests.landed import set_field, write_lines
from tests.toy_tables import copy_empty_registry

from contrail.config.settings import settings
from contrail.lake import records
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

FIRST, LAST, DAY = "2024-01-01", "2024-02-10", "2024-02-06"
CORRECTED = 7  # the parcel whose weight a second file of DAY corrects


def explained(toy: Toy) -> None:
    """The chain of forty days; the predictions of one of them were corrected after they were published."""
    copy_empty_registry(settings())
    toy.land(FIRST, LAST)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)
    toy.run("train", FIRST, "2024-01-31", params={"nthread": 1})
    toy.run("score", "2024-02-01", LAST, model="1")
    heavier(toy)


def heavier(toy: Toy) -> None:
    """A file of the day comes again with one parcel heavier, and the day is scored again, as late data are."""
    lines = landed(toy, "parcels", DAY)
    set_field(toy, "parcels", DAY, CORRECTED + 2, "weight", "19.5")
    mended = landed(toy, "parcels", DAY)
    write_lines(toy, "parcels", DAY, lines)
    write_lines(toy, "parcels", DAY, mended, revision=2)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, DAY)
    toy.run("score", DAY, model="1", backfill="late-score-1")
    _record(toy, "late-score-1", f"parcels of {DAY}")


def _record(toy: Toy, backfill: str, cause: str) -> None:
    day = Partitions.parse(DAY)
    row: dict[str, Any] = {
        "partition_date": day.start, "published": "predictions", "corrected_at": datetime.now(UTC), "cause": cause,
        "rows_changed": 1, "rows": 60, "largest_shift": 0.1, "decisions_flipped": 1, "backfill": backfill, "run_id": "r",
    }  # fmt: skip
    dataset = records.corrections(toy.spec)
    rows = pa.Table.from_pylist([row], schema=dataset.arrow_schema())
    toy.lake.publish(dataset, rows, day, Provenance("r", "late", "", "", ""), {"backfill": backfill})
