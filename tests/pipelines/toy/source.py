"""Made-up parcels: heavy parcels from far depots are late more often, with a seed of its own for each day."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from upath import UPath

from contrail.api import Partitions, land_daily, land_reference

DEPOTS = pd.DataFrame({"depot": ["A", "B", "C"], "distance": [5.0, 20.0, 60.0]})
PARCELS = 60
ZONE = "America/New_York"


def parcels_of(day: date) -> pd.DataFrame:
    """The parcels of a day with their (later) outcome."""
    rng = np.random.default_rng(day.toordinal())
    depot = rng.integers(0, 3, PARCELS)
    weight = np.round(rng.gamma(2.0, 3.0, PARCELS), 2)
    odds = -2.5 + 0.25 * weight + 1.2 * (depot == 2)
    late = rng.random(PARCELS) < 1 / (1 + np.exp(-odds))
    midnight = pd.Timestamp(day, tz=ZONE)
    hours = pd.to_timedelta(rng.integers(8, 22, PARCELS), unit="h")
    delay = np.where(late, rng.integers(16, 60, PARCELS), rng.integers(-10, 15, PARCELS)).astype(float)
    return pd.DataFrame(
        {
            "ship_date": pd.Timestamp(day),
            "parcel": np.arange(PARCELS),
            "depot": DEPOTS["depot"].to_numpy()[depot],
            "weight": weight,
            "booked_at": (midnight - pd.Timedelta(hours=6)).tz_convert("UTC"),
            "delay": delay,
            "delivered_at": (midnight + hours).tz_convert("UTC"),
        }
    )


def land(landing: UPath, partitions: Partitions) -> int:
    """Write the files of these days."""
    days = pd.concat([parcels_of(day) for day in partitions], ignore_index=True)
    written = land_reference(landing, "depots", DEPOTS)
    written += land_daily(
        landing,
        "parcels",
        days[["ship_date", "parcel", "depot", "weight", "booked_at"]],
        "ship_date",
        partitions,
    )
    known = Partitions(partitions.start - timedelta(days=1), partitions.end)
    outcomes = days[["ship_date", "parcel", "delay", "delivered_at"]]
    return written + land_daily(landing, "deliveries", outcomes, "delivered_at", known, ZONE)
