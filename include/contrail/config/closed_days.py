"""Which days are over: the one rule of the schedule that a DAG's form and the board share."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from contrail.config.spec import PipelineSpec


def newest_closed(spec: PipelineSpec, now: datetime) -> date:
    """The newest partition whose cut-off has passed, at most the pipeline's last one."""
    local = now.astimezone(ZoneInfo(spec.timezone))
    newest = local.date() if local.time() >= spec.cutoff else local.date() - timedelta(days=1)
    return min(newest, spec.last_partition) if spec.last_partition else newest
