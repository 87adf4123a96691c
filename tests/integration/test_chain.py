"""The whole chain on the toy pipeline, stage by stage, without Airflow: what each leaves, and leaves again."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.conftest import Toy, toy_in

from contrail.lake.records import all_datasets
from contrail.operations.summary import print_summary, summarise

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chain")]

FIRST, TRAINED, LAST = "2024-01-01", "2024-02-09", "2024-03-10"
GATE = ("2024-02-11", "2024-02-24")
STRETCH = ("2024-02-25", LAST)
PREDICTIONS = (
    "SELECT * EXCLUDE (scoring_run, scored_at, feature_snapshot) FROM predictions ORDER BY partition_date, parcel"
)


def run_chain(toy: Toy) -> dict[str, Any]:
    results = {verb: toy.run(verb, FIRST, LAST) for verb in ("ingest", "validate", "features")}
    results["train"] = toy.run("train", FIRST, TRAINED)
    results["promote"] = toy.run("promote", *GATE)
    return results | {verb: toy.run(verb, *STRETCH) for verb in ("score", "drift", "performance")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A toy home in which the chain has run once, with each stage's result."""
    with toy_in(tmp_path_factory.mktemp("chain")) as (toy, _):
        toy.land(FIRST, LAST)
        yield toy, run_chain(toy)


def test_every_row_arrives(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, results = done
    assert results["ingest"].rows == results["validate"].rows == 70 * 60 * 2 + 3
    assert results["features"].rows == 70 * 60
    assert results["score"].rows == 15 * 60
    assert toy.sql("SELECT count(*), min(probability) > 0, max(probability) < 1 FROM predictions") == [
        (900, True, True)
    ]
    assert toy.sql("SELECT count(DISTINCT partition_date) FROM predictions_latest") == [(1,)]


def test_every_prediction_has_its_reasons_and_receipt(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, results = done
    bad = "reason_1 IS NULL OR reason_1_contribution IS NULL OR model_version <> '1' OR scoring_run IS NULL"
    assert toy.sql(f"SELECT count(*) FROM predictions WHERE {bad}") == [(0,)]
    snapshots = toy.sql("SELECT DISTINCT feature_snapshot FROM predictions")
    assert snapshots == [(results["features"].snapshots["features"],)]


def test_a_snapshot_names_what_it_was_made_from(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, results = done
    made = toy.lake.history("predictions")[0].provenance
    assert made.inputs == {"features": results["features"].snapshots["features"]}
    assert made.extra["model_version"] == "1"
    read = toy.lake.history("features")[0].provenance.inputs
    assert read["validated_parcels"] == results["validate"].snapshots["validated_parcels"]


def test_a_table_is_published_by_the_commands_that_its_documentation_names(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, _ = done
    known = all_datasets(toy.spec)
    stages = {name: {entry.provenance.stage for entry in toy.lake.history(name)} for name in toy.lake.table_names()}
    assert {"raw_parcels", "drift_profiles", "model_history", "performance"} <= stages.keys()
    assert not {name: found for name, found in stages.items() if not found <= {*known[name].published_by}}


def test_features_know_only_the_past(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, _ = done
    wrong = toy.sql("""
        WITH known AS (
            SELECT p.depot, d.visible_from, (d.delay > 15)::DOUBLE AS late
            FROM validated_deliveries d JOIN validated_parcels p USING (ship_date, parcel)),
        expected AS (
            SELECT f.partition_date, f.parcel, avg(k.late) AS rate
            FROM features f JOIN known k ON k.depot = f.depot
              AND k.visible_from <= f.partition_date AND k.visible_from > f.partition_date - 7
            GROUP BY ALL)
        SELECT count(*) FROM features f LEFT JOIN expected e USING (partition_date, parcel)
        WHERE abs(coalesce(f.late_rate_7d, -1) - coalesce(e.rate, -1)) > 1e-12""")
    assert wrong == [(0,)]


def test_performance_waits_for_labels(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, results = done
    assert results["performance"].details.immature == (LAST,)
    assert toy.sql("SELECT count(*), min(label_coverage) FROM performance") == [(14, 1.0)]


def test_the_summary_tells_it(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, _ = done
    found = summarise(toy.pipeline, toy.lake)
    assert found.as_dict()["scored"] == {"rows": 900, "partitions": ["2024-02-25..2024-03-10"]}
    assert found.champion.version == "1"
    assert (found.realised.window, found.realised.immature) == ("2024-02-25..2024-03-09", (LAST,))
    assert found.realised.rows == 14 * 60
    interval = found.as_dict()["realised"]["intervals"]["champion"]["log_loss"]
    assert interval["low"] < found.realised.metrics["champion"]["log_loss"] < interval["high"]
    assert [month.start.month for month in found.realised.months] == [2, 3]
    assert found.realised.metrics["champion"]["log_loss"] < found.realised.metrics["constant"]["log_loss"]
    printed = io.StringIO()
    print_summary(found, Console(file=printed, width=120))
    assert "toy version 1" in printed.getvalue()
    assert "rate table" in printed.getvalue()
    assert "2024-03-10: not all outcomes are known yet" in printed.getvalue()
    assert "Worst month" in printed.getvalue()


def test_again_is_the_same(done: tuple[Toy, dict[str, Any]]) -> None:
    toy, first = done
    before = toy.sql(PREDICTIONS)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)
    toy.run("score", *STRETCH)
    assert toy.sql(PREDICTIONS) == before
    # A day alone gives what the range gave.
    toy.run("features", "2024-03-01")
    toy.run("score", "2024-03-01")
    assert toy.sql(PREDICTIONS) == before
    assert (
        first["train"].details.model_sha256 == toy.run("train", FIRST, TRAINED, registered=False).details.model_sha256
    )


def test_reports_are_there(done: tuple[Toy, dict[str, Any]]) -> None:
    _, results = done
    for verb in ("validate", "promote", "drift"):
        for report in results[verb].reports:
            assert Path(report).stat().st_size > 1000, report
