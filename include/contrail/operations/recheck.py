"""Random predictions, each computed again from its receipt: whether scores and reasons are those that were published."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import groupby
from typing import Any

from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.model_package import ModelPackage
from contrail.operations.receipt import computed_again, features_of, score_column
from contrail.operations.rows_of_key import holder_of, no_predictions, rows_with, said
from contrail.partitions import Partitions
from contrail.stages.base import silent
from contrail.stages.champion import model_of

_NAMED = 20


class Rechecked(Frozen):
    """What came of computing random predictions again.

    ``days`` and ``versions`` count what they are of. ``expired`` counts rows whose features have expired. ``others`` names
    the first rows that came out different.
    """

    rows: int
    same: int
    expired: int
    days: int
    versions: tuple[str, ...]
    others: tuple[str, ...]


def recheck(
    lake: Lake,
    pipeline: Pipeline,
    rows: int,
    seed: int = 0,
    days: Partitions | None = None,
    progress: Callable[[str], None] = silent,
) -> Rechecked:
    """Compute random predictions again, one row at a time, each from its own model and snapshot of features.

    Args:
        lake: The pipeline's tables.
        pipeline: The pipeline.
        rows: How many. Where there are fewer, all.
        seed: Another seed chooses other rows.
        days: Choose from these partitions. Default: all.
        progress: Takes a line for each month.

    Raises:
        MissingInputError: where there are no predictions, or a model is gone.
    """
    spec = pipeline.spec
    if not lake.exists("predictions"):
        raise MissingInputError(f"{spec.name} has no predictions; {no_predictions(lake, spec)}.")
    chosen = rows_with(lake, spec, "predictions", {}, days, sample=(rows, seed)).to_pylist()
    if not chosen:
        raise MissingInputError(f"{spec.name} has no predictions of {days}; {no_predictions(lake, spec)}.")
    models: dict[str, ModelPackage] = {}
    found: list[tuple[Mapping[str, Any], bool | None]] = []
    for (day, version, snapshot), group in groupby(chosen, _made_of):
        if version not in models:
            models[version] = model_of(lake.settings, lake, version).package.of_today(spec)
        if not found or found[-1][0][PARTITION].month != day.month:
            progress(f"computing again from {day} on")
        found += _again(lake, pipeline, models[version], day, snapshot, list(group))
    different = [row for row, same in found if same is False]
    return Rechecked(
        rows=len(found),
        same=sum(same is True for _, same in found),
        expired=sum(same is None for _, same in found),
        days=len({row[PARTITION] for row, _ in found}),
        versions=tuple(models),
        others=tuple(said(spec, {PARTITION: row[PARTITION], **_key(pipeline, row)}) for row in different[:_NAMED]),
    )


def _made_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row[PARTITION], row["model_version"], int(row["feature_snapshot"])


def _key(pipeline: Pipeline, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in pipeline.spec.key}


def _again(
    lake: Lake, pipeline: Pipeline, package: ModelPackage, day: date, snapshot: int, rows: list[dict[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], bool | None]]:
    """Each row of a day, and whether it comes out the same; None where its features have expired."""
    spec, table = pipeline.spec, holder_of(lake, "features", snapshot)
    features = features_of(lake, spec, table, snapshot, day, {}, package) if table else None
    keys = [] if features is None else features.select(list(spec.key)).to_pylist()
    places = {tuple(key.values()): place for place, key in enumerate(keys)}
    for row in rows:
        place = places.get(tuple(_key(pipeline, row).values()))
        if features is None or place is None:
            yield row, None
            continue
        score, same_reasons = computed_again(spec, package, features.slice(place, 1), row)
        yield row, same_reasons and score.hex() == row[score_column(package)].hex()
