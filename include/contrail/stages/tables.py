"""Which tables of the lake a stage reads and publishes. What it does with them belongs to the stage."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import Dataset
from contrail.lake.records import all_datasets

_USED: Mapping[str, tuple[str, ...]] = {
    "ingest": ("raw_*", "refusals"),
    "validate": ("raw_*", "validated_*", "mended", "quarantine", "refusals", "profiles"),
    "features": ("validated_*", "features"),
    "train": ("validated_*", "features"),
    "tune": ("validated_*", "features"),
    "promote": ("validated_*", "features", "performance", "model_history"),
    "score": ("validated_*", "features", "predictions*", "drift_profiles"),
    "drift": ("validated_*", "features", "predictions", "drift", "drift_profiles"),
    "performance": ("validated_*", "features", "predictions*", "performance", "estimates", "segment_quality"),
    "govern": ("drift", "performance", "governor", "model_history"),
    "publish": ("predictions", "performance", "drift"),
}


def tables_of(stage: str, spec: PipelineSpec) -> list[Dataset]:
    """Return the tables that a stage reads or publishes, as the spec defines them."""
    patterns = _USED.get(stage, ())
    return [
        dataset
        for name, dataset in all_datasets(spec).items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
