"""What `contrail check-leaks` prints, and how it ends."""

import json
from typing import Any

import pytest
from pyspark.sql import functions as F
from tests.conftest import Prepare, Toy
from tests.unit.cli.test_cli import run
from tests.unit.operations.leaks.conftest import validated

from contrail.operations import kept_checks
from contrail.operations.leaks.findings import CHECKS

ASKED = ("check-leaks", "-p", "toy", "--from", "2024-01-16", "--to", "2024-01-20", "--cutoffs", "1")


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(validated)


def test_without_a_leak_it_says_so_and_ends_well(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {name: filled.lake.snapshot_id(name) for name in filled.lake.table_names()}
    code, out, err = run(monkeypatch, capsys, *ASKED)
    assert code == 0
    assert "✓ toy: no leak found in 300 rows of 2024-01-16..2024-01-20" in out
    assert all(name in out for name in CHECKS)
    assert "without what was not known at its cut-off" in err, "progress"
    assert {name: filled.lake.snapshot_id(name) for name in filled.lake.table_names()} == before


def test_a_leak_is_named_with_rows_and_ends_with_the_code_of_bad_data(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = filled.pipeline.module("features")
    build = module.build

    def leaky(tables: Any, window: Any) -> Any:
        late = tables["deliveries"].select("ship_date", "parcel", F.col("delay").alias("weight"))
        return build(tables, window).drop("weight").join(late, on=["ship_date", "parcel"], how="left")

    monkeypatch.setattr(module, "build", leaky)
    code, out, _ = run(monkeypatch, capsys, *ASKED)
    assert code == 3
    assert "✗ leak weight moves when rows that were not known at the cut-off are taken away" in out
    assert ", must be None" in out
    assert "✗ toy: 1 thing leaks, in 300 rows" in out
    code, out, _ = run(monkeypatch, capsys, *ASKED, "--json")
    found = json.loads(out)
    assert code == 3
    assert {one["subject"] for one in found["findings"] if one["level"] == "leak"} == {"weight"}
    assert found["findings"][0]["examples"][0]["other"] is None
    kept = kept_checks.kept(filled.settings, "toy", kept_checks.LEAKS)
    assert kept is not None
    days = f"300 rows of 2024-01-16..2024-01-20, cut off on {found['cutoffs'][0]}"
    assert not kept.passed
    assert kept.says == f"weight leaks in {days}; not checked: alone, model, encoding"


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("--to", "2024-01-20"), 2, "--to needs --from"),
        (("--from", "2024-01-20", "--to", "2024-01-20"), 2, "one day: a leak shows in days that have later ones"),
        (("--from", "2024-06-01"), 3, "no validated days with outcomes from 2024-06-01 on"),
        (("--from", "2024-06-01", "--to", "2024-06-03"), 3, "validated_parcels has no rows for 3 of 3 partitions"),
    ],
)
def test_days_that_cannot_be_checked_are_refused(
    filled: Toy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    ended, _, err = run(monkeypatch, capsys, "check-leaks", "-p", "toy", *asked)
    assert (ended, said in err) == (code, True), err
