from dataclasses import replace

import numpy as np
import pytest

from contrail.methods.metrics import auc
from contrail.reports.plots import PlotData, _curve, draw_all


def made_data(task: str) -> PlotData:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    labels = (rng.random(500) < p).astype(float) if task == "binary" else p * 10 + rng.normal(size=500)
    return PlotData(
        title="Late parcels",
        task=task,  # type: ignore[arg-type]
        rows=500,
        labels=labels,
        predictions=p if task == "binary" else p * 10,
        baseline=np.full(500, labels.mean()),
        baseline_name="constant",
        importance={f"feature_{i}": 1 / (i + 1) for i in range(30)},
        history={"fit": [0.6, 0.5, 0.4], "validation": [0.6, 0.55, 0.56]},
        history_metric="logloss",
        rounds=2,
    )


@pytest.mark.parametrize(
    ("task", "own"),
    [("binary", ["calibration", "roc", "precision_recall"]), ("regression", ["predicted_vs_actual", "residuals"])],
)
def test_each_task_has_its_plots(task, own, tmp_path):
    files = draw_all(made_data(task), tmp_path / "plots")
    assert [file.stem for file in files] == [*own, "importance", "learning_curve"]
    assert all(file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 5000 for file in files)


def test_the_area_under_the_drawn_curve_is_the_auc():
    data = made_data("binary")
    rounded = np.round(data.predictions, 1)
    won, lost = _curve(data.labels, rounded)
    area = np.trapezoid(won / won[-1], lost / lost[-1])
    assert area == pytest.approx(auc(data.labels, rounded))


def test_a_plot_of_some_rows_says_so():
    assert made_data("binary").shown == "500 validation rows"
    assert replace(made_data("binary"), rows=9000).shown == "500 of 9,000 validation rows"
