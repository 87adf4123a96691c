"""The view Models: champions over time, each version's evidence beside the champion's, and the plan of a rollback.

The answer to a waiting question goes from the browser to Airflow itself, which checks who may give it.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path
from fastapi.responses import Response

from contrail.config.settings import settings
from contrail_airflow.page.access import Person, Seen, may_start
from contrail_airflow.page.frames import framed
from contrail_airflow.page.reading import lake_of
from contrail_airflow.roles import APPROVERS

router = APIRouter(prefix="/api/{pipeline}/models")
Version = Annotated[str, Path(pattern=r"^[0-9]{1,9}$")]


@router.get("")
def models(pipeline: Seen) -> dict[str, Any]:
    """The versions and their history, and where MLflow shows them."""
    from contrail.operations.models import models as read

    return {**read(lake_of(pipeline), pipeline).as_dict(), "mlflow": mlflow_address()}


@router.get("/{version}")
def evidence(pipeline: Seen, version: Version) -> dict[str, Any]:
    """A version's decision record and training, beside the champion's."""
    from contrail.operations.models import evidence as read

    return read(lake_of(pipeline), pipeline, version).as_dict()


@router.get("/{version}/card", response_class=Response)
def card(pipeline: Seen, version: Version) -> Response:
    """The model card of a version, as of now."""
    from contrail.reports.model_card import render_model_card
    from contrail.stages.model_cards import card_records

    return framed(render_model_card(card_records(lake_of(pipeline), pipeline, version)))


@router.get("/{version}/rollback")
def rollback(pipeline: Seen, person: Person, version: Version) -> dict[str, Any]:
    """What a rollback to a version would do, and the configuration with which ``__rollback`` does exactly this.

    Planning changes nothing. Airflow itself starts the run, so that it checks the right and keeps its audit log. The run of
    an approver begins at once, and any other waits for an approver: ``may`` is start, ask, or read.
    """
    from contrail.operations.rollback_model import plan_rollback

    plan = plan_rollback(pipeline, lake_of(pipeline), version)
    starts = may_start(person, pipeline.name, "rollback")
    return {
        "plan": plan.result().as_dict(),
        "may": ("start" if person.get_name() in APPROVERS else "ask") if starts else "read",
        "dag_id": f"{pipeline.name}__rollback",
        "conf": {"version": plan.to, "take_back": plan.bad},
        "command": f'contrail rollback-model -p {pipeline.name} --to {version} --reason "…"',
    }


def mlflow_address() -> str | None:
    """Where a browser finds MLflow: the embedded one while it runs, or a server with a public name; None otherwise."""
    from contrail_airflow.local.embedded import Embedded

    started = Embedded(settings()).state()
    if started.mlflow_running:
        return started.mlflow_url
    address = settings().registry.tracking_uri
    host = urlsplit(address).hostname or ""
    # A bare name, as `mlflow` in Compose, is known only to the machines beside it.
    return address.rstrip("/") if address.startswith(("http://", "https://")) and "." in host else None
