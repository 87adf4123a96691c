"""The view Predictions: volumes, scores, decisions, realised quality and drift by day, and any day by segment."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from contrail.partitions import Partitions
from contrail_airflow.page.access import Seen
from contrail_airflow.page.reading import lake_of

Text = Annotated[str | None, Query(max_length=500)]
router = APIRouter(prefix="/api/{pipeline}/predictions")


@router.get("")
def predictions(
    pipeline: Seen, last: date | None = None, span: Annotated[int, Query(ge=1, le=1100)] = 92,
    by: Text = None, of: Text = None,
) -> dict[str, Any]:  # fmt: skip
    """The predictions of some days; those of a segment where ``by`` names a feature and ``of`` its value."""
    from contrail.operations.prediction_days import prediction_days
    from contrail.operations.prediction_segments import Segment

    segment = None if by is None or of is None else Segment(name=by, value=of)
    return prediction_days(lake_of(pipeline), pipeline, last, span, segment).as_dict()


@router.get("/segment")
def segment(pipeline: Seen, name: str, first: date, last: date) -> list[dict[str, Any]]:
    """The predictions of some days by the values of one feature, with their quality."""
    from contrail.operations.prediction_segments import groups

    return [group.as_dict() for group in groups(lake_of(pipeline), pipeline, name, Partitions(first, last))]
