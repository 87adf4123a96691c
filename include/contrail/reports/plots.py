"""Pictures of a model for people, drawn with matplotlib and no display. Other modules compute the values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from contrail.methods.metrics import Floats, Task, auc, calibration_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _SOFT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_MODEL, _BASELINE = "#0b6e99", "#d9822b"
_STYLE: dict[str, Any] = {
    "font.size": 10.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "legend.frameon": False,
    "savefig.dpi": 130,
}
_MOST_FEATURES = 20


@dataclass(frozen=True)
class PlotData:
    """What the plots of a training run show. All arrays are of the validation rows, or of some of the ``rows`` that there are.

    ``importance`` has each feature's share of the total gain; ``history`` the metric of each round.
    """

    title: str
    task: Task
    rows: int
    labels: Floats
    predictions: Floats
    baseline: Floats
    baseline_name: str
    importance: Mapping[str, float]
    history: Mapping[str, Sequence[float]]
    history_metric: str
    rounds: int

    @property
    def shown(self) -> str:
        """Say how many rows a plot shows."""
        drawn = len(self.labels)
        return f"{drawn:,} validation rows" if drawn == self.rows else f"{drawn:,} of {self.rows:,} validation rows"


def draw_all(data: PlotData, folder: Path) -> list[Path]:
    """Write every plot of the task as PNG; return the files."""
    drawers = {
        "binary": {"calibration": _calibration, "roc": _roc, "precision_recall": _precision_recall},
        "regression": {"predicted_vs_actual": _predicted_vs_actual, "residuals": _residuals},
    }[data.task]
    folder.mkdir(parents=True, exist_ok=True)
    every = {**drawers, "importance": _importance, "learning_curve": _learning_curve}
    return [_draw(drawer, data, folder / f"{name}.png") for name, drawer in every.items()]


def _draw(drawer: Any, data: PlotData, path: Path) -> Path:
    with _axes(path) as axes:
        headline, what = drawer(axes, data)
        axes.set_title(f"{headline}\n", loc="left", fontsize=13, fontweight="bold", pad=10)
        axes.text(0, 1.02, f"{data.title}: {what}", transform=axes.transAxes, color=_SOFT, fontsize=9.5, va="bottom")
    return path


@contextmanager
def _axes(path: Path) -> Iterator["Axes"]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        yield figure.add_subplot()
        figure.savefig(path)


def _calibration(axes: "Axes", data: PlotData) -> tuple[str, str]:
    predicted, found, rows = calibration_table(data.labels, data.predictions).T
    # Wilson's interval stays within 0 and 1 for rare labels.
    z, n = 1.96, rows
    centre = (found + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(found * (1 - found) / n + z**2 / (4 * n**2))
    errors = np.abs(np.vstack([found - (centre - half), (centre + half) - found]))
    top = float(min(1, max(predicted.max(), (centre + half).max()) * 1.08))
    axes.plot([0, top], [0, top], color=_SOFT, linestyle="--", linewidth=1)
    axes.annotate("ideal", (top * 0.94, top * 0.94), (4, -12), textcoords="offset points", color=_SOFT)
    axes.errorbar(predicted, found, errors, color=_MODEL, marker="o", markersize=6, linewidth=1.6, capsize=3)
    axes.set(xlim=(0, top), ylim=(0, top), xlabel="Predicted probability", ylabel="Share with the label")
    error = float(np.average(np.abs(predicted - found), weights=rows))
    return f"Calibration error {error:.4f}", f"ten bins of {int(rows.mean()):,} validation rows, 95% intervals"


def _curve(labels: Floats, predictions: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """True and false positives as the threshold falls; one point a distinct prediction."""
    order = np.argsort(-predictions, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(predictions[order])), len(order) - 1)
    positive = labels[order] > 0.5
    return np.append(0.0, np.cumsum(positive)[ends]), np.append(0.0, np.cumsum(~positive)[ends])


def _roc(axes: "Axes", data: PlotData) -> tuple[str, str]:
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=1)
    for name, predictions, color in _both(data):
        won, lost = _curve(data.labels, predictions)
        label = f"{name}  AUC {auc(data.labels, predictions):.3f}"
        axes.plot(lost / lost[-1], won / won[-1], color=color, linewidth=2, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="False positive rate", ylabel="True positive rate", aspect="equal")
    axes.legend(loc="lower right")
    return f"AUC {auc(data.labels, data.predictions):.3f}", f"ROC, {data.shown}"


def _precision_recall(axes: "Axes", data: PlotData) -> tuple[str, str]:
    rate = float(data.labels.mean())
    areas = []
    for name, predictions, color in _both(data):
        won, lost = _curve(data.labels, predictions)
        precision, recall = won[1:] / (won + lost)[1:], won[1:] / won[-1]
        areas.append(float(np.sum(np.diff(np.append(0.0, recall)) * precision)))
        shown = recall > 0.005  # the first few rows are noise that would set the scale
        label = f"{name}  average precision {areas[-1]:.3f}"
        axes.plot(recall[shown], precision[shown], color=color, linewidth=2, label=label)
    axes.axhline(rate, color=_SOFT, linestyle="--", linewidth=1)
    axes.annotate(f"label rate {rate:.3f}", (0, rate), (4, -13), textcoords="offset points", color=_SOFT)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="Recall", ylabel="Precision")
    axes.legend(loc="upper right")
    return f"Average precision {areas[0]:.3f}", f"precision and recall, {data.shown}"


def _both(data: PlotData) -> list[tuple[str, Floats, str]]:
    return [("model", data.predictions, _MODEL), (data.baseline_name, data.baseline, _BASELINE)]


def _predicted_vs_actual(axes: "Axes", data: PlotData) -> tuple[str, str]:
    low, high = np.quantile(np.concatenate([data.labels, data.predictions]), [0.001, 0.999])
    shades = axes.hexbin(
        data.predictions, data.labels, gridsize=45, extent=(low, high, low, high), bins="log", mincnt=1, cmap="Blues"
    )
    axes.plot([low, high], [low, high], color=_SOFT, linestyle="--", linewidth=1)
    predicted, found, _ = calibration_table(data.labels, data.predictions).T
    axes.plot(predicted, found, color=_BASELINE, marker="o", markersize=5, linewidth=1.4, label="mean of a tenth")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="Predicted", ylabel="Actual")
    axes.legend(loc="upper left")
    bar = axes.figure.colorbar(shades, ax=axes, label="rows", shrink=0.8)
    bar.outline.set_visible(False)
    error = float(np.sqrt(np.mean(np.square(data.predictions - data.labels))))
    return f"RMSE {error:,.4g}", f"predicted and actual, {data.shown}"


def _residuals(axes: "Axes", data: PlotData) -> tuple[str, str]:
    residuals = data.predictions - data.labels
    width = float(np.quantile(np.abs(residuals), 0.995)) or 1.0
    bins = np.linspace(-width, width, 61).tolist()
    axes.hist(data.baseline - data.labels, bins, color=_BASELINE, alpha=0.35, label=data.baseline_name)
    axes.hist(residuals, bins, color=_MODEL, alpha=0.85, label="model")
    axes.axvline(0, color=_INK, linewidth=1)
    axes.set(xlim=(-width, width), xlabel="Predicted minus actual", ylabel="Rows")
    axes.legend(loc="upper right")
    return f"Bias {float(residuals.mean()):+,.4g}", f"errors, {data.shown}"


def _importance(axes: "Axes", data: PlotData) -> tuple[str, str]:
    ranked = sorted(data.importance.items(), key=lambda entry: -entry[1])
    shown = ranked[:_MOST_FEATURES][::-1]
    axes.barh([name for name, _ in shown], [share for _, share in shown], color=_MODEL, height=0.7)
    for position, (_, share) in enumerate(shown):
        axes.text(share, position, f" {share:.1%}", va="center", fontsize=8.5, color=_SOFT)
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    top = sum(share for _, share in ranked[:5])
    return f"Five features bring {top:.0%} of the gain", f"share of total gain, {len(shown)} of {len(ranked)} features"


def _learning_curve(axes: "Axes", data: PlotData) -> tuple[str, str]:
    for (name, values), color in zip(data.history.items(), (_BASELINE, _MODEL), strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=1.8, label=name)
    axes.axvline(data.rounds, color=_SOFT, linestyle="--", linewidth=1)
    axes.set(xlim=(1, None), xlabel="Round", ylabel=data.history_metric)
    axes.legend(loc="best")
    return f"{data.rounds} rounds", f"{data.history_metric} by round; the dashed line is where validation is best"
