"""The view Board: partitions × stages, the card of a cell, and the plan of a backfill of chosen days."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from contrail.config.settings import settings
from contrail.frozen import Frozen
from contrail.partitions import Partitions
from contrail_airflow.page.access import Backfilled, Seen
from contrail_airflow.page.reading import lake_of
from contrail_airflow.page.runs import Run, runs_of

router = APIRouter(prefix="/api/{pipeline}")


class Asked(Frozen):
    """A backfill as the page asks for its plan. The names are those of the DAG's form."""

    first: date
    last: date
    stages: tuple[str, ...] = ("features", "score")
    model: str = "champion"
    commits: Literal["whole", "chunk", "partition"] = "whole"


@router.get("/board")
def board(pipeline: Seen, last: date | None = None, span: Annotated[int, Query(ge=1, le=1100)] = 366) -> dict[str, Any]:
    """The board of some days, and what Airflow is doing with them."""
    from contrail.operations.board import board as read

    found = read(lake_of(pipeline), pipeline, last, span)
    window = Partitions(found.days[0].day, found.days[-1].day)
    runs = [run.as_dict() for run in runs_of(pipeline, window) if run.state != "success"]
    return {**found.model_dump(mode="json", exclude_defaults=True), "runs": runs}


@router.get("/board/events")
def events(pipeline: Seen) -> list[dict[str, Any]]:
    """What happened to models. It is apart from the board, which needs no registry."""
    from contrail.operations.model_events import model_events as read

    return [one.as_dict() for one in read(lake_of(pipeline), pipeline)]


@router.get("/board/{day}/{stage}")
def card(pipeline: Seen, day: date, stage: str) -> dict[str, Any]:
    """Everything about one cell, and the run of Airflow that last worked on it."""
    from contrail.operations.card import card as read

    found = read(lake_of(pipeline), pipeline, day, stage)
    runs: list[Run] = [run for run in runs_of(pipeline, Partitions(day, day)) if stage in run.stages]
    return {**found.as_dict(), "runs": [run.as_dict() for run in runs]}


@router.post("/plan")
def plan(pipeline: Backfilled, asked: Asked) -> dict[str, Any]:
    """What a backfill would do, and the configuration with which ``__backfill`` does exactly this.

    Planning writes nothing. Airflow itself starts the backfill, so that it checks the right and keeps its audit log.
    """
    from contrail.operations.backfill_planner import make_plan
    from contrail.operations.backfill_request import Request

    request = Request(Partitions(asked.first, asked.last), asked.stages, asked.model, asked.commits)
    found = make_plan(pipeline, settings(), lake_of(pipeline), request).summary()
    conf = {
        "from": str(asked.first),
        "to": str(asked.last),
        "stages": list(asked.stages),
        "model": found.model or asked.model,
        "commits": asked.commits,
    }
    return {"plan": found.as_dict(), "dag_id": f"{pipeline.name}__backfill", "conf": conf}
