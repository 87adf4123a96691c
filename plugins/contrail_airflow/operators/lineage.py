"""The task of a command, for the lineage that the command tells."""

from typing import Any


def parent_of(task_instance: Any) -> dict[str, str]:
    """The variable that names a task as OpenLineage knows it. Empty while Airflow's own provider tells no lineage."""
    from airflow.providers.openlineage import conf

    if conf.is_disabled():
        return {}
    from airflow.providers.openlineage.plugins.macros import lineage_parent_id

    return {"OPENLINEAGE_PARENT_ID": lineage_parent_id(task_instance)}
