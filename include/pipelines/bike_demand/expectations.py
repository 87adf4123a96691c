"""What a good hour, count and day of weather are. Types, nulls, keys and knowledge time are checked for every table."""

from contrail.api import Contract, Reference


def contracts() -> dict[str, Contract]:
    """The contract of each table."""
    import great_expectations.expectations as gxe

    hour = gxe.ExpectColumnValuesToBeBetween(column="hour", min_value=0, max_value=23)
    # The day on which the clock goes forward has 23 hours; a day that is cut off has fewer.
    whole_day = gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=23, max_value=24)
    return {
        "hours": Contract(rows={"hour_of_the_clock": hour}, partitions={"whole_day": whole_day}),
        "counts": Contract(
            rows={
                "hour_of_the_clock": hour,
                # The largest count of nine years is 2,021.
                "plausible_rides": gxe.ExpectColumnValuesToBeBetween(column="rides", min_value=0, max_value=10_000),
            },
            references={"hour_is_announced": Reference(("ride_date", "hour"), "hours", partition="ride_date")},
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
            partitions={"one_row": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1, max_value=1)},
        ),
    }
