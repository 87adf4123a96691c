"""The realised quality: the metrics of all rows at once, from sums over a stream of them."""

import numpy as np
import pyarrow.compute as pc
import pytest
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.lake import readers
from contrail.lake.labels import read_training_rows
from contrail.methods import calibration, metrics
from contrail.methods.intervals import day_intervals
from contrail.operations import realised as module
from contrail.operations.realised import realised
from contrail.partitions import Partitions

SCORED = Partitions.parse("2024-02-04", "2024-02-14")


def scored_by_two(toy) -> None:
    """Predictions of version 1, but on one day those of version 2. Labels are known up to the 13th."""
    publish_toy(toy, "2024-01-01", "2024-02-14")
    copy_empty_registry(settings())
    for depth in (4, 2):
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1, "max_depth": depth})
    toy.run("score", str(SCORED.start), str(SCORED.end), model="1")
    toy.run("score", "2024-02-06", model="2")


@pytest.fixture
def scored(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(scored_by_two)


def test_the_metrics_are_those_of_all_rows_at_once(scored, monkeypatch):
    champion, by = registry.resolve(settings(), "toy", "1"), ["partition_date", *scored.spec.key]
    predicted = scored.lake.scan("predictions", SCORED)
    predicted = predicted.filter(pc.equal(predicted["model_version"], "1")).select([*by, "probability"])
    rows = read_training_rows(scored.lake, scored.spec, SCORED).join(predicted, by, join_type="inner")
    label, days = rows["label"].to_numpy(), rows["partition_date"].to_numpy()
    candidates = {
        "champion": rows["probability"].to_numpy(),
        "rate table": champion.package.card.rate_table.predict(rows),
        "constant": np.full(len(label), champion.package.card.label_mean),
    }

    def refused(_, name, *__, **___):
        raise AssertionError(f"all rows of {name} at once")

    monkeypatch.setattr(readers, "scan", refused)
    monkeypatch.setattr(module, "_ROWS", 50)
    found = realised(scored.pipeline, scored.lake, champion)
    assert found is not None
    assert (found.rows, found.window) == (len(label), f"{days.min()}..{days.max()}")
    assert found.window.startswith("2024-02-04") and len({*days.tolist()}) == len(SCORED) - len(found.immature) - 1
    assert list(found.metrics) == list(candidates)
    for name, values in candidates.items():
        assert found.metrics[name] == pytest.approx(metrics.evaluate("binary", label, values), abs=1e-12)
        expected = day_intervals("binary", label, values, days)
        assert found.intervals[name].keys() == expected.keys()
        for metric, interval in expected.items():
            assert found.intervals[name][metric].model_dump() == pytest.approx(interval.model_dump(), abs=1e-12)
    (month,), (whole,) = found.months, calibration.by_month("binary", label, candidates["champion"], days)
    assert month.calibration_error == pytest.approx(whole.calibration_error, abs=1e-12)
    assert (month.start, month.end, month.days, month.rows) == (whole.start, whole.end, whole.days, whole.rows)


def test_there_is_nothing_to_tell_before_any_label_of_a_prediction(scored):
    champion = registry.resolve(settings(), "toy", "2")
    assert realised(scored.pipeline, scored.lake, champion, Partitions.parse("2024-02-07", "2024-02-09")) is None
    only = realised(scored.pipeline, scored.lake, champion)
    assert only is not None and only.window == "2024-02-06" and only.intervals["champion"] == {}
