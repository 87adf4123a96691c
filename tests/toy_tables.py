"""The toy pipeline's tables, published by hand, so that tests of later stages need no earlier ones."""

import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contrail.adapters import mlflow_store
from contrail.config.settings import RegistrySettings, Settings, settings
from contrail.lake import datasets
from contrail.lake.model_history import AliasMove, append_moves
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions
from tests.pipelines.toy.source import DEPOTS, parcels_of

_BY_HAND = Provenance(run_id="by-hand", stage="test", pipeline_hash="", code_revision="", lock_hash="")


def rows_of(partitions: Partitions) -> pd.DataFrame:
    """Parcels with their features, outcome and partition; the late rate is of the true outcomes, made noisy."""
    days = pd.concat([parcels_of(day) for day in partitions], ignore_index=True).merge(DEPOTS, on="depot")
    days["partition_date"] = days["ship_date"].dt.date
    days["ship_date"] = days["partition_date"]
    days["late_rate_7d"] = np.where(days["depot"] == "C", 0.5, 0.25) + (days["parcel"] % 7) / 100
    days["cutoff_at"] = [datetime(d.year, d.month, d.day, 5, tzinfo=UTC) for d in days["partition_date"]]
    # Deliveries after 20:00 New York become known a day later than the rest.
    late_known = days["delivered_at"].dt.tz_convert("America/New_York").dt.hour >= 20
    days["visible_from"] = [
        d + timedelta(days=2 if late else 1) for d, late in zip(days["partition_date"], late_known, strict=True)
    ]
    return days.sort_values(["partition_date", "parcel"], ignore_index=True)


def publish_toy(toy, start: str, end: str, *, features_end: str | None = None) -> None:  # type: ignore[no-untyped-def]
    """Publish validated_parcels, validated_deliveries and features of these partitions."""
    partitions = Partitions.parse(start, end)
    rows = rows_of(partitions)
    for dataset in (datasets.validated(toy.spec, "parcels"), datasets.validated(toy.spec, "deliveries")):
        _publish(toy, dataset, rows, partitions)
    of_features = Partitions.parse(start, features_end or end)
    _publish(toy, datasets.features(toy.spec), rows[rows["partition_date"] <= of_features.end], of_features)


def publish_heavier(toy, day: str) -> None:  # type: ignore[no-untyped-def]
    """Publish features of a day again, of heavier parcels."""
    rows = toy.lake.scan("features", Partitions.parse(day)).to_pandas()
    rows["weight"] += 1
    _publish(toy, datasets.features(toy.spec), rows, Partitions.parse(day))


def _publish(toy, dataset, rows: pd.DataFrame, partitions: Partitions) -> None:  # type: ignore[no-untyped-def]
    table = pa.Table.from_pandas(rows[list(dataset.columns)], schema=None, preserve_index=False)
    toy.lake.publish(dataset, table, partitions, _BY_HAND)


def skip_what_only_train_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots and no DVC, which take most of a small training run: for tests of the stages after it."""
    from contrail.adapters import data_versions
    from contrail.stages.training import artifacts

    monkeypatch.setattr(artifacts, "draw_all", lambda _, folder: folder.mkdir(parents=True))
    monkeypatch.setattr(data_versions, "add_and_push", lambda _, paths: dict.fromkeys(paths, "0" * 32))


_EMPTY: dict[str, Path] = {}


def copy_empty_registry(settings: Settings) -> None:
    """Give a test's home an MLflow database without runs: making one takes seconds, copying it does not."""
    if not _EMPTY:
        place = Path(tempfile.mkdtemp(prefix="contrail-mlflow-"))
        uris = RegistrySettings(tracking_uri=f"sqlite:///{place}/mlflow.db", artifact_uri=f"file://{place}")
        mlflow_store.client(settings.model_copy(update={"registry": uris})).search_experiments()
        _EMPTY["mlflow"] = place / "mlflow.db"
    database = settings.home_path / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_EMPTY["mlflow"], database)


def record_champion(toy, version: str, effective_from: date, improvement: float | None = None) -> None:
    """A move of the alias champion, later than those to lower versions."""
    now = datetime(2024, 3, 1, int(version), tzinfo=UTC)
    move = AliasMove("champion", None, version, effective_from, now, "why", "pipeline", f"r{version}", improvement)
    append_moves(toy.lake, toy.spec, [move], Provenance(f"r{version}", "promote", "", "", ""))


def untrained(toy) -> None:  # type: ignore[no-untyped-def]
    """Validated tables and features to the middle of February, and an empty registry."""
    publish_toy(toy, "2024-01-01", "2024-02-15")
    copy_empty_registry(settings())
