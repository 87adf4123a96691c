"""The year's validation: the stage's checks, and the main ones written by hand in DuckDB SQL, without any commit."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.harness import PROJECT, YEAR, alternate, environment, peak_memory, table

if TYPE_CHECKING:
    import duckdb

LIMIT = "1GiB"
_COPIED = ("raw_schedule", "raw_outcomes", "validated_schedule")
_ZONE = "'America/New_York'"
# Typed like the stage's rows: the form of a text is checked before it is cast.
_TYPED = """
CREATE TABLE {table} AS SELECT * FROM (SELECT partition_date, {columns} FROM raw_{table})
"""
_FORMS = {"int": r"[+-]?\d+(\.0+)?", "float": r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", "date": r"\d{4}-\d{2}-\d{2}"}
_TYPES = {"int": "BIGINT", "float": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMPTZ", "string": "VARCHAR"}
_CLOCK = f"hour(timezone({_ZONE}, {{0}})) * 100 + minute(timezone({_ZONE}, {{0}}))"
_BY_HAND = {
    "schedule": f"""
        SELECT count(*) FROM schedule s LEFT JOIN raw_airlines a USING (carrier)
        LEFT JOIN (SELECT faa, any_value(tzone) AS tzone FROM raw_airports GROUP BY faa) p ON p.faa = s.dest
        WHERE a.carrier IS NULL OR flight_date <> partition_date OR origin NOT IN ('EWR', 'JFK', 'LGA')
            OR NOT regexp_matches(dest, '^[A-Z]{{3}}$') OR distance NOT BETWEEN 10 AND 6000
            OR sched_dep_time NOT BETWEEN 0 AND 2359 OR sched_arr_time NOT BETWEEN 0 AND 2400
            OR timezone({_ZONE}, sched_dep_at)::DATE <> flight_date OR {_CLOCK.format("sched_dep_at")} <> sched_dep_time
            OR hour(timezone(tzone, sched_arr_at)) * 100 + minute(timezone(tzone, sched_arr_at)) <> sched_arr_time % 2400
            OR epoch(sched_arr_at - sched_dep_at) / 60 NOT BETWEEN 20 AND 1080 OR sched_dep_at <= published_at""",
    "outcomes": """
        SELECT count(*) FROM outcomes o LEFT JOIN raw_airlines a USING (carrier)
        LEFT JOIN schedule s USING (flight_date, carrier, flight, origin)
        WHERE a.carrier IS NULL OR s.flight IS NULL OR o.flight_date > o.partition_date
            OR NOT regexp_matches(tailnum, '^[A-Z0-9]{4,6}$') OR dep_delay NOT BETWEEN -120 AND 2880
            OR arr_delay NOT BETWEEN -180 AND 2880 OR air_time NOT BETWEEN 10 AND 1080 OR landed_at <= departed_at
            OR abs(epoch(departed_at - s.sched_dep_at) / 60 - dep_delay) > 1
            OR abs(epoch(landed_at - s.sched_arr_at) / 60 - arr_delay) > 1
            OR epoch(landed_at - departed_at) / 60 - air_time NOT BETWEEN 0 AND 300""",
    "weather": """
        SELECT count(*) FROM weather WHERE origin NOT IN ('EWR', 'JFK', 'LGA') OR temp NOT BETWEEN -40 AND 130
            OR dewp NOT BETWEEN -60 AND 100 OR humid NOT BETWEEN 0 AND 100 OR wind_dir NOT BETWEEN 0 AND 360
            OR wind_speed NOT BETWEEN 0 AND 150 OR wind_gust NOT BETWEEN 0 AND 200 OR precip NOT BETWEEN 0 AND 12
            OR pressure NOT BETWEEN 870 AND 1090 OR visib NOT BETWEEN 0 AND 100""",
}


def cpu() -> float:
    """The processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def by_hand(_: int) -> int:
    """Type the year's rows, find repeated keys, and find the rows that break a rule. Return how many are bad."""
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.lake.sessions import session

    spec, bad = load_pipeline("flight_delay").spec, 0
    lake = Lake(settings(), "flight_delay")
    with session(settings()) as connection:
        for name in spec.tables:
            lake.view(connection, f"raw_{name}", f"raw_{name}")
        for name, query in _BY_HAND.items():
            columns = ", ".join(
                f"{_cast(column, each.type)} AS {column}" for column, each in spec.tables[name].columns.items()
            )
            connection.execute(_TYPED.format(table=name, columns=columns))
            keys = ", ".join(("partition_date", *spec.tables[name].key))
            repeated = f"SELECT count(*) FROM (SELECT 1 FROM {name} GROUP BY {keys} HAVING count(*) > 1)"
            bad += sum(connection.execute(each).fetchall()[0][0] for each in (query, repeated))
    return bad


def _cast(column: str, kind: str) -> str:
    cast = f"TRY_CAST({column} AS {_TYPES[kind]})"
    return f"CASE WHEN regexp_full_match({column}, '{_FORMS[kind]}') THEN {cast} END" if kind in _FORMS else cast


def by_stage(copies: int) -> int:
    """Validate the year with every flight several times, under other numbers. Streams are read, and nothing is published."""
    import great_expectations.expectations as gxe

    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.partitions import Partitions
    from contrail.stages import validate
    from contrail.stages.base import StageRun
    from contrail.stages.options import ValidateOptions

    class Copies(Lake):
        """Rows of flights come several times; what is published only leaves the session."""

        def view(self, connection: "duckdb.DuckDBPyConnection", view: str, name: str, *given: Any, **more: Any) -> None:
            if copies == 1 or name not in _COPIED:
                return super().view(connection, view, name, *given, **more)
            super().view(connection, f"{view}_once", name, *given, **more)
            number = "flight::BIGINT + 10000 * copy"
            changed = [f"CAST({number} AS VARCHAR) AS flight" if name.startswith("raw_") else f"{number} AS flight"]
            if row := more.get("row"):
                changed.append(f"{row} + copy * (SELECT count(*) FROM {view}_once) AS {row}")
            source = f"(SELECT * FROM {view}_once, range({copies}) copies(copy))"
            connection.execute(
                f"CREATE VIEW {view} AS SELECT * EXCLUDE (copy) REPLACE ({', '.join(changed)}) FROM {source}"
            )
            return None

        def publish(self, _: Any, rows: Any, *__: Any, **___: Any) -> int:
            return sum(len(batch) for batch in rows) if not hasattr(rows, "num_rows") else rows.num_rows

    known = validate.contracts_of

    def widened(pipeline: Any) -> Any:
        any_flight = gxe.ExpectColumnValuesToBeBetween(column="flight", min_value=1, max_value=10_000 * (copies + 1))
        found = {}
        for name, each in known(pipeline).items():
            rows = {**each.rows, "flight_number": any_flight} if "flight_number" in each.rows else each.rows
            partitions = {rule: one for rule, one in each.partitions.items() if rule != "volume"}
            found[name] = replace(each, rows=rows, partitions=partitions)
        return found

    validate.contracts_of = widened  # type: ignore[assignment]
    pipeline, days = load_pipeline("flight_delay"), Partitions.parse(*YEAR)
    lake = Copies(settings(), pipeline.name)
    run = StageRun("validate", pipeline, days, settings(), lake, "bench", ValidateOptions())
    return validate.execute(run).quarantined


def _measured(how: str, copies: int) -> dict[str, float]:
    """Run one candidate in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.validation", how, str(copies)],
        env=environment(CONTRAIL_MEMORY_LIMIT=LIMIT), cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{how}, {copies} copies: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure() -> str:
    """The year by hand and by the stage, and the stage's memory with ten times the flights."""
    ratio = alternate({how: lambda how=how: _measured(how, 1)["cpu"] for how in ("by_hand", "by_stage")})
    peaks = {copies: _measured("by_stage", copies) for copies in (1, 10)}
    note = "Peak memory with memory_limit 1 GiB: " + "; ".join(
        f"{copies} × the flights {found['peak_mb']:,.0f} MB, {found['cpu']:,.0f} s of processor time"
        for copies, found in peaks.items()
    )
    return table("Validation of the year, processor seconds after the imports, without commits", ratio, note)


def main(how: str, copies: Iterable[str]) -> None:
    """Print what one candidate took."""
    import great_expectations.expectations  # noqa: F401  # both pay for the imports before the clock starts

    import contrail.stages.validate  # noqa: F401

    started, wall = cpu(), time.perf_counter()
    {"by_hand": by_hand, "by_stage": by_stage}[how](int("".join(copies)))
    peak = peak_memory() / 2**20
    print(json.dumps({"cpu": cpu() - started, "wall": time.perf_counter() - wall, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
