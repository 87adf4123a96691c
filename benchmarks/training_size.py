"""How a training grows with its rows, on the processors and on a GPU where there is one.

The rows are the flights of January to August, drawn with noise up to millions. The flights of October to December test
the model. One training also runs alone, on a machine that has only the file that ``make bench`` leaves:

    python -m benchmarks.training_size --rows 100000000 --device cuda --flights flights.parquet
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import HOME, PIPELINE, PROJECT, YEAR, environment

FLIGHTS = HOME / "flights.parquet"
ROWS = (1_000_000, 10_000_000, 100_000_000)
TRAINING_ENDS, TEST_BEGINS = date(2013, 8, 31), date(2013, 10, 1)
ROUNDS = 100
NOISE = 0.01  # standard deviations of a column
_AT_A_TIME = 1_000_000
# Memory in multiples of the rows' bytes. With the encoded and binned copies it was 2.7 at ten million rows.
_ROOM = 3


# ---- one training ----


def _drawn(flights: pa.Table, rows: int) -> pa.Table:
    """``rows`` flights, drawn with replacement. Noise makes no two the same."""
    rng = np.random.default_rng(0)
    numbers = [f.name for f in flights.schema if pa.types.is_floating(f.type) and f.name != "label"]
    spread = {name: NOISE * (pc.stddev(flights[name]).as_py() or 0.0) for name in numbers}
    parts = []
    for start in range(0, rows, _AT_A_TIME):
        part = flights.take(pa.array(rng.integers(0, flights.num_rows, min(_AT_A_TIME, rows - start))))
        for name in numbers:
            noise = pa.array(rng.standard_normal(part.num_rows, np.float32) * np.float32(spread[name]))
            part = part.set_column(part.column_names.index(name), name, pc.add(part[name], noise))
        parts.append(part)
    return pa.concat_tables(parts)


def train(rows: int, device: str, flights: Path) -> dict[str, Any]:
    """Seconds, peak memory in GB and metrics of one training by the module that the stage uses."""
    from contrail.config.pipeline import load_pipeline
    from contrail.methods.encoding import category_table
    from contrail.methods.fit import Method, booster_params, fit_trees, override
    from contrail.methods.matrices import TrainingRows
    from contrail.methods.metrics import evaluate

    spec = load_pipeline(PIPELINE).spec
    settings = {"rounds": ROUNDS, "early_stopping_rounds": ROUNDS, "refit": False, "device": device}
    table, names = pq.read_table(flights), tuple(spec.features.columns)
    day = table["flight_date"]
    learned, test = (
        table.filter(pc.less_equal(day, TRAINING_ENDS)),
        table.filter(pc.greater_equal(day, TEST_BEGINS)),
    )
    whole = pa.concat_tables([_drawn(learned.select([*names, "label"]), rows), test.select([*names, "label"])])
    categories = category_table(learned, spec.features.categories)
    data = TrainingRows(whole.select(names), whole["label"].to_numpy().astype(np.float32), names, categories)
    fit = np.arange(whole.num_rows) < rows
    train_spec = override(spec.train, settings)
    with _GpuMemory() as gpu:
        started = time.perf_counter()
        fitted = fit_trees(data, fit, ~fit, Method(train_spec, booster_params(spec.task, train_spec)))
        seconds = time.perf_counter() - started
    found = evaluate(spec.task, data.labels[~fit].astype(np.float64), fitted.validation_predictions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"rows": rows, "device": fitted.device, "seconds": seconds, "memory": peak, "gpu_memory": gpu.peak, **found}


class _GpuMemory(threading.Thread):
    """The peak memory in use on the first GPU, in GB; 0 without a GPU."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self._over = threading.Event()

    def __enter__(self) -> "_GpuMemory":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        while not self._over.wait(0.2):
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            except (OSError, subprocess.CalledProcessError):
                return
            self.peak = max(self.peak, int(said) / 1024)


# ---- all of them ----


def _write_flights() -> None:
    """The year's labelled flights with their features, small enough to take along."""
    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.labels import read_training_rows
    from contrail.lake.lake import Lake
    from contrail.partitions import Partitions

    settings.cache_clear()
    spec = load_pipeline(PIPELINE).spec
    rows = read_training_rows(Lake(settings(), PIPELINE), spec, Partitions.parse(*YEAR))
    rows = rows.select(["flight_date", *spec.features.columns, "label"])
    small = [f.with_type(pa.float32()) if pa.types.is_float64(f.type) else f for f in rows.schema]
    pq.write_table(rows.cast(pa.schema(small)), FLIGHTS, compression="zstd")


def _available() -> float:
    """Bytes of memory that nobody uses."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024.0


def measure() -> str:
    """Every size that fits into this machine, on every device that it has, each in a process of its own."""
    from contrail.errors import SpecError
    from contrail.methods.trainer import ThisProcess

    _write_flights()
    try:
        devices = ["cpu", ThisProcess().device("cuda", max(ROWS))]
    except SpecError:
        devices = ["cpu"]
    a_row = pq.read_table(FLIGHTS).nbytes / pq.ParquetFile(FLIGHTS).metadata.num_rows
    fitting = [rows for rows in ROWS if rows * a_row * _ROOM < _available()]
    found = [_measured(rows, device) for rows in fitting for device in devices]
    note = [
        f"{ROUNDS} rounds with the pipeline's parameters. The rows are drawn from January to August, with noise of {NOISE} "
        "standard deviations. The metrics are those of October to December. Seconds hold binning and trees. One run each.",
    ]
    if "cuda" not in devices:
        note.append("There is no GPU on this machine: `cuda` is not measured.")
    if missing := [f"{rows:,}" for rows in ROWS if rows not in fitting]:
        note.append(f"Not measured for want of memory: {', '.join(missing)} rows.")
    head = "| rows | device | seconds | million rows × trees a second | memory | GPU memory | AUC | log loss |"
    lines = [
        f"| {f['rows']:,} | {f['device']} | {f['seconds']:.1f} | {f['rows'] * ROUNDS / f['seconds'] / 1e6:.1f} | "
        f"{f['memory']:.1f} GB | {_gpu_memory(f)} | {f['auc']:.4f} | {f['log_loss']:.4f} |"
        for f in found
    ]
    return "\n".join(["## A training of more rows", "", head, "|" + "---|" * 8, *lines, "", " ".join(note), ""])


def _gpu_memory(found: dict[str, Any]) -> str:
    return f"{found['gpu_memory']:.1f} GB" if found["device"] == "cuda" else "–"


def _measured(rows: int, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.training_size", f"--rows={rows}", f"--device={device}"]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training {rows:,} rows on {device} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {rows:,} rows on {device}: {result['seconds']:.1f} s", flush=True)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True)
    parser.add_argument("--flights", type=Path, default=FLIGHTS)
    asked = parser.parse_args()
    print(json.dumps(train(asked.rows, asked.device, asked.flights)))
