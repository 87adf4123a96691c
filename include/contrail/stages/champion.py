"""Read the model that a stage works with, and say what to do when the champion is gone from the registry."""

from collections.abc import Sequence

from contrail.adapters import registry
from contrail.adapters.registry import CHAMPION, RegisteredModel
from contrail.config.settings import Settings
from contrail.errors import MissingInputError
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove, read_moves


def model_of(settings: Settings, lake: Lake, ref: str) -> RegisteredModel:
    """Read ``champion``, ``challenger``, ``latest`` or a version number of the lake's pipeline.

    Raises:
        MissingInputError: when there is no such model, with what became of it and the command to run.
        DataError: when the model is damaged.
    """
    try:
        return registry.resolve(settings, lake.namespace, ref)
    except MissingInputError as error:
        gone = missing_champion(settings, lake.namespace, read_moves(lake, CHAMPION)) if ref == CHAMPION else None
        if gone is None:
            raise
        raise MissingInputError(f"{error}\n{gone}") from error


def missing_champion(settings: Settings, name: str, moves: Sequence[AliasMove]) -> str | None:
    """Say so when the alias ``champion`` points nowhere, although the last recorded move made a version champion.

    Args:
        settings: Say where MLflow is.
        name: Pipeline.
        moves: The recorded moves of the alias, oldest first.
    """
    if not moves or registry.alias_version(settings, name, CHAMPION):
        return None
    last = moves[-1].version_after
    there = [one.version for one in registry.versions(settings, name)]
    what = "took the alias champion from" if last in there else "deleted"
    if not there:
        return f"Somebody {what} version {last} in MLflow. Train another: contrail train --pipeline {name}"
    return (
        f"Somebody {what} version {last} in MLflow, the champion of '{name}'. Versions: {', '.join(there)}. Make one of them "
        f"champion: contrail promote --pipeline {name} --model {there[-1]}, or without the gate: contrail rollback-model "
        f'--pipeline {name} --to {there[-1]} --reason "version {last} is gone"'
    )
