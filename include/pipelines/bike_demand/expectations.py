"""What a good hour, count and day of weather are. Types, nulls, keys and knowledge time are checked for every table."""

from contrail.api import Contract, Reference

_STARTS = "timezone('America/New_York', starts_at)"


def contracts() -> dict[str, Contract]:
    """The contract of each table."""
    import great_expectations.expectations as gxe

    hour = gxe.ExpectColumnValuesToBeBetween(column="hour", min_value=0, max_value=23)
    # The day on which the clock goes forward has 23 hours; a day that is cut off has fewer.
    whole_day = gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=23, max_value=24)
    return {
        "hours": Contract(
            rows={
                "hour_of_the_clock": hour,
                "starts_on_its_date": gxe.ExpectColumnPairValuesToBeEqual(column_A="start_date", column_B="ride_date"),
                "starts_by_its_clock": gxe.ExpectColumnPairValuesToBeEqual(column_A="start_hour", column_B="hour"),
            },
            derived={"start_date": f"{_STARTS}::DATE", "start_hour": f"hour({_STARTS})"},
            partitions={
                "whole_day": whole_day,
                # -6 is 18:00 of the day before.
                "published_in_the_evening": gxe.ExpectColumnValuesToBeBetween(
                    column="known_from_hour", min_value=-8, max_value=0
                ),
            },
        ),
        "counts": Contract(
            rows={
                "hour_of_the_clock": hour,
                # The largest count of nine years is 2,021.
                "plausible_rides": gxe.ExpectColumnValuesToBeBetween(column="rides", min_value=0, max_value=10_000),
                # The hour that the autumn change repeats is a single row, which takes two hours.
                "counted_after_its_hour": gxe.ExpectColumnValuesToBeInSet(
                    column="counted_minutes", value_set=[60, 120]
                ),
            },
            references={
                "hour_is_announced": Reference(
                    ("ride_date", "hour"), "hours", partition="ride_date", brings=("starts_at",)
                )
            },
            derived={"counted_minutes": "epoch(counted_at - hour_is_announced.starts_at) / 60"},
            partitions={"whole_day": whole_day},
        ),
        "weather": Contract(
            rows={
                "coldest_not_above_warmest": gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                    column_A="temp_max", column_B="temp_min", or_equal=True
                ),
                "plausible_temp_min": gxe.ExpectColumnValuesToBeBetween(column="temp_min", min_value=-30, max_value=40),
                "plausible_temp_max": gxe.ExpectColumnValuesToBeBetween(column="temp_max", min_value=-25, max_value=45),
                "plausible_precipitation": gxe.ExpectColumnValuesToBeBetween(
                    column="precipitation", min_value=0, max_value=300
                ),
            },
            partitions={
                "one_row": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1, max_value=1),
                "known_at_the_end": gxe.ExpectColumnValuesToBeBetween(column="known_from_hour", min_value=23),
            },
        ),
    }
