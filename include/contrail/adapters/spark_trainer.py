"""Executors of Apache Spark grow trees together, through ``xgboost.spark``.

The number of rounds, early stopping and checkpoints belong to methods.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from contrail.adapters.executors import own_errors, session_with_code
from contrail.config.settings import EngineSettings
from contrail.errors import SpecError
from contrail.files import remove_folder
from contrail.methods.boosting import Grow, History, Params
from contrail.methods.encoded_rows import Rows
from contrail.methods.encoding import feature_types
from contrail.methods.matrices import TrainingRows
from contrail.methods.trainer import Device, WantedDevice

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

# One column of arrays. With one column per feature, xgboost.spark 3.2 loses a batch without validation rows.
_FEATURES, _LABEL, _CHECK, _START = "features", "label", "check", "start"
_FILE_ROWS = 1_000_000
_GPUS = "spark.executor.resource.gpu.amount"


@dataclass(frozen=True)
class SparkTrainer:
    """A number of Spark tasks that grow trees together. Rows are staged in ``folder``, which is removed later."""

    engine: EngineSettings
    workers: int
    folder: UPath

    def device(self, wanted: WantedDevice, rows: int) -> Device:
        """Choose as ``Trainer.device`` does, but take GPUs for any number of rows if Spark gives its executors some."""
        gpus = session_with_code(self.engine).sparkContext.getConf().get(_GPUS)
        if wanted == "cuda" and not gpus:
            raise SpecError(f"train.device is cuda, but {_GPUS} is not set for Spark's executors. Use auto or cpu.")
        return "cuda" if gpus and wanted != "cpu" else "cpu"

    @contextmanager
    def holding(self, rows: TrainingRows, chosen: Rows, params: Params, check: Rows | None = None) -> Iterator[Grow]:
        """Hold rows as ``Trainer.holding`` does.

        Raises:
            ContrailError: while growing, when Spark does not finish.
        """
        from xgboost.spark import SparkXGBRegressor

        logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
        self._stage(rows, chosen, check)

        def grow(
            params: Params, rounds: int, model: bytes | None, callbacks: "Sequence[TrainingCallback]"
        ) -> tuple["xgboost.Booster", History]:
            # Spark decides how many threads an executor has.
            values = {name: value for name, value in params.items() if name != "nthread"}
            estimator = SparkXGBRegressor(
                **values,
                features_col=_FEATURES,
                feature_names=list(rows.names),
                feature_types=feature_types(rows.names, rows.categories),
                label_col=_LABEL,
                base_margin_col=_START if rows.offset else None,
                validation_indicator_col=_CHECK if check is not None else None,
                n_estimators=rounds,
                num_workers=self.workers,
                # Otherwise, with as many files as workers, one worker may get all validation rows and no training rows.
                force_repartition=True,
                xgb_model=_booster(model),
                callbacks=list(callbacks),
                verbose=False,
            )
            with own_errors():
                fitted = estimator.fit(session_with_code(self.engine).read.parquet(str(self.folder)))
            seen = fitted.training_summary
            parts = {"fit": seen.train_objective_history, "validation": seen.validation_objective_history}
            return fitted.get_booster(), parts if check is not None else {}

        try:
            yield grow
        finally:
            remove_folder(self.folder)

    def _stage(self, rows: TrainingRows, chosen: Rows, check: Rows | None) -> None:
        """Write the encoded rows to the folder that executors read."""
        remove_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = [(chosen, False), *([(check, True)] if check is not None else [])]
        for part, checks in parts:
            for number, table in enumerate(_files(rows, part, checks)):
                path = self.folder / f"{'check' if checks else 'learn'}-{number:05d}.parquet"
                with path.open("wb") as file:
                    pq.write_table(table, file)


def _files(rows: TrainingRows, chosen: Rows, checks: bool) -> Iterator[pa.Table]:
    """Make the table of each file. Spark deals rows out by their files, so other files would give other trees."""
    held: list[pa.Table] = []
    for matrix, labels in rows.batches(chosen):
        features = pa.FixedSizeListArray.from_arrays(rows.blinded(matrix).ravel(), matrix.shape[1])
        columns = {_FEATURES: features, _LABEL: labels, _CHECK: np.full(len(labels), checks)}
        columns |= {_START: rows.starts(matrix)} if rows.offset else {}
        held.append(pa.table(columns))
        found = pa.concat_tables(held)
        while len(found) >= _FILE_ROWS:
            yield found.slice(0, _FILE_ROWS)
            found = found.slice(_FILE_ROWS)
        held = [found]
    yield from (last for last in held if len(last))


def _booster(model: bytes | None) -> "xgboost.Booster | None":
    import xgboost

    return xgboost.Booster(model_file=bytearray(model)) if model else None
