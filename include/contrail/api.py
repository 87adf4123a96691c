"""The public API: everything that a use case under ``include/pipelines`` may import.

This module only gathers names. A published name stays. Each has a docstring with an example that runs as a test: see
``help(contrail.api.rolling)``. ``UPath`` is the path of ``universal_pathlib``, on disk or in a bucket.
"""

from upath import UPath

from contrail.adapters.contracts import Contract, Reference
from contrail.adapters.landing import land_daily, land_reference
from contrail.methods.grains import Part
from contrail.methods.windows import Described, FeatureWindow, asked_rows, describe, latest, of_day, rolling, timely
from contrail.partitions import Partitions

__all__ = [
    "Contract",
    "Described",
    "FeatureWindow",
    "Part",
    "Partitions",
    "Reference",
    "UPath",
    "asked_rows",
    "describe",
    "land_daily",
    "land_reference",
    "latest",
    "of_day",
    "rolling",
    "timely",
]
