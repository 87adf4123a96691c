"""The files of a training for people and scripts: plots, the numbers behind them, and the metrics that DVC compares."""

import csv
import json
from pathlib import Path

from contrail.methods.model_package import ModelCard
from contrail.reports.plots import PlotData, draw_all
from contrail.stages.training.base import Trained


def write_artifacts(trained: Trained, card: ModelCard, folder: Path) -> None:
    """Draw the plots, and write the numbers behind them for a spreadsheet or a script."""
    draw_all(_plot_data(trained), folder / "plots")
    by_gain = sorted(trained.fitted.importance.items(), key=lambda entry: -entry[1])
    with (folder / "importance.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["feature", "share_of_gain"])
        writer.writerows(by_gain)
    (folder / "metrics.json").write_text(json.dumps(trained.metrics.flat(), indent=1))
    (folder / "model.json").write_text(json.dumps(card.model_dump(mode="json"), indent=1))


def write_metrics(trained: Trained) -> None:
    """Write the metrics that DVC's experiments compare, if the option is set. They change only with the model."""
    path = trained.training.run.options.metrics_path
    if path is None:
        return
    values = {
        **trained.metrics.overall(),
        "rounds": trained.fitted.rounds,
        "rows": len(trained.training.window.rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n")


def _plot_data(trained: Trained) -> PlotData:
    spec, validation, history = trained.training.spec, trained.validation, trained.fitted.history
    metric: str = list(history["validation"])[-1]
    return PlotData(
        title=spec.title,
        task=spec.task,
        rows=validation.rows,
        labels=validation.sample.labels,
        predictions=validation.sample.model,
        baseline=validation.sample.rate_table,
        baseline_name="rate table" if trained.training.method.settings.rate_table else "constant",
        importance=trained.fitted.importance,
        history={part: values[metric] for part, values in history.items()},
        history_metric=metric,
        rounds=trained.fitted.rounds,
    )
