"""The view Predictions: volumes, scores, decisions, realised quality and drift by day, and any day by segment."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from contrail.partitions import Partitions
from contrail_airflow.page.access import Seen
from contrail_airflow.page.reading import lake_of

router = APIRouter(prefix="/api/{pipeline}/predictions")


@router.get("")
def predictions(
    pipeline: Seen, last: date | None = None, span: Annotated[int, Query(ge=1, le=1100)] = 92
) -> dict[str, Any]:
    """The predictions of some days."""
    from contrail.operations.prediction_days import prediction_days

    return prediction_days(lake_of(pipeline), pipeline, last, span).as_dict()


@router.get("/segment")
def segment(pipeline: Seen, name: str, first: date, last: date) -> list[dict[str, Any]]:
    """The predictions of some days by the values of one feature."""
    from contrail.operations.prediction_days import segment as read

    return [group.as_dict() for group in read(lake_of(pipeline), pipeline, name, Partitions(first, last))]
