"""What late data did, on the axis of the partitions. The page's and the board's tests have promotions and refusals."""

from datetime import UTC, date, datetime

import pyarrow as pa
from tests.conftest import Toy

from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.provenance import Provenance
from contrail.operations.late_work import Work
from contrail.operations.prediction_marks import marks_of
from contrail.partitions import Partitions

AT = datetime(2024, 3, 11, 8, tzinfo=UTC)
CAUSE = "deliveries 2024-02-28..2024-02-29, parcels 2024-02-29"


def correct(toy: Toy, *days: tuple[str, str, int], run: str = "r1", cause: str = CAUSE) -> None:
    """Record that days of tables were corrected, as ``late`` does."""
    dataset = records.corrections(toy.spec)
    for table in ("features", "predictions"):
        rows = [
            {
                PARTITION: date.fromisoformat(day), "published": table, "corrected_at": AT, "cause": cause,
                "rows_changed": rows, "rows": 60, "largest_shift": None, "decisions_flipped": 0,
                "backfill": f"{table}-{run}", "run_id": run,
            }
            for published, day, rows in days if published == table
        ]  # fmt: skip
        if rows:
            made = Provenance(run_id=run, stage="late", pipeline_hash="", code_revision="", lock_hash="")
            scope = {"backfill": f"{table}-{run}"}
            found = pa.Table.from_pylist(rows, schema=dataset.arrow_schema())
            toy.lake.publish(dataset, found, [row[PARTITION] for row in rows], made, scope)


def marks(toy: Toy, first: str, last: str) -> list[tuple[str, str, str, int | None]]:
    found = marks_of(toy.lake, Partitions.parse(first, last))
    return [(one.kind, str(one.day), one.text, one.rows) for one in found]


def test_late_files_count_at_their_own_day_and_corrections_at_the_days_that_they_reached(toy: Toy) -> None:
    assert marks(toy, "2024-02-01", "2024-03-10") == []
    correct(
        toy, ("features", "2024-03-01", 60), ("predictions", "2024-03-01", 23), ("features", "2024-03-02", 60)
    )  # fmt: skip
    found = marks(toy, "2024-02-01", "2024-03-10")
    assert [one for one in found if one[0] == "late"] == [
        ("late", "2024-02-28", "late: deliveries", None),
        ("late", "2024-02-29", "late: deliveries", None),
        ("late", "2024-02-29", "late: parcels", None),
    ]
    assert [one for one in found if one[0] == "correction"] == [
        ("correction", "2024-03-01", f"predictions corrected, because {CAUSE} came late", 23),
        ("correction", "2024-03-02", f"features corrected, because {CAUSE} came late", 60),
    ]


def test_mended_rows_did_not_come_late(toy: Toy) -> None:
    work = Work(
        id="r1", touched={"parcels": ["2024-02-28"], "deliveries": ["2024-02-28", "2024-02-29"]},
        features=None, scores=None, mended="replay 2024-03-05",
    )  # fmt: skip
    correct(toy, ("predictions", "2024-03-01", 23), cause=work.cause)
    assert work.cause == "parcels 2024-02-28, deliveries 2024-02-28..2024-02-29, mended by replay replay 2024-03-05"
    told = "rows of parcels 2024-02-28, deliveries 2024-02-28..2024-02-29 were mended by replay replay 2024-03-05"
    assert marks(toy, "2024-02-01", "2024-03-10") == [
        ("mended", "2024-02-28", "mended: parcels", None),
        ("mended", "2024-02-28", "mended: deliveries", None),
        ("mended", "2024-02-29", "mended: deliveries", None),
        ("correction", "2024-03-01", f"predictions corrected, because {told}", 23),
    ]


def test_a_window_before_the_corrected_days_still_has_its_late_files(toy: Toy) -> None:
    correct(toy, ("predictions", "2024-03-05", 3))
    assert {one[0] for one in marks(toy, "2024-02-20", "2024-02-29")} == {"late"}
    assert {one[0] for one in marks(toy, "2024-03-01", "2024-03-05")} == {"correction"}
    assert marks(toy, "2024-03-06", "2024-03-10") == []


def test_a_day_that_two_runs_corrected_has_two_marks(toy: Toy) -> None:
    correct(toy, ("predictions", "2024-03-05", 3))
    correct(toy, ("predictions", "2024-03-05", 4), run="r2", cause="parcels 2024-03-04")
    corrected = [one for one in marks(toy, "2024-03-01", "2024-03-10") if one[0] == "correction"]
    assert sorted(one[3] or 0 for one in corrected) == [3, 4]
