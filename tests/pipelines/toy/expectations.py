"""What good parcels, deliveries and depots are."""

from great_expectations import expectations as gxe

from contrail.api import Contract, Reference


def contracts() -> dict[str, Contract]:
    """The contract of each table."""
    return {
        "parcels": Contract(
            rows={
                "shipped_on_partition": gxe.ExpectColumnPairValuesToBeEqual(
                    column_A="ship_date", column_B="partition_date"
                ),
                "weight_range": gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0, max_value=1000),
            },
            references={"known_depot": Reference(("depot",), "depots")},
            partitions={"volume": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=10, max_value=500)},
            max_bad_share=0.1,
        ),
        "deliveries": Contract(
            rows={"delay_range": gxe.ExpectColumnValuesToBeBetween(column="delay", min_value=-1000, max_value=10000)},
            references={
                "scheduled": Reference(("ship_date", "parcel"), "parcels", partition="ship_date"),
            },
            partitions={
                "feed_to_the_evening": gxe.ExpectColumnValuesToBeBetween(column="known_to_hour", min_value=18),
            },
            max_bad_share=0.1,
        ),
        "depots": Contract(
            rows={"distance_range": gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=0, max_value=500)},
            max_bad_share=0.0,
        ),
    }
