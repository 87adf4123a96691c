"""Whether predictions that were made again are better, on the rows whose outcome is known.

How scores and decisions moved, on all rows, belongs to ``difference``.
"""

from contrail.config.names import listed, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import make_labels
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.methods.metrics import HEADLINE
from contrail.partitions import Partitions
from contrail.reports.backfill_record import Quality

# As in ``methods.metrics``: a certain but wrong prediction costs 34.5, not infinity.
_SMALLEST = 1e-15


def quality_of(lake: Lake, spec: PipelineSpec, partitions: Partitions, before: int, after: int) -> Quality | None:
    """Measure both sides on the rows that both predicted and whose labels are mature.

    Args:
        lake: Has the tables.
        spec: Defines the label.
        partitions: The compared range.
        before: Snapshot of ``predictions``.
        after: The other.

    Returns:
        The metric by which promotion judges, before and after. None without such rows.
    """
    if not {f"validated_{spec.entities}", f"validated_{spec.label.table}"} <= set(lake.table_names()):
        return None
    score, keys = spec.prediction_column, (PARTITION, *spec.key)
    columns = [*keys, score, *(["decision"] if spec.task == "binary" else [])]
    with session(lake.settings) as connection:
        for side, snapshot in (("b", before), ("a", after)):
            lake.view(connection, side, "predictions", partitions, columns, snapshot)
        make_labels(connection, lake, spec, list(partitions))
        flipped = right = "NULL"
        if spec.task == "binary":
            flipped = "count_if(a.decision <> b.decision)"
            right = "count_if(a.decision <> b.decision AND a.decision = (label = 1))"
        loss_before, loss_after = (_loss(spec, f"{side}.{quoted(score)}") for side in ("b", "a"))
        ((rows, old, new, flips, better),) = connection.sql(
            f"SELECT count(*), {loss_before}, {loss_after}, {flipped}, {right} "
            f"FROM labels JOIN b USING ({listed(keys)}) JOIN a USING ({listed(keys)})"
        ).fetchall()
    if not rows:
        return None
    return Quality(metric=HEADLINE[spec.task], rows=rows, before=old, after=new, flipped=flips, flipped_right=better)


def _loss(spec: PipelineSpec, score: str) -> str:
    if spec.task == "regression":
        return f"sqrt(avg(({score} - label) ** 2))"
    likely = f"CASE WHEN label = 1 THEN {score} ELSE 1 - {score} END"
    return f"-avg(ln(greatest({likely}, {_SMALLEST})))"
