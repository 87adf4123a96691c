"""Time commands side by side and write down medians and ratios. What is measured belongs in the other modules."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
HOME = Path(os.environ.get("CONTRAIL_BENCH_HOME", PROJECT / ".contrail" / "bench"))
PIPELINE = "flight_delay"
YEAR = ("2013-01-01", "2013-12-31")
RUNS = int(os.environ.get("CONTRAIL_BENCH_RUNS", "3"))


@dataclass(frozen=True)
class Row:
    """One measured line: a name, the median, the spread, and the ratio to the first line of its table."""

    name: str
    median: float
    low: float
    high: float
    unit: str = "s"


def environment(**extra: str) -> dict[str, str]:
    """The environment of a measured process: the benchmarks' own home, and no trace of a Spark session of this process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    return {**clean, "CONTRAIL_HOME": str(HOME), "CONTRAIL_PROJECT": str(PROJECT), **extra}


def contrail(*arguments: str, **extra: str) -> dict[str, Any]:
    """Run a command with --json in a process of its own, and return its result with the ``wall`` seconds."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "contrail", *arguments, "--json"],
        env=environment(**extra), capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"contrail {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr[-3000:]}")
    return {**json.loads(done.stdout.strip().splitlines()[-1]), "wall": wall}


def peak_memory() -> int:
    """The most memory of this process in bytes. ``ru_maxrss`` would start at the peak of the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@dataclass(frozen=True)
class Measured:
    """A command in a process of its own: seconds of wall and processors, peak memory and Iceberg's metadata read in bytes.

    ``said`` is what it printed.
    """

    wall: float
    cpu: float
    memory: int
    metadata: int
    said: str


def measured(arguments: Sequence[str], **extra: str) -> Measured:
    """Run ``contrail`` and measure its process. With ``CONTRAIL_BENCH_METADATA`` it counts the metadata that it reads."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.counted", *arguments], cwd=PROJECT, env=environment(**extra),
            stdout=output, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stderr
        told = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if child.returncode:
        raise SystemExit(f"contrail {' '.join(arguments)} failed ({child.returncode}):\n{told[-3000:]}")
    counted = {name: int(number) for name, number in re.findall(r"^(metadata|peak) bytes: (\d+)$", told, re.MULTILINE)}
    wall, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    return Measured(wall, cpu, counted["peak"], counted.get("metadata", 0), said)


def stage(verb: str, start: str, end: str | None = None, *arguments: str, **extra: str) -> dict[str, Any]:
    """Run one stage of the measured pipeline."""
    return contrail(verb, "-p", PIPELINE, "--from", start, "--to", end or start, *arguments, **extra)


def alternate(candidates: Mapping[str, Callable[[], float]], runs: int = RUNS, unit: str = "s") -> list[Row]:
    """Call each candidate in turn, ``runs`` times around, so that noise falls on all alike."""
    seen: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(runs):
        for name, call in candidates.items():
            seen[name].append(call())
            print(f"  {turn + 1}/{runs} {name}: {seen[name][-1]:,.3f} {unit}", flush=True)
    return [Row(n, statistics.median(v), min(v), max(v), unit) for n, v in seen.items()]


def table(title: str, rows: list[Row], note: str = "") -> str:
    """A Markdown table with each row's ratio to the first."""
    base = rows[0].median
    lines = [f"## {title}", "", f"| | median | min–max | ratio to {rows[0].name} |", "|---|---|---|---|"]
    lines += [
        f"| {r.name} | {r.median:,.2f} {r.unit} | {r.low:,.2f}–{r.high:,.2f} | {r.median / base:.3g} |" for r in rows
    ]
    return "\n".join([*lines, "", *([note, ""] if note else [])])


def prepare() -> None:
    """Fill the benchmarks' home once: the year's tables, a model on January to August, the year's scores."""
    if (HOME / "prepared").exists():
        return
    print("Preparing the benchmarks' home (once)…", flush=True)
    subprocess.run(
        [sys.executable, "-m", "contrail", "land", "-p", PIPELINE, "--from", YEAR[0], "--to", YEAR[1]],
        env=environment(), check=True,
    )  # fmt: skip
    for verb in ("ingest", "validate", "features"):
        stage(verb, *YEAR)
    stage("train", "2013-01-01", "2013-08-31")
    stage("promote", "2013-09-03", "2013-09-30", "--approval", "none")
    for verb in ("score", "performance"):
        stage(verb, *YEAR)
    (HOME / "prepared").touch()


def machine() -> str:
    """The machine and versions, for the head of the results."""
    import duckdb
    import pyspark
    import xgboost

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"XGBoost {xgboost.__version__}, PySpark {pyspark.__version__}, DuckDB {duckdb.__version__}"
    )
