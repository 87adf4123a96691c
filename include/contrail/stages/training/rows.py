"""The labelled rows of the training window: read in one state of the tables, checked, and versioned with DVC."""

from datetime import timedelta

import numpy as np
import pyarrow.parquet as pq
from upath import UPath

from contrail.adapters import data_versions
from contrail.adapters.landed_files import first_irregular
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, MissingInputError
from contrail.lake.labels import immature_days, read_training_rows
from contrail.methods.splits import Split
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions
from contrail.stages.training.base import TrainingWindow

TRAINING_SET = "training_set"
_READS = 5


def read_window(run: StageRun[TrainOptions]) -> TrainingWindow:
    """Read the rows in one state of the tables. Read them again if a table was published meanwhile.

    Raises:
        MissingInputError: when the range has no labelled rows.
    """
    spec = run.pipeline.spec
    as_of = run.partitions.end + timedelta(days=1)
    names = ("features", f"validated_{spec.entities}", f"validated_{spec.label.table}")
    before = {name: run.lake.snapshot_id(name) for name in names}
    for _ in range(_READS):
        rows = read_training_rows(run.lake, spec, run.partitions, as_of=as_of).combine_chunks()
        after = {name: run.lake.snapshot_id(name) for name in names}
        if after == before:
            break
        before = after
    if rows.num_rows == 0:
        raise MissingInputError(
            f"{run.pipeline.name}: no row of {run.partitions} has both features and a label, of a day whose labels were all "
            f"known by {as_of}. Run validate and features for these partitions first (contrail status --pipeline "
            f"{run.pipeline.name})."
        )
    immature = immature_days(run.lake, spec, run.partitions, as_of)
    if immature:
        run.progress(f"left out {', '.join(immature)}: not all labels were known at the cut-off of {as_of}")
    return TrainingWindow(rows, after, as_of, immature)


def check_labels(spec: PipelineSpec, window: TrainingWindow, split: Split) -> None:
    """Refuse a part of the window from which no model can learn.

    Raises:
        MissingInputError: when it has no labelled rows.
        DataError: when a binary task's labels are all the same.
    """
    parts = zip(("fit", "validation"), split.masks(window.days), (split.fit, split.validation), strict=True)
    for name, rows, days in parts:
        labels = window.labels[rows]
        if not len(labels):
            raise MissingInputError(f"{spec.name}: no labelled rows in {days}, which is the {name} part of the window")
        if spec.task == "binary" and len(np.unique(labels)) < 2:
            raise DataError(
                f"{spec.name}: all {len(labels):,} labels of the {name} part {days} are {labels[0]:g}; "
                f"no model can learn from them. Check label.expression ({spec.label.expression})."
            )


def version_window(run: StageRun[TrainOptions], window: TrainingWindow) -> dict[str, str]:
    """Write the training set, version it and the landed files with DVC, and keep its snapshots from expiring.

    Returns:
        The MD5 of ``training_set``, and of ``landed_files`` where they are on this machine.
    """
    folder = run.settings.home_path / "training_sets" / run.pipeline.name
    path = folder / f"{run.partitions.start}_{run.partitions.end}" / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(window.rows, path, compression="zstd")
    landed = run.settings.home_path / "landing" / run.pipeline.name
    paths = {TRAINING_SET: path}
    if run.settings.landing_uri == str(landed.parent) and landed.exists():
        # DVC follows every link, and waits for every pipe.
        if odd := first_irregular(UPath(landed)):
            run.progress(f"the landed files are not versioned: {odd} is no regular file of the landing zone")
        else:
            paths["landed_files"] = landed
    hashes = data_versions.add_and_push(run.settings, list(paths.values()))
    run.progress(f"training set is {hashes[path]} in DVC")
    for name, snapshot in window.snapshots.items():
        if snapshot is not None and run.options.registered:
            run.lake.tag(name, snapshot, f"training-{snapshot}")
    return {name: hashes[own] for name, own in paths.items()}
