"""How long the jobs of a backfill will take, from the runs before them."""

from contrail.lake.lineage import Commit, Lineage
from contrail.lake.provenance import Provenance
from contrail.operations.backfill_estimate import estimate


def history(*runs: tuple[str, int, float]) -> Lineage:
    commits = [
        Commit(i, None, rows, Provenance(run, "score", "", "", "", extra={"seconds": str(seconds)}))
        for i, (run, rows, seconds) in enumerate(runs)
    ]
    return Lineage(tuple(reversed(commits)))


def test_the_time_comes_from_the_run_that_is_nearest_in_rows():
    known = history(("day", 900, 2.0), ("year", 300_000, 20.0))
    assert estimate(known, "score", [900]).seconds == 2.0
    assert estimate(known, "score", [600_000]).seconds == 40.0
    assert estimate(known, "score", [100_000, 100_000]).seconds == 40.0, "smaller jobs take at most as long"
    assert estimate(known, "score", [900, 250_000]).basis == (
        "run day: 900 rows in 2.0 s; run year: 300,000 rows in 20.0 s"
    )


def test_the_newest_of_equal_runs_counts_and_other_stages_do_not():
    assert estimate(history(("old", 900, 9.0), ("new", 900, 2.0)), "score", [900]).seconds == 2.0
    assert estimate(history(("day", 900, 2.0)), "features", [900]).seconds is None
