"""Is a model from a GPU as good as one from processors, is it the same twice, and how fast is a GPU?

The trainings are those of the pipeline, on January to August, by the module that the stage uses. The flights of October to
December test them. It also runs alone, on a machine that has only the file that ``make bench`` leaves:

    python -m benchmarks.gpu --flights flights.parquet

With ``--goals`` it makes only the trainings that have a goal, and says whether they reach it: 10 and 100 million rows from
Parquet to the model, and the quality over five seeds on both devices.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import PIPELINE
from benchmarks.training_size import FLIGHTS, TEST_BEGINS, TRAINING_ENDS, measured, sizes, table, write_flights

SEEDS = range(12)
GOALS = {10_000_000: 5.0, 100_000_000: 60.0}  # seconds from Parquet to the model
_GOAL_SEEDS = 5
EXPLAINED = 100_000


class _Data(NamedTuple):
    """The training window with its masks, and the test rows as XGBoost reads them, with their labels."""

    spec: Any
    rows: Any
    fit: Any
    validation: Any
    test: Any
    labels: Any


def _read(flights: Path) -> _Data:
    from contrail.config.pipeline import load_pipeline
    from contrail.methods.encoding import encode
    from contrail.methods.matrices import encode_window
    from contrail.methods.splits import split_window
    from contrail.partitions import Partitions

    spec, flown = load_pipeline(PIPELINE).spec, pq.read_table(flights).sort_by("flight_date")
    days = flown["flight_date"]
    window = flown.filter(pc.less_equal(days, TRAINING_ENDS))
    test = flown.filter(pc.greater_equal(days, TEST_BEGINS))
    rows = encode_window(window, spec)
    split = split_window(
        Partitions(pc.min(days).as_py(), TRAINING_ENDS), spec.train.validation_days, spec.train.embargo_days
    )
    fit, validation = split.masks(window["flight_date"].to_numpy())
    return _Data(spec, rows, fit, validation, encode(test, rows.names, rows.categories), test["label"].to_numpy())


def _trained(data: _Data, device: str, seed: int, external: bool = False) -> dict[str, Any]:
    """One training as the stage makes it: its model's bytes, seconds, rounds and metrics of the test rows."""
    import xgboost

    from contrail.methods.fit import Method, booster_params, fit_trees, override
    from contrail.methods.metrics import evaluate

    train = override(data.spec.train, {"device": device, "seed": seed})
    rows, method = replace(data.rows, external_memory=external), Method(train, booster_params(data.spec.task, train))
    started = time.perf_counter()
    fitted = fit_trees(rows, data.fit, data.validation, method)
    seconds = time.perf_counter() - started
    predicted = xgboost.Booster(model_file=bytearray(fitted.model)).inplace_predict(data.test).astype(np.float64)
    found = evaluate(data.spec.task, data.labels.astype(np.float64), predicted)
    print(f"  {device} seed {seed}: {seconds:.1f} s, {fitted.rounds} rounds, AUC {found['auc']:.4f}", flush=True)
    return {**found, "model": fitted.model, "seconds": seconds, "rounds": fitted.rounds}


def _explained(data: _Data, model: bytes, device: str) -> tuple[float, float, float]:
    """Rows a second of predictions and of exact contributions; and the largest miss of their sum from the margin."""
    import xgboost

    booster = xgboost.Booster({"device": device}, model_file=bytearray(model))
    matrix = data.test[np.arange(EXPLAINED) % len(data.test)]

    def rows(count: int) -> xgboost.DMatrix:
        types = booster.feature_types
        return xgboost.DMatrix(matrix[:count], feature_names=list(data.rows.names), feature_types=types)

    def speed(**options: bool) -> float:
        booster.predict(rows(1000), **options)
        started = time.perf_counter()
        booster.predict(rows(EXPLAINED), **options)
        return EXPLAINED / (time.perf_counter() - started)

    margin, sums = (
        booster.predict(rows(EXPLAINED), output_margin=True),
        booster.predict(rows(EXPLAINED), pred_contribs=True),
    )
    return speed(), speed(pred_contribs=True), float(np.abs(sums.sum(axis=1) - margin).max())


def measure(flights: Path | None = None) -> str:
    """The tables of the processors and the GPU; empty without a GPU."""
    from contrail.methods.trainer import ThisProcess

    if ThisProcess().device("auto", 10**9) != "cuda":
        return ""
    if flights is None:
        write_flights()
    return tables(flights or FLIGHTS, ["cpu", "cuda"])


def tables(flights: Path, devices: list[str]) -> str:
    """The tables of these devices."""
    ways = [(device, False) for device in devices] + [(device, True) for device in devices if device == "cuda"]
    return compare(flights, devices) + "\n### Trainings of more rows\n\n" + sizes(flights, ways)


def goals(flights: Path) -> str:
    """The trainings that have a goal, and whether they reach it."""
    found = [measured(rows, "cuda", False, flights) for rows in GOALS]
    data = _read(flights)
    areas = {d: [_trained(data, d, seed)["auc"] for seed in SEEDS[:_GOAL_SEEDS]] for d in ("cpu", "cuda")}
    apart = abs(statistics.mean(areas["cpu"]) - statistics.mean(areas["cuda"]))
    error = (sum(statistics.variance(values) for values in areas.values()) / _GOAL_SEEDS) ** 0.5
    return "\n".join([
        table(found), "",
        *(f"{f['rows']:,} rows: {f['seconds']:.1f} s; {_reached(f['seconds'], GOALS[f['rows']], 's')}" for f in found),
        f"AUC of {_GOAL_SEEDS} seeds: {_spread(areas['cpu'])} on a CPU, {_spread(areas['cuda'])} on the GPU; apart by "
        f"{apart:.4f}; {_reached(apart, 2 * error, '(two standard errors)')}",
    ])  # fmt: skip


def _reached(value: float, goal: float, unit: str) -> str:
    return f"{'reaches' if value <= goal else 'MISSES'} the goal of at most {goal:.4g} {unit}"


def compare(flights: Path, devices: list[str]) -> str:
    """Models and explanations of these devices. All explain rows by the same model, that of the first."""
    data = _read(flights)
    found = {device: [_trained(data, device, seed) for seed in SEEDS] for device in devices}
    model = found[devices[0]][0]["model"]
    speeds = {device: _explained(data, model, device) for device in devices}
    head = "| | seconds | rounds | AUC | log loss | same bytes twice | with bins outside |"
    return "\n".join([
        "## On a GPU", "", head, "|" + "---|" * 7, *(_quality(data, d, found[d]) for d in devices), "",
        f"The pipeline's own training on {len(data.rows.labels):,} flights, tested on {len(data.labels):,}. Mean and standard "
        f"deviation of {len(SEEDS)} seeds; medians of seconds and rounds.", "",
        "| rows a second | predicted | explained | sum of the reasons misses the margin by |", "|---|---|---|---|",
        *(f"| {d} | {plain:,.0f} | {reasons:,.0f} | {miss:.0e} |" for d, (plain, reasons, miss) in speeds.items()), "",
        f"{EXPLAINED:,} rows by one model, from a matrix in memory.", "",
    ])  # fmt: skip


def _quality(data: _Data, device: str, found: list[dict[str, Any]]) -> str:
    again = _trained(data, device, SEEDS[0])["model"] == found[0]["model"]
    outside = {_trained(data, device, SEEDS[0], external=True)["model"] for _ in range(2)}
    seconds, rounds = (statistics.median(f[name] for f in found) for name in ("seconds", "rounds"))
    spread = " | ".join(_spread([f[metric] for f in found]) for metric in ("auc", "log_loss"))
    same = " | ".join("yes" if yes else "no" for yes in (again, len(outside) == 1))
    return f"| {device} | {seconds:.1f} s | {rounds:.0f} | {spread} | {same} |"


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", type=Path, default=FLIGHTS)
    parser.add_argument("--devices", nargs="+", choices=["cpu", "cuda"], default=["cpu", "cuda"])
    parser.add_argument("--goals", action="store_true", help="Only the trainings that have a goal.")
    asked = parser.parse_args()
    print(goals(asked.flights) if asked.goals else tables(asked.flights, asked.devices))
