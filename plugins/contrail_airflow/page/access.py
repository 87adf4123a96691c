"""Who may ask the page for what. Airflow does not protect a mounted app, so each endpoint names a right of this module.

Airflow's own auth manager decides, for the Simple one and for any other. ``app.make_app`` refuses an endpoint without a
right. A pipeline that somebody may not see does not exist for them.
"""

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException

from contrail.config.pipeline import Pipeline, load_pipeline, pipeline_names
from contrail_airflow.dags.file import NAMES

# The verbs of Airflow's own API.
_READ, _START = "GET", "POST"


def login(user: GetUserDep) -> Any:
    """The right of everybody who is logged in."""
    return user


def sees(pipeline: str, user: GetUserDep) -> Pipeline:
    """The right to see a pipeline, which is the right to read each of its DAGs; the pipeline."""
    if pipeline not in pipeline_names() or not may_see(user, pipeline):
        raise HTTPException(404, f"There is no pipeline '{pipeline}' that you may see.")
    return load_pipeline(pipeline)


def starts_backfills(pipeline: Annotated[Pipeline, Depends(sees)], user: GetUserDep) -> Pipeline:
    """The right to trigger a pipeline's backfill; the pipeline."""
    if not may_start(user, pipeline.name, "backfill"):
        raise HTTPException(403, f"You may not trigger {pipeline.name}__backfill. Ask somebody who may.")
    return pipeline


def replays(pipeline: Annotated[Pipeline, Depends(sees)], user: GetUserDep) -> Pipeline:
    """The right to trigger a pipeline's replay of mended rows; the pipeline."""
    if not may_start(user, pipeline.name, "replay"):
        raise HTTPException(403, f"You may not trigger {pipeline.name}__replay. Ask somebody who may.")
    return pipeline


RIGHTS = (login, sees, starts_backfills, replays)
# The pipeline comes from its right, so a view without one has no pipeline to read.
Person = Annotated[Any, Depends(login)]
Seen = Annotated[Pipeline, Depends(sees)]
Backfilled = Annotated[Pipeline, Depends(starts_backfills)]
Replayed = Annotated[Pipeline, Depends(replays)]


def may_see(user: Any, pipeline: str) -> bool:
    """Whether somebody may read every DAG of a pipeline."""
    return _may(user, _READ, [f"{pipeline}__{name}" for name in NAMES])


def may_start(user: Any, pipeline: str, name: str) -> bool:
    """Whether somebody may trigger a DAG of a pipeline."""
    return _may(user, _START, [f"{pipeline}__{name}"], DagAccessEntity.RUN)


def _may(user: Any, method: str, dag_ids: list[str], entity: DagAccessEntity | None = None) -> bool:
    teams = DagModel.get_dag_id_to_team_name_mapping(dag_ids)
    asked = [
        {"method": method, "access_entity": entity, "details": DagDetails(id=dag_id, team_name=teams.get(dag_id))}
        for dag_id in dag_ids
    ]
    return bool(get_auth_manager().batch_is_authorized_dag(asked, user=user))
