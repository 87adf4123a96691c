"""How many rows a second get predictions and three reasons: from files to files, by the functions of the score stage.

Rows are flights of October to December, drawn with noise up to millions. The model learned from January to August. It runs
alone, on a machine with a GPU that has only the file that ``make bench`` leaves:

    python -m benchmarks.scored --flights flights.parquet --rows 5000000 --devices cuda
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import PIPELINE, peak_memory
from benchmarks.training_size import FLIGHTS, NOISE, TEST_BEGINS, TRAINING_ENDS, write_flights

REASONS = 3
ROUNDS = 157  # as many as the pipeline's training finds
_FILE_ROWS = 1_000_000


class Speed(NamedTuple):
    """One scoring: the device, its rows, its seconds, those inside XGBoost, the rows explained twice, the peak memory."""

    device: str
    rows: int
    seconds: float
    inside: float
    again: int
    gigabytes: float

    def line(self) -> str:
        """As a line of the table."""
        return (
            f"| {self.device} | {self.rows:,} | {self.seconds:.1f} | {self.rows / self.seconds:,.0f} | "
            f"{self.inside / self.seconds:.0%} | {self.again / self.rows:.1%} | {self.gigabytes:.1f} GB |"
        )


def model(flights: pa.Table) -> Any:
    """A package with trees of the pipeline's parameters, grown on processors. No registry has it."""
    import xgboost

    from contrail.config.pipeline import load_pipeline
    from contrail.methods.baselines import RateTable
    from contrail.methods.encoding import category_table, encode, feature_types
    from contrail.methods.fit import booster_params
    from contrail.methods.model_package import ModelCard, ModelPackage, TrainingRecord

    spec = load_pipeline(PIPELINE).spec
    names = tuple(spec.features.columns)
    window = flights.filter(pc.less_equal(flights["flight_date"], TRAINING_ENDS))
    categories = category_table(window, spec.features.categories)
    params = booster_params(spec.task, spec.train)
    data = xgboost.QuantileDMatrix(
        encode(window, names, categories), window["label"].to_numpy(), feature_names=list(names),
        feature_types=feature_types(names, categories), max_bin=params.get("max_bin", 256), enable_categorical=True,
    )  # fmt: skip
    trees = bytes(xgboost.train({**params, "device": "cpu"}, data, ROUNDS).save_raw("ubj"))
    record = TrainingRecord(
        start=date(2013, 1, 1), end=TRAINING_ENDS, labels_as_of=date(2013, 9, 1), embargo_days=1, rows=window.num_rows,
        feature_snapshot=None, snapshots={}, training_set_md5="", rounds=ROUNDS, device="cpu", params=params,
        options={}, code_revision="", lock_hash="", pipeline_hash="", xgboost_version="",
    )  # fmt: skip
    card = ModelCard(
        pipeline=spec.name, task=spec.task, label=spec.label.expression, label_mean=0.0, features=names,
        categories=categories, rate_table=RateTable(features=(), overall=0.0, groups={}), training=record,
    )  # fmt: skip
    return ModelPackage(card, trees, b"{}")


def drawn(flights: pa.Table, rows: int, seed: int) -> pa.Table:
    """Flights drawn with replacement, as the lake has them. Noise makes no two the same."""
    rng = np.random.default_rng(seed)
    found = flights.take(pa.array(rng.integers(0, flights.num_rows, rows)))
    for position, field in enumerate(found.schema):
        if pa.types.is_floating(field.type):
            noise = rng.standard_normal(rows) * NOISE * (pc.stddev(flights[field.name]).as_py() or 0.0)
            values = pc.add(pc.cast(found[field.name], pa.float64()), pa.array(noise))
            found = found.set_column(position, field.name, values)
    return found


def score(package: Any, files: list[str], device: str, memory_bytes: int, out: Path) -> Speed:
    """Score the files into one other."""
    from upath import UPath

    from contrail.adapters.batches import MapPart, map_files
    from contrail.config.settings import EngineSettings
    from contrail.methods.scoring import Receipt, Scorer, Scoring

    receipt = Receipt(
        model_name=PIPELINE, model_version="1", feature_snapshot=1, scoring_run="bench", scored_at=datetime.now(UTC)
    )
    scoring = Scoring(kept=("flight_date",), threshold=0.5, reasons=REASONS, receipt=receipt, device=device)
    scorer = Scorer(package, scoring)
    inputs = pq.read_schema(files[0])
    outputs = scorer(pq.ParquetFile(files[0]).read_row_group(0).slice(0, 10)).schema  # and the device has started
    started = time.perf_counter()
    rows = 0
    with _watched() as seen:
        stream = map_files(
            EngineSettings(), [MapPart(files, scorer)], inputs, outputs, UPath(out / "staged"), memory_bytes
        )
        with pq.ParquetWriter(out / "scored.parquet", outputs, compression="zstd") as writer:
            for batch in stream:
                writer.write_batch(batch)
                rows += len(batch)
    seconds = time.perf_counter() - started
    peak = peak_memory() / 1e9
    again = seen["explained"] - rows
    return Speed(device, rows, seconds, seen["seconds"], again, peak)


@contextmanager
def _watched() -> Iterator[dict[str, Any]]:
    """Watch XGBoost's calls: the seconds inside them, and the rows that they explain."""
    import xgboost

    seen: dict[str, Any] = {"seconds": 0.0, "explained": 0}
    calls = {name: getattr(xgboost.Booster, name) for name in ("predict", "inplace_predict")}
    make = xgboost.DMatrix.__init__

    def timed(call: Any) -> Any:
        def timing(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                seen["seconds"] += time.perf_counter() - started
                seen["explained"] += arguments[1].num_row() if options.get("pred_contribs") else 0

        return timing

    try:
        for name, call in calls.items():
            setattr(xgboost.Booster, name, timed(call))
        xgboost.DMatrix.__init__ = timed(make)
        yield seen
    finally:
        for name, call in calls.items():
            setattr(xgboost.Booster, name, call)
        xgboost.DMatrix.__init__ = make


def measure(
    flights: Path | None = None, rows: int = 200_000, devices: Iterable[str] = ("cpu",), memory: int = 2**30
) -> str:
    """The table of these devices."""
    if flights is None:
        write_flights()
    table = pq.read_table(flights or FLIGHTS)
    package = model(table)
    later = table.filter(pc.greater_equal(table["flight_date"], TEST_BEGINS))
    columns = ["flight_date", *package.features]
    with tempfile.TemporaryDirectory() as place:
        files = []
        for start in range(0, rows, _FILE_ROWS):
            files.append(f"{place}/{start}.parquet")
            pq.write_table(drawn(later.select(columns), min(_FILE_ROWS, rows - start), start), files[-1])
        found = [score(package, files, device, memory, Path(place)) for device in devices]
    return "\n".join([
        "## Predictions with three reasons, from files to files", "",
        "| device | rows | seconds | rows a second | in XGBoost | explained twice | memory |", "|" + "---|" * 7,
        *(speed.line() for speed in found), "",
        f"{ROUNDS} trees with the pipeline's parameters, over {len(package.features)} features. Rows are read, encoded, "
        "predicted, explained and written as Parquet. The time leaves out imports, the start of the device and the training. "
        "In XGBoost: the share of the seconds; calls of a card run beside other work. Explained twice: rows whose reasons did "
        f"not add up on the card. Memory: the process's peak; {memory // 2**20:,} MiB are for rows.", "",
    ])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", type=Path, default=FLIGHTS)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--devices", nargs="+", choices=["cpu", "cuda"], default=["cpu"])
    parser.add_argument("--memory", type=int, default=2**30, help="bytes for rows")
    asked = parser.parse_args()
    print(measure(asked.flights, asked.rows, asked.devices, asked.memory))
