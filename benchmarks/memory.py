"""How much memory each stage takes as its range grows, with a limit on the memory for rows that the system enforces.

The rows are the flights of four weeks. Each flew many times under other numbers, a few minutes earlier or later. They
land as files, and the whole chain goes over them, each stage in a process of its own. It runs alone too:

    python -m benchmarks.memory --rows 1000000

The system holds each process to a number of bytes (``RLIMIT_DATA``). It counts what a process asks for, touched or not:
stacks of threads and reserves of allocators take 0.4 to 0.9 GB beyond the resident memory. So the cap is 1 GiB above the
goal, the limit and 1 GiB. A stage that fails under it runs again without, and the table says so.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.counted import DATA_BYTES
from benchmarks.harness import HOME, PIPELINE, PROJECT, environment, measured

MILLIONS = tuple(map(int, os.environ.get("CONTRAIL_BENCH_MILLIONS", "1,10").split(",")))
LIMIT, LIMIT_BYTES = "512MiB", 512 * 2**20
_LIMITS = (LIMIT, "1GiB", "2GiB", "4GiB")  # those after the first keep the chain going
GOAL_BYTES = LIMIT_BYTES + 2**30
CAP_BYTES = GOAL_BYTES + 2**30
# A model of the first days predicts the others. Its labels must be known, and two days lie between.
_LEARNED, _RANGE = ("2013-01-01", "2013-02-03"), ("2013-02-06", "2013-03-05")
_BEFORE, _LAST = "2013-02-05", "2013-03-06"  # some flights of the range land on the day after
_FLIGHTS = 25_300  # of the range, as they were
# Few rounds: memory does not depend on them.
_TRAINING = ("rounds=6", "early_stopping_rounds=6", "validation_days=7")
_ZONE, _INSTANT = "'America/New_York'", "'%Y-%m-%dT%H:%M:%SZ'"
_SHIFT = f"""CASE WHEN timezone({_ZONE}, landed_at::TIMESTAMPTZ + to_minutes(copy % 31 - 15))::DATE
    = timezone({_ZONE}, landed_at::TIMESTAMPTZ)::DATE THEN copy % 31 - 15 ELSE 0 END"""
_LATER = f"strftime({{0}}::TIMESTAMP + to_minutes(shift), {_INSTANT}) AS {{0}}"
_COPIES = {
    "schedule": "SELECT * EXCLUDE (copy) REPLACE (flight::BIGINT + 10000 * copy AS flight) FROM day, range({copies}) _(copy)",
    "outcomes": f"""
        SELECT * EXCLUDE (copy, shift) REPLACE (flight::BIGINT + 10000 * copy AS flight,
            dep_delay::BIGINT + shift AS dep_delay, arr_delay::BIGINT + shift AS arr_delay,
            {_LATER.format("departed_at")}, {_LATER.format("landed_at")})
        FROM (SELECT *, {_SHIFT} AS shift FROM day, range({{copies}}) _(copy) WHERE copy = 0 OR flight_date >= '{_RANGE[0]}')""",
}


@dataclass(frozen=True)
class Cost:
    """What a stage took. ``capped``: under the system's limit. ``memory`` is in bytes.

    ``limit`` is the memory for rows that it was given: more than asked for, where it failed with that.
    """

    stage: str
    rows: int
    wall: float
    cpu: float
    memory: int
    capped: bool
    limit: str = LIMIT


class Chain:
    """A home with so many rows in its range, and the stages that go over them. What is measured is kept there."""

    def __init__(self, home: Path, rows: int) -> None:
        self.home, self.copies = home, max(1, round(rows / _FLIGHTS))
        self.rows = 0
        self._environment = {
            "CONTRAIL_HOME": str(home),
            "CONTRAIL_PIPELINES": str(home / "pipelines"),
            "CONTRAIL_MEMORY_LIMIT": LIMIT,
            # Arrow's own pool asks for more than it uses, which the system would count.
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        }

    def prepare(self) -> None:
        """Land all files, and make two models of the first days: once."""
        if (self.home / "prepared").exists():
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self._copy_pipeline()
        self._plain("land", _LEARNED[0], _LAST)
        self._multiply()
        for verb, end in (
            ("ingest", _BEFORE),
            ("validate", _BEFORE),
            ("features", _LEARNED[1]),
            ("train", _LEARNED[1]),
        ):
            self._plain(verb, _LEARNED[0], end)
        self._plain("train", *_LEARNED, "seed=1")
        (self.home / "prepared").touch()

    def _copy_pipeline(self) -> None:
        """The pipeline for more flights, with a gate that lets every model pass."""
        place = self.home / "pipelines" / PIPELINE
        shutil.copytree(PROJECT / "include" / "pipelines" / PIPELINE, place)
        rules, spec = place / "expectations.py", place / "pipeline.yaml"
        rules.write_text(
            rules.read_text().replace('"flight", 1, 9999', '"flight", 1, 10**9').replace(", 2_000)", ", 10**9)")
        )
        text = re.sub(r"floor: [\d.]+", "floor: 0.0", spec.read_text())
        text = text.replace("max_calibration_error: 0.1", "max_calibration_error: 1.0")
        text = text.replace("max_calibration_share: 1.5", "max_calibration_share: 1000.0")
        spec.write_text(text.replace("min_improvement_over_baseline: 0.002", "min_improvement_over_baseline: -10.0"))

    def _multiply(self) -> None:
        import duckdb

        first, last = date.fromisoformat(_RANGE[0]), date.fromisoformat(_LAST)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET memory_limit = '1GB'")
            for table, query in _COPIES.items():
                for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
                    path = self.home / "landing" / PIPELINE / table / f"{day}.csv.gz"
                    connection.execute(f"CREATE OR REPLACE TABLE day AS FROM read_csv('{path}', all_varchar = true)")
                    copied = query.format(copies=self.copies)
                    connection.execute(f"COPY ({copied}) TO '{path}' (FORMAT csv, HEADER, COMPRESSION gzip)")

    def _plain(self, verb: str, start: str, end: str, *changes: str) -> None:
        """Run a stage that is not measured."""
        self._call(verb, "--from", start, "--to", end, *(_settings(*changes) if verb == "train" else ()))

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "contrail", arguments[0], "-p", PIPELINE, *arguments[1:]],
            env=environment(**self._environment), cwd=PROJECT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} failed ({done.returncode}):\n{done.stderr[-3000:]}")
        return done.stdout

    def _measured(self, stage: str, arguments: Sequence[str]) -> Cost:
        asked = [arguments[0], "-p", PIPELINE, *arguments[1:]]
        for limit, capped in ((LIMIT, True), *((limit, False) for limit in _LIMITS)):
            own = self._environment | {"CONTRAIL_MEMORY_LIMIT": limit}
            own |= {DATA_BYTES: str(CAP_BYTES)} if capped else {}
            try:
                found = measured(asked, **own)
            except SystemExit as error:
                print(
                    f"  {stage} failed with {limit}{' and the cap' if capped else ''}: {str(error)[-600:]}", flush=True
                )
            else:
                return Cost(stage, self.rows, found.wall, found.cpu, found.memory, capped, limit)
        raise SystemExit(f"{stage} fails with {_LIMITS[-1]} too")

    def costs(self) -> list[Cost]:
        """Measure every stage, in the chain's order. What was measured before is not measured again."""
        kept = self.home / "measured.json"
        known = {one["stage"]: Cost(**one) for one in json.loads(kept.read_text())} if kept.exists() else {}
        self.rows = known["ingest"].rows if known else self._landed()
        for stage, arguments in self._steps():
            if stage in known:
                continue
            known[stage] = self._measured(stage, arguments())
            kept.write_text(json.dumps([asdict(one) for one in known.values()]))
            print(f"  {_line(known[stage])}", flush=True)
        return list(known.values())

    def _landed(self) -> int:
        import duckdb

        files = self.home / "landing" / PIPELINE / "schedule" / "*.csv.gz"
        counted = f"SELECT count(*) FROM read_csv('{files}') WHERE flight_date BETWEEN '{_RANGE[0]}' AND '{_RANGE[1]}'"
        ((found,),) = duckdb.sql(counted).fetchall()
        return int(found)

    def _steps(self) -> list[tuple[str, Any]]:
        days, whole = ("--from", _RANGE[0], "--to", _RANGE[1]), ("--from", _RANGE[0], "--to", _LAST)
        return [
            ("ingest", lambda: ("ingest", *whole)),
            ("validate", lambda: ("validate", *whole)),
            ("features", lambda: ("features", *days)),
            ("train", lambda: ("train", *days, "--no-register", *_settings())),
            ("promote", lambda: ("promote", *days, "--model", "1", "--approval", "none")),
            ("score", lambda: ("score", *days)),
            ("drift", lambda: ("drift", *days, "--report", "never")),
            ("performance", lambda: ("performance", *days)),
            ("summary", lambda: ("summary",)),
            ("backfill's plan", lambda: ("backfill", *days, "--stages", "score", "--model", "2", "--dry-run")),
            ("backfill of score", lambda: ("backfill", *days, "--stages", "score", "--model", "2", "--id", "again")),
            ("difference", lambda: ("difference", "--id", "again")),
            ("rollback", lambda: ("rollback", "predictions", "--to", self._first_snapshot())),
        ]

    def _first_snapshot(self) -> str:
        listed = json.loads(self._call("history", "predictions", "--json").strip().splitlines()[-1])
        return str(listed[-1]["snapshot"])


def _settings(*changes: str) -> list[str]:
    return [part for one in (*_TRAINING, *changes) for part in ("--set", one)]


def _line(cost: Cost) -> str:
    also = ("" if cost.capped else ", without the cap") + ("" if cost.limit == LIMIT else f", with {cost.limit}")
    peak = f"{cost.memory / 1e6:,.0f} MB{also}"
    return f"| {cost.rows:,} | {cost.stage} | {peak} | {cost.cpu:,.0f} s | {cost.rows / cost.wall:,.0f} |"


def section(found: Sequence[Cost]) -> str:
    """The table of all sizes, a stage after the other."""
    stages = list(dict.fromkeys(cost.stage for cost in found))
    ordered = sorted(found, key=lambda cost: (stages.index(cost.stage), cost.rows))
    return "\n".join([
        f"## The memory of each stage with a limit of {LIMIT}", "",
        "| rows in the range | stage | peak memory | processor time | rows a second |", "|---|---|---|---|---|",
        *map(_line, ordered), "",
        f"Flights of 28 days. The goal is {GOAL_BYTES / 1e6:,.0f} MB: the limit and 1 GiB. The system lets a process ask for "
        f"{CAP_BYTES / 1e6:,.0f} MB (`RLIMIT_DATA`), because stacks and reserves count there too. The peak is of the whole "
        "process, imports included. Where a stage fails, its row says with what it passed. The model is small, because "
        "memory does not depend on its trees. The plan of the backfill scores three days.", "",
    ])  # fmt: skip


def measure() -> str:
    """Each number of rows in a home of its own, which goes afterwards."""
    found: list[Cost] = []
    for millions in MILLIONS:
        chain = Chain(HOME.parent / f"bench-memory-{millions}", millions * 1_000_000)
        chain.prepare()
        found += chain.costs()
        shutil.rmtree(chain.home)
    return section(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--home", type=Path, help="Where it works, and stays. Default: beside the benchmarks' home.")
    asked = parser.parse_args()
    alone = Chain(asked.home or HOME.parent / f"bench-memory-{asked.rows}", asked.rows)
    alone.prepare()
    print(section(alone.costs()))
