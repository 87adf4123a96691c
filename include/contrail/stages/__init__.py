"""The verbs of the chain, one module each, in the order in which a partition passes them."""

from typing import Literal

VERBS = {
    "ingest": "Read landed files into raw_* tables, as they are. Refuse a broken file whole, and keep it.",
    "validate": "Type the rows and check their contract. Bad rows go to quarantine, bad partitions are refused.",
    "features": "Build features from what was known at each partition's cut-off.",
    "train": "Fit a model on a range of partitions and register it as a candidate.",
    "promote": "Put a candidate through the gate on later rows; make it champion if it passes.",
    "score": "Predict every entity of the range with the champion or a pinned model, with reasons.",
    "drift": "Compare each day's features with the days before it, and known labels with predictions; raise drift when it lasts.",
    "performance": "Measure realised quality of the partitions whose labels have arrived.",
}

# Stages that work on a range of partitions. A backfill consists of them.
RANGE_STAGES = ("ingest", "validate", "features", "score", "drift", "performance")
# Those of them that a model is pinned for.
WITH_MODEL = frozenset({"score", "drift"})
# How many commits make the range of a backfill visible: one, one a chunk of days, or one a partition.
Commits = Literal["whole", "chunk", "partition"]
