"""The public API: everything that a use case under ``include/pipelines`` may import.

Only names are gathered here; a name stays once it is published.
"""

from upath import UPath

from contrail.adapters.contracts import Contract, Reference
from contrail.adapters.landing import land_daily, land_reference
from contrail.methods.windows import Described, FeatureWindow, asked_rows, describe, latest, rolling, timely
from contrail.partitions import Partitions

__all__ = [
    "Contract",
    "Described",
    "FeatureWindow",
    "Partitions",
    "Reference",
    "UPath",
    "asked_rows",
    "describe",
    "land_daily",
    "land_reference",
    "latest",
    "rolling",
    "timely",
]
