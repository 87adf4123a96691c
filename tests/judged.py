"""Rows with predictions in memory, and the sums by which a model is judged."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from contrail.methods.block_sums import BlockSums
from contrail.methods.calibration import stretches
from contrail.methods.decisions import Deciding
from contrail.methods.group_sums import GroupCodes, GroupSums, ModelSums
from contrail.methods.metrics import Task


def model_sums(
    task: Task,
    days: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    groups: Mapping[str, np.ndarray] | None = None,
    period_days: int = 7,
    batch: int = 10_000,
    deciding: Deciding | None = None,
) -> ModelSums:
    """The sums of rows in any order, added in batches as a stage adds them."""
    known, positions, counts = np.unique(days, return_inverse=True, return_counts=True)
    numbers = {name: GroupCodes() for name in groups or {}}
    texts = {name: pa.chunked_array([pa.array(values, pa.string())]) for name, values in (groups or {}).items()}
    codes = [own.add(texts[name]) for name, own in numbers.items()]
    found = ModelSums(
        BlockSums(task, known.tolist(), counts.tolist(), periods=stretches(len(known), period_days), deciding=deciding),
        {name: GroupSums(task, own.rows) for name, own in numbers.items()},
    )
    order = np.lexsort((labels, positions, predictions))
    for start in range(0, len(order), batch):
        own = order[start : start + batch]
        found.add(positions[own], labels[own], predictions[own], [each[own] for each in codes])
    return found.finish()
