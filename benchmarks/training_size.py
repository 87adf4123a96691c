"""How a training grows with its rows, from Parquet to the model.

The rows are the flights of January to August, drawn with noise up to millions. The flights of October to December test
the model. One training also runs alone, on a machine that has only the file that ``make bench`` leaves:

    python -m benchmarks.training_size --rows 100000000 --device cuda --flights flights.parquet
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import HOME, PIPELINE, PROJECT, YEAR, environment, peak_memory

FLIGHTS = HOME / "flights.parquet"
ROWS = (1_000_000, 10_000_000, 100_000_000)
TRAINING_ENDS, TEST_BEGINS = date(2013, 8, 31), date(2013, 10, 1)
ROUNDS = 100
NOISE = 0.01  # standard deviations of a column
_AT_A_TIME = 1_000_000
# The rows as files, twice: their own, and the encoded ones.
_ROOM = 2


# ---- one training ----


def draw(flights: Path, rows: int) -> Path:
    """Write ``rows`` flights, drawn with replacement, as files of a million; once. Noise makes no two the same."""
    folder = flights.parent / f"flights-{rows}"
    if (folder / "whole").exists():
        return folder
    folder.mkdir(exist_ok=True)
    table = pq.read_table(flights)
    learned = table.filter(pc.less_equal(table["flight_date"], TRAINING_ENDS)).drop_columns("flight_date")
    numbers = [f.name for f in learned.schema if pa.types.is_floating(f.type) and f.name != "label"]
    spread = {name: np.float32(NOISE * (pc.stddev(learned[name]).as_py() or 0.0)) for name in numbers}

    def part(start: int) -> None:
        rng = np.random.default_rng([0, start])
        drawn = learned.take(pa.array(rng.integers(0, learned.num_rows, min(_AT_A_TIME, rows - start))))
        for name in numbers:
            noise = pa.array(rng.standard_normal(drawn.num_rows, np.float32) * spread[name])
            drawn = drawn.set_column(drawn.column_names.index(name), name, pc.add(drawn[name], noise))
        pq.write_table(drawn, folder / f"{start:012d}.parquet", compression="zstd")

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        list(threads.map(part, range(0, rows, _AT_A_TIME)))
    (folder / "whole").touch()
    return folder


def _encoded(flights: Path, rows: int, spec: Any) -> Any:
    """The drawn rows and then the test rows, as the stage encodes them, with their labels."""
    from contrail.config.settings import settings
    from contrail.lake.parquet import parquet_files
    from contrail.methods.encoded_rows import BLOCK_ROWS, EncodedRows, Room
    from contrail.methods.encoding import category_table
    from contrail.methods.matrices import TrainingRows

    table, names = pq.read_table(flights), tuple(spec.features.columns)
    learned, test = (
        table.filter(pc.less_equal(table["flight_date"], TRAINING_ENDS)),
        table.filter(pc.greater_equal(table["flight_date"], TEST_BEGINS)),
    )
    room = Room(settings().memory_bytes // 4, settings().memory_bytes // 2, flights.parent / "tmp")
    encoded = EncodedRows(names, category_table(learned, spec.features.categories), room)
    files = sorted(map(str, draw(flights, rows).glob("*.parquet")))
    batches = parquet_files(files).to_batches(batch_size=BLOCK_ROWS, batch_readahead=4)
    labels = []
    for part in chain((pa.Table.from_batches([batch]) for batch in batches), [test]):
        encoded.append(part)
        labels.append(part["label"].to_numpy().astype(np.float32))
    return TrainingRows(encoded, np.concatenate(labels))


def train(rows: int, device: str, flights: Path, external: bool = False, bare: bool = False) -> dict[str, Any]:
    """Seconds, peak memory in GB and metrics of one training by the module that the stage uses, from files to model.

    With ``bare`` also the processor seconds of ``xgboost.train`` alone, on a matrix that is there.
    """
    from contrail.config.pipeline import load_pipeline
    from contrail.methods.fit import Method, booster_params, fit_trees, override
    from contrail.methods.matrices import predict
    from contrail.methods.metrics import evaluate

    spec = load_pipeline(PIPELINE).spec
    settings = {"rounds": ROUNDS, "early_stopping_rounds": ROUNDS, "refit": False, "device": device}
    train_spec, clock = override(spec.train, settings), _clock()
    params = booster_params(spec.task, train_spec)
    draw(flights, rows)
    with _Gpu() as gpu:
        started = time.perf_counter()
        data = replace(_encoded(flights, rows, spec), external_memory=external)
        encoded = time.perf_counter()
        fit = np.arange(len(data.labels)) < rows
        fitted = fit_trees(data, fit, ~fit, Method(train_spec, params, clock))
        ended = time.perf_counter()
    predictions = predict(fitted.checked, data, ~fit)
    found = evaluate(spec.task, data.labels[~fit].astype(np.float64), predictions)
    memory = peak_memory() / 1e9
    alone = {"bare": _bare(data, fit, {**params, "device": fitted.device})} if bare else {}
    return {
        "rows": rows,
        "device": fitted.device,
        "external": external,
        "seconds": ended - started,
        "encoding": encoded - started,
        "trees": clock.trees,
        "trees_cpu": clock.processors,
        **alone,
        **gpu.told(started, ended),
        "memory": memory,
        **found,
    }


def _bare(data: Any, fit: Any, params: dict[str, Any]) -> float:
    """Processor seconds of ``xgboost.train`` alone, on matrices that are there."""
    import xgboost

    from contrail.methods.matrices import binned

    matrix = binned(data, fit, params)
    evals = [(matrix, "fit"), (binned(data, ~fit, params, matrix), "validation")]
    started = time.process_time()
    xgboost.train(params, matrix, ROUNDS, evals=evals, verbose_eval=False)
    return time.process_time() - started


def _clock() -> Any:
    """A trainer of this process that keeps the seconds in which trees grow, and those of its processors."""
    from contrail.methods.boosting import Grow, History, Params
    from contrail.methods.encoded_rows import Rows
    from contrail.methods.matrices import TrainingRows
    from contrail.methods.trainer import ThisProcess

    class Clock(ThisProcess):
        trees, processors = 0.0, 0.0

        @contextmanager
        def holding(
            self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None
        ) -> Iterator[Grow]:
            with super().holding(rows, chosen, params, check) as grow:

                def timed(*arguments: Any) -> tuple[Any, History]:
                    started, busy = time.perf_counter(), time.process_time()
                    grown = grow(*arguments)
                    self.trees += time.perf_counter() - started
                    self.processors += time.process_time() - busy
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


def measure() -> str:
    """Every size that fits into this machine, on its processors. ``gpu`` measures those of a GPU."""
    write_flights()
    return "## A training of more rows\n\n" + sizes(FLIGHTS, [("cpu", False)])


def sizes(flights: Path, ways: list[tuple[str, bool]]) -> str:
    """The table of every size that fits onto this machine's disk, each training in a process of its own.

    Args:
        flights: The file that ``write_flights`` makes.
        ways: Devices, and whether the bins are kept outside.
    """
    a_row = pq.read_table(flights).nbytes / pq.ParquetFile(flights).metadata.num_rows
    fitting = [rows for rows in ROWS if rows * a_row * _ROOM < shutil.disk_usage(flights.parent).free]
    found = [measured(rows, device, external, flights) for rows in fitting for device, external in ways]
    missing = [f"{rows:,}" for rows in ROWS if rows not in fitting]
    return table(found) + (f" Not measured for want of disk: {', '.join(missing)} rows.\n" if missing else "\n")


def table(found: list[dict[str, Any]]) -> str:
    """The table of these trainings, and what to know of it."""
    head = (
        "| rows | device | seconds | of them encoding | of them trees | over bare XGBoost | memory | GPU memory | GPU busy | "
        "AUC | log loss |"
    )
    lines = [
        f"| {f['rows']:,} | {f['device']}{', bins outside' if f['external'] else ''} | {f['seconds']:.1f} | "
        f"{f['encoding']:.1f} | {f['trees']:.1f} | {_over_bare(f)} | {f['memory']:.1f} GB | {_of_gpu(f)} | "
        f"{f['auc']:.4f} | {f['log_loss']:.4f} |"
        for f in found
    ]
    note = (
        f"{ROUNDS} rounds with the pipeline's parameters. The rows are drawn from January to August, with noise of {NOISE} "
        "standard deviations. The metrics are those of October to December. Seconds are those from Parquet "
        "files to the model. Bare XGBoost is `xgboost.train` on matrices that are there, with the same metrics; the "
        "ratio is of processor time. One run each."
    )
    if any(f["device"] == "cuda" for f in found):
        note += " GPU busy: the share of all the seconds in which it computes (`nvidia-smi`)."
    return "\n".join([head, "|" + "---|" * 11, *lines, "", note])


def _over_bare(found: dict[str, Any]) -> str:
    return f"{found['trees_cpu'] / found['bare']:.2f}" if "bare" in found else "–"


def _of_gpu(found: dict[str, Any]) -> str:
    if found["device"] != "cuda":
        return "– | –"
    return f"{found['gpu_memory']:.1f} GB | {found['busy']:.0%}"


def measured(rows: int, device: str, external: bool, flights: Path) -> dict[str, Any]:
    """One training in a process of its own; see ``train``."""
    command = [sys.executable, "-m", "benchmarks.training_size", f"--rows={rows}", f"--device={device}"]
    command += [
        f"--flights={flights}",
        *(["--external-memory"] if external else []),
        *(["--bare"] if device == "cpu" else []),
    ]
    draw(flights, rows)
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
    parser.add_argument("--bare", action="store_true", help="Time XGBoost alone too.")
    parser.add_argument("--flights", type=Path, default=FLIGHTS)
    asked = parser.parse_args()
    print(json.dumps(train(asked.rows, asked.device, asked.flights, asked.external_memory, asked.bare)))


if __name__ == "__main__":
    main()
