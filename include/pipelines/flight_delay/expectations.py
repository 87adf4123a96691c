"""What a good row and a good day of each feed are. Types, nulls, keys and knowledge time are checked for every table.

The limits are wide on purpose: they catch a broken feed (a changed unit, a cut-off file, a foreign row), not a bad day
at the airport. The figures in the comments are those of 2013.
"""

from typing import Any

from contrail.api import Contract, Reference

_ORIGINS = ["EWR", "JFK", "LGA"]
_CARRIER = Reference(("carrier",), "airlines")
# BQN, PSE, SJU and STT are not in airports, so their local times are not known.
_DESTINATION = Reference(("dest",), "airports", to=("faa",), brings=("tzone",), required=False)
_ZONE = "'America/New_York'"


def _clock(zone: str, at: str) -> str:
    """SQL of a UTC time as HHMM on a clock in a zone; null where no such zone is known."""
    local = f"try(timezone({zone}, {at}))"
    return f"hour({local}) * 100 + minute({local})"


def contracts() -> dict[str, Contract]:
    """The contract of each table."""
    return {
        "schedule": schedule(),
        "outcomes": outcomes(),
        "weather": weather(),
        "planes": planes(),
        "airports": airports(),
        "airlines": airlines(),
    }


def schedule() -> Contract:
    """Every flight of the day, announced before it; 634 to 1,014 a day."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={
            "on_its_day": gxe.ExpectColumnPairValuesToBeEqual(column_A="flight_date", column_B="partition_date"),
            "from_new_york": gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=_ORIGINS),
            # This is not a reference, because airports lacks BQN, PSE, SJU and STT.
            "airport_code": gxe.ExpectColumnValuesToMatchRegex(column="dest", regex="^[A-Z]{3}$"),
            "flight_number": _between("flight", 1, 9999),
            "plausible_distance": _between("distance", 10, 6_000),  # miles; 17 (EWR to LGA) to 4,983
            "departure_clock": _between("sched_dep_time", 0, 2359),
            "arrival_clock": _between("sched_arr_time", 0, 2400),
            # These four find a time zone that was taken for another: a local hour marked UTC, a forgotten clock change.
            "departs_on_its_date": gxe.ExpectColumnPairValuesToBeEqual(
                column_A="departure_date", column_B="flight_date"
            ),
            "departs_by_its_clock": gxe.ExpectColumnPairValuesToBeEqual(
                column_A="departure_local", column_B="sched_dep_time"
            ),
            "arrives_by_its_clock": gxe.ExpectColumnPairValuesToBeEqual(
                column_A="arrival_local", column_B="arrival_announced", ignore_row_if="either_value_is_missing"
            ),
            "plausible_duration": _between("scheduled_minutes", 20, 1_080),  # 50 to 700
            "arrives_after_departure": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="sched_arr_at", column_B="sched_dep_at"
            ),
            "departs_after_publication": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="sched_dep_at", column_B="published_at"
            ),
        },
        references={"known_carrier": _CARRIER, "destination": _DESTINATION},
        derived={
            "departure_date": f"timezone({_ZONE}, sched_dep_at)::DATE",
            "departure_local": _clock(_ZONE, "sched_dep_at"),
            "arrival_local": _clock("destination.tzone", "sched_arr_at"),
            "arrival_announced": "sched_arr_time % 2400",
            "scheduled_minutes": "epoch(sched_arr_at - sched_dep_at) / 60",
        },
        partitions={
            "volume": _between("rows", 300, 2_000),
            "all_origins": _between("distinct_origin", 3, 3),
            "published_in_the_evening": _between("known_from_hour", -8, 0),  # -6 is 18:00 of the day before
        },
        max_bad_share=0.02,
    )


def outcomes() -> Contract:
    """Every flight that landed on the day; 259 (a blizzard) to 1,063 a day."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={
            "flight_number": _between("flight", 1, 9999),
            "not_before_its_day": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="partition_date", column_B="flight_date", or_equal=True
            ),
            "registration": gxe.ExpectColumnValuesToMatchRegex(column="tailnum", regex="^[A-Z0-9]{4,6}$"),
            "plausible_dep_delay": _between("dep_delay", -120, 2_880),  # minutes; -43 to 1,301
            "plausible_arr_delay": _between("arr_delay", -180, 2_880),  # minutes; -86 to 1,272
            "plausible_air_time": _between("air_time", 10, 1_080),  # minutes; 20 to 695
            "lands_after_departure": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="landed_at", column_B="departed_at"
            ),
            # These find a time zone that was taken for another, and delays in another unit.
            "departed_after_its_delay": _between("departure_gap", -1, 1),
            "landed_after_its_delay": _between("arrival_gap", -1, 1),
            "plausible_taxi_time": gxe.ExpectColumnValuesToBeBetween(
                column="taxi_minutes", min_value=0, max_value=300, strict_min=True, strict_max=True
            ),  # minutes from gate to gate that were not in the air; 5 to 235
        },
        derived={
            "departure_gap": "epoch(departed_at - scheduled.sched_dep_at) / 60 - dep_delay",
            "arrival_gap": "epoch(landed_at - scheduled.sched_arr_at) / 60 - arr_delay",
            "taxi_minutes": "epoch(landed_at - departed_at) / 60 - air_time",
        },
        references={
            "known_carrier": _CARRIER,
            "scheduled": Reference(
                ("flight_date", "carrier", "flight", "origin"),
                "schedule",
                partition="flight_date",
                days_back=3,
                brings=("sched_dep_at", "sched_arr_at"),
            ),
        },
        partitions={
            "volume": _between("rows", 100, 2_000),
            "all_origins": _between("distinct_origin", 3, 3),
            # Finds a feed that stopped during the day. The last flight of a day landed at 22:58 or later.
            "fed_to_the_evening": gxe.ExpectColumnValuesToBeBetween(column="known_to_hour", min_value=20),
            # Finds seconds instead of minutes.
            "plausible_mean_delay": _between("mean_arr_delay", -60, 300),
        },
        max_bad_share=0.02,
    )


def weather() -> Contract:
    """Hourly observations of the three airports; 57 to 72 a day, none on 31 December."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={
            "of_new_york": gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=_ORIGINS),
            "plausible_temp": _between("temp", -40, 130),  # °F
            "plausible_dewp": _between("dewp", -60, 100),  # °F
            "percent_humid": _between("humid", 0, 100),
            "compass_wind_dir": _between("wind_dir", 0, 360),
            "plausible_wind_speed": _between("wind_speed", 0, 150),  # mph; one row says 1,048
            "plausible_wind_gust": _between("wind_gust", 0, 200),  # mph
            "plausible_precip": _between("precip", 0, 12),  # inches an hour
            "plausible_pressure": _between("pressure", 870, 1_090),  # millibars
            "plausible_visib": _between("visib", 0, 100),  # miles
        },
        partitions={
            "volume": _between("rows", 24, 75),
            "all_origins": _between("distinct_origin", 3, 3),
            "fed_to_the_afternoon": gxe.ExpectColumnValuesToBeBetween(column="known_to_hour", min_value=12),
        },
        max_bad_share=0.1,
    )


def planes() -> Contract:
    """The register of aircraft; 3,322 rows. One flight in six is of an aircraft that it does not list."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={
            "registration": gxe.ExpectColumnValuesToMatchRegex(column="tailnum", regex="^[A-Z0-9]{4,6}$"),
            "plausible_built_year": _between("built_year", 1_920, 2_100),
            "plausible_engines": _between("engines", 1, 8),
            "plausible_seats": _between("seats", 1, 900),
        },
        partitions={"volume": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1_000)},
        max_bad_share=0.01,
    )


def airports() -> Contract:
    """Airports of the United States; 1,458 rows."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={
            "airport_code": gxe.ExpectColumnValuesToMatchRegex(column="faa", regex="^[A-Z0-9]{3}$"),
            "on_earth_lat": _between("lat", -90, 90),
            "on_earth_lon": _between("lon", -180, 180),
            "known_zone": gxe.ExpectColumnValuesToBeInSet(column="zone_is_known", value_set=[True]),
        },
        derived={"zone_is_known": "tzone IS NULL OR try(timezone(tzone, TIMESTAMPTZ '2013-01-01')) IS NOT NULL"},
        partitions={"volume": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=500)},
        max_bad_share=0.01,
    )


def airlines() -> Contract:
    """Names of the carriers; 16 rows."""
    import great_expectations.expectations as gxe

    return Contract(
        rows={"carrier_code": gxe.ExpectColumnValuesToMatchRegex(column="carrier", regex="^[A-Z0-9]{2}$")},
        partitions={"volume": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=10)},
        max_bad_share=0.0,
    )


def _between(column: str, least: float, most: float) -> Any:
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least, max_value=most)
