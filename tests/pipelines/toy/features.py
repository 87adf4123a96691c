"""Features of the parcels of a day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contrail.api import FeatureWindow, asked_rows, describe, rolling


def build(tables: dict[str, DataFrame], window: FeatureWindow) -> DataFrame:
    """One row a parcel: its weight, its depot, and how late the depot's parcels were last week."""
    depots = tables["parcels"].select("ship_date", "parcel", "depot")
    known = tables["deliveries"].join(depots, on=["ship_date", "parcel"], how="inner")
    late = {"late": (F.col("delay") > 15).cast("double")}
    past = rolling(known, window, by=["depot"], days=[7], means=late, prefix="depot")
    rows = describe(asked_rows(tables["parcels"], window).join(tables["depots"], on="depot", how="left"), past)
    return rows.select(
        "partition_date",
        "ship_date",
        "parcel",
        "depot",
        "weight",
        "distance",
        F.col("depot_late_7d").alias("late_rate_7d"),
    )
