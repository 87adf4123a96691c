"""What decisions cost and brought on each day, and what intervals held, from published predictions with their labels.

The order of a day's rows changes no digit: its sums are of whole numbers, or sorted. What a model decides does not belong here.
"""

from collections.abc import Mapping
from datetime import date

import duckdb

from contrail.config.model_spec import CostSpec, ScoreSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.sessions import session
from contrail.methods.decisions import COST
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

DayValues = Mapping[tuple[date, str, bool], Mapping[str, float]]

# Probabilities are added up in these, exactly.
_PARTS = 10**12


def values_of_days(connection: duckdb.DuckDBPyConnection, score: ScoreSpec) -> DayValues:
    """Compute what only some specs ask for of each day, version and shadow, from the table ``joined`` of ``stages.quality``.

    Args:
        connection: The session with the table.
        score: Says what is asked for.

    Returns:
        Of the labelled rows: ``cost_per_row``, ``expected_value`` and ``realised_value`` with costs; ``coverage`` and
        ``interval_width`` with intervals.
    """
    if score.costs is not None:
        return _worth(connection, score.costs)
    return {} if score.interval is None else _covered(connection)


def _worth(connection: duckdb.DuckDBPyConnection, costs: CostSpec) -> DayValues:
    counted = connection.sql(
        f"SELECT {PARTITION}, model_version, shadow, count(*), count(*) FILTER (decision), "
        "count(*) FILTER (decision AND label > 0.5), count(*) FILTER (NOT decision AND label > 0.5), "
        f"sum({_whole('prediction')}) FILTER (decision) FROM joined WHERE label IS NOT NULL GROUP BY ALL"
    ).fetchall()
    return {
        (day, version, shadow): _values(costs, rows, flagged, found, missed, int(likely or 0) / _PARTS)
        for day, version, shadow, rows, flagged, found, missed, likely in counted
    }


def _covered(connection: duckdb.DuckDBPyConnection) -> DayValues:
    counted = connection.sql(
        f"SELECT {PARTITION}, model_version, shadow, count(*), count(*) FILTER (label BETWEEN lower AND upper), "
        "fsum(upper - lower ORDER BY upper - lower) FROM joined "
        "WHERE label IS NOT NULL AND lower IS NOT NULL GROUP BY ALL"
    ).fetchall()
    return {
        (day, version, shadow): {"coverage": inside / rows, "interval_width": width / rows}
        for day, version, shadow, rows, inside, width in counted
    }


def expected_of(run: StageRun[StageOptions], snapshot: int | None) -> float | None:
    """Compute what flagging would save over a range that was scored, by its probabilities. None without costs."""
    costs = run.pipeline.spec.score.costs
    if costs is None:
        return None
    with session(run.settings) as connection:
        run.lake.view(connection, "predictions", "predictions", run.partitions, snapshot_id=snapshot)
        ((flagged, likely),) = connection.sql(
            f"SELECT count(*), sum({_whole('probability')}) FROM predictions WHERE decision"
        ).fetchall()
    found = saved(costs, flagged, int(likely or 0) / _PARTS)
    run.progress(f"flagging {flagged:,} rows saves an expected {costs.amount(found)} beside flagging none")
    return found


def _values(costs: CostSpec, rows: int, flagged: int, found: int, missed: int, likely: float) -> dict[str, float]:
    return {
        COST: (costs.false_alarm * (flagged - found) + costs.miss * missed) / rows,
        "expected_value": saved(costs, flagged, likely),
        "realised_value": saved(costs, flagged, found),
    }


def saved(costs: CostSpec, flagged: int, found: float) -> float:
    """Compute what flagging rows saves beside flagging none, when so many of the labels are true."""
    return costs.miss * found - costs.false_alarm * (flagged - found)


def _whole(column: str) -> str:
    return f"CAST(round({column} * {_PARTS}) AS BIGINT)"
