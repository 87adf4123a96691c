"""The published predictions of days in a few numbers: quantiles, and what their reasons add up to. Never the rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from contrail.config.names import quoted
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.sessions import session

_QUANTILES = [round(0.05 * number, 2) for number in range(1, 20)]
# Contributions are added up in these, exactly, so that no order of rows changes a digit.
_PARTS = 10**12


@dataclass(frozen=True)
class PredictedCounts:
    """The predictions of a day by the version that made most of them. ``reasons`` adds up the sizes of contributions."""

    version: str
    rows: int
    quantiles: tuple[float, ...]
    reasons: dict[str, float]


def predicted_counts(
    lake: Lake, spec: PipelineSpec, days: Iterable[date], snapshot: int | None = None
) -> dict[date, PredictedCounts]:
    """Count the predictions of each day that has any."""
    with session(lake.settings) as connection:
        lake.view(connection, "predictions", "predictions", days, snapshot_id=snapshot)
        scores = connection.sql(
            f"SELECT {PARTITION}, model_version, count(*), quantile_disc({quoted(spec.prediction_column)}, {_QUANTILES}) "
            "FROM predictions GROUP BY ALL ORDER BY 1, 3, 2"
        ).fetchall()
        there = set(connection.table("predictions").columns)
        parts = [
            f"SELECT {PARTITION}, model_version, reason_{k} AS name, reason_{k}_contribution AS size FROM predictions"
            for k in range(1, spec.score.reasons + 1)
            if f"reason_{k}" in there
        ]
        whole = f"sum(CAST(round(abs(size) * {_PARTS}) AS HUGEINT))"
        reasons = (
            connection.sql(
                f"SELECT {PARTITION}, model_version, name, {whole} FROM ({' UNION ALL '.join(parts)}) "
                "WHERE name IS NOT NULL AND isfinite(size) GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            if parts
            else []
        )
    sums: dict[tuple[date, str], dict[str, float]] = {}
    for day, version, name, size in reasons:
        sums.setdefault((day, version), {})[name] = int(size) / _PARTS
    # Of the versions of a day the one with most rows comes last.
    return {
        day: PredictedCounts(version, rows, tuple(quantiles), sums.get((day, version), {}))
        for day, version, rows, quantiles in scores
    }
