import gc
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from tests.judged import model_sums

from contrail.config.settings import settings
from contrail.methods import metrics
from contrail.stages import judged_rows as judged
from contrail.stages.judged_rows import JudgedRows, judged_rows

BATCH = 5_000
Batch = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]


def made(number: int, task: str = "binary") -> Batch:
    """Five thousand rows of a day: their days, labels, predictions and depots."""
    rng = np.random.default_rng(number)
    predictions = rng.random(BATCH).round(3)
    labels = (rng.random(BATCH) < predictions).astype(float) if task == "binary" else rng.normal(predictions)
    days = np.full(BATCH, np.datetime64("2024-01-01") + number // 3)
    other = np.clip(predictions + rng.normal(0, 0.1, BATCH), 0, 1)
    return days, labels, {"model": predictions, "other": other}, rng.choice(np.array(["A", "B", None], object), BATCH)


def fill(rows: JudgedRows, batches: int, task: str = "binary") -> None:
    for number in range(batches):
        days, labels, predictions, depots = made(number, task)
        rows.append(days, labels, predictions, {"depot": pa.chunked_array([pa.array(depots, pa.string())])})


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_sums_of_a_file_are_those_of_rows_in_memory(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "_ROWS", 777)
    batches = [made(number, task) for number in range(18)]
    days, labels, depots = (np.concatenate([batch[n] for batch in batches]) for n in (0, 1, 3))
    predicted = {name: np.concatenate([batch[2][name] for batch in batches]) for name in ("model", "other")}
    with judged_rows(settings(), task, ("depot",)) as rows:  # type: ignore[arg-type]
        fill(rows, 18, task)
        assert rows.rows == len(labels)
        for name, predictions in predicted.items():
            found = rows.sums(name, grouped=True, period_days=3)
            expected = model_sums(task, days, labels, predictions, {"depot": depots}, period_days=3)  # type: ignore[arg-type]
            assert found.days.pooled()[0] == pytest.approx(expected.days.pooled()[0], abs=1e-12)
            assert found.days.pooled()[0] == pytest.approx(metrics.evaluate(task, labels, predictions), abs=1e-12)  # type: ignore[arg-type]
            assert [p.rows for p in found.days.periods()] == [p.rows for p in expected.days.periods()]
            own, others = (sums.groups["depot"].metrics() for sums in (found, expected))
            assert list(own) == list(others)
            assert all(own[depot] == pytest.approx(others[depot], abs=1e-12) for depot in own)
        assert rows.sums("model").groups == {}
        every = [labels[::3], predicted["other"][::3], predicted["model"][::3]]
        for drawn, known in zip(rows.sample(len(labels) // 3, ("other", "model")), every, strict=True):
            np.testing.assert_array_equal(drawn, known)
        assert len(rows.sample(10**9, ("model",))[0]) == len(labels)
    assert not list((settings().home_path / "tmp").glob("spill-*"))


def test_no_rows_have_no_metrics() -> None:
    with judged_rows(settings(), "binary", ("depot",)) as rows:
        found = rows.sums("model", grouped=True, period_days=7)
    assert found.days.periods() == () and found.groups["depot"].metrics() == {}


def peak(batches: int) -> int:
    """The most bytes that arrays and objects of Python take at a time."""
    gc.collect()
    tracemalloc.start()
    with judged_rows(settings(), "binary", ("depot",)) as rows:
        fill(rows, batches)
        rows.sums("model", grouped=True)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_twice_as_many_rows_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "_ROWS", BATCH)
    peak(1)
    few, many = peak(12), peak(36)
    # A single number of each row would be 960,000 bytes.
    assert many - few < 24 * BATCH * 4
