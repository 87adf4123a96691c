"""How a training grows with its rows.

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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

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
    numbers = [f.name for f in flights.schema if pa.types.is_floating(f.type) and f.name != "label"]
    spread = {name: np.float32(NOISE * (pc.stddev(flights[name]).as_py() or 0.0)) for name in numbers}

    def part(start: int) -> pa.Table:
        rng = np.random.default_rng([0, start])
        drawn = flights.take(pa.array(rng.integers(0, flights.num_rows, min(_AT_A_TIME, rows - start))))
        for name in numbers:
            noise = pa.array(rng.standard_normal(drawn.num_rows, np.float32) * spread[name])
            drawn = drawn.set_column(drawn.column_names.index(name), name, pc.add(drawn[name], noise))
        return drawn

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return pa.concat_tables(threads.map(part, range(0, rows, _AT_A_TIME)))


def train(rows: int, device: str, flights: Path, external: bool = False) -> dict[str, Any]:
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
    labels = whole["label"].to_numpy().astype(np.float32)
    data = TrainingRows(whole.select(names), labels, names, categories, external)
    fit = np.arange(whole.num_rows) < rows
    train_spec, clock = override(spec.train, settings), _clock()
    with _Gpu() as gpu:
        started = time.perf_counter()
        fitted = fit_trees(data, fit, ~fit, Method(train_spec, booster_params(spec.task, train_spec), clock))
        seconds = time.perf_counter() - started
    found = evaluate(spec.task, data.labels[~fit].astype(np.float64), fitted.validation_predictions)
    return {
        "rows": rows,
        "device": fitted.device,
        "external": external,
        "seconds": seconds,
        "trees": clock.trees,
        **gpu.told(started, started + seconds),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        **found,
    }


def _clock() -> Any:
    """A trainer of this process that keeps the seconds in which trees grow."""
    from contrail.methods.boosting import Grow, History, Params
    from contrail.methods.matrices import Rows, TrainingRows
    from contrail.methods.trainer import ThisProcess

    class Clock(ThisProcess):
        trees = 0.0

        @contextmanager
        def holding(
            self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None
        ) -> Iterator[Grow]:
            with super().holding(rows, chosen, params, check) as grow:

                def timed(*arguments: Any) -> tuple[Any, History]:
                    started = time.perf_counter()
                    grown = grow(*arguments)
                    self.trees += time.perf_counter() - started
                    return grown

                yield timed

    return Clock()


class _Sample(NamedTuple):
    """What the first GPU does: its memory in use in GB, and the percentage of the last moment in which it computed."""

    at: float
    memory: float
    busy: int


class _Gpu(threading.Thread):
    """Watches the first GPU ten times a second while the context is open. Without a GPU it has no samples."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[_Sample] = []
        self._first = threading.Event()
        command = ["nvidia-smi", "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        try:
            self._watch = subprocess.Popen([*command, "--loop-ms=100"], stdout=subprocess.PIPE, text=True)
        except OSError:
            self._watch = None

    def __enter__(self) -> "_Gpu":
        self.start()
        self._first.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch:
            self._watch.terminate()
        self.join()

    def run(self) -> None:
        for line in self._watch.stdout if self._watch and self._watch.stdout else ():
            memory, busy = line.split(",")
            self.samples.append(_Sample(time.perf_counter(), int(memory) / 1024, int(busy)))
            self._first.set()
        self._first.set()

    def told(self, start: float, end: float) -> dict[str, float]:
        """The peak memory in GB, and the share of the time in which the GPU computes."""
        own = [sample for sample in self.samples if start <= sample.at <= end]
        busy = sum(sample.busy for sample in own) / 100 / max(1, len(own))
        return {"gpu_memory": max((sample.memory for sample in own), default=0.0), "busy": busy}


# ---- all of them ----


def write_flights() -> None:
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
    """Every size that fits into this machine, on its processors. ``gpu`` measures those of a GPU."""
    write_flights()
    return "## A training of more rows\n\n" + sizes(FLIGHTS, [("cpu", False)])


def sizes(flights: Path, ways: list[tuple[str, bool]]) -> str:
    """The table of every size that fits into this machine, each training in a process of its own.

    Args:
        flights: The file that ``write_flights`` makes.
        ways: Devices, and whether the bins are kept outside.
    """
    a_row = pq.read_table(flights).nbytes / pq.ParquetFile(flights).metadata.num_rows
    fitting = [rows for rows in ROWS if rows * a_row * _ROOM < _available()]
    found = [_measured(rows, device, external, flights) for rows in fitting for device, external in ways]
    missing = [f"{rows:,}" for rows in ROWS if rows not in fitting]
    return table(found) + (f" Not measured for want of memory: {', '.join(missing)} rows.\n" if missing else "\n")


def table(found: list[dict[str, Any]]) -> str:
    """The table of these trainings, and what to know of it."""
    head = (
        "| rows | device | seconds | of them trees | million rows × trees a second | memory | GPU memory | GPU busy | AUC | "
        "log loss |"
    )
    lines = [
        f"| {f['rows']:,} | {f['device']}{', bins outside' if f['external'] else ''} | {f['seconds']:.1f} | "
        f"{f['trees']:.1f} | {f['rows'] * ROUNDS / f['seconds'] / 1e6:.1f} | {f['memory']:.1f} GB | {_of_gpu(f)} | "
        f"{f['auc']:.4f} | {f['log_loss']:.4f} |"
        for f in found
    ]
    note = (
        f"{ROUNDS} rounds with the pipeline's parameters. The rows are drawn from January to August, with noise of {NOISE} "
        "standard deviations. The metrics are those of October to December. Seconds hold binning and trees. One run each."
    )
    if any(f["device"] == "cuda" for f in found):
        note += " GPU busy: the share of all the seconds in which it computes (`nvidia-smi`)."
    return "\n".join([head, "|" + "---|" * 10, *lines, "", note])


def _of_gpu(found: dict[str, Any]) -> str:
    if found["device"] != "cuda":
        return "– | –"
    return f"{found['gpu_memory']:.1f} GB | {found['busy']:.0%}"


def _measured(rows: int, device: str, external: bool, flights: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.training_size", f"--rows={rows}", f"--device={device}"]
    command += [f"--flights={flights}", *(["--external-memory"] if external else [])]
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training {rows:,} rows on {device} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"  {rows:,} rows on {device}{' with bins outside' if external else ''}: {result['seconds']:.1f} s", flush=True
    )
    return result


def main() -> None:
    """Print one training as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True)
    parser.add_argument("--external-memory", action="store_true", help="Keep the bins outside.")
    parser.add_argument("--flights", type=Path, default=FLIGHTS)
    asked = parser.parse_args()
    print(json.dumps(train(asked.rows, asked.device, asked.flights, asked.external_memory)))


if __name__ == "__main__":
    main()
