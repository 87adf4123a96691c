"""The decision on a model version, as it was written down. It decides nothing."""

from contrail.adapters import registry
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import MissingInputError
from contrail.methods.decision_record import DecisionRecord


def decision_of(settings: Settings, name: str, ref: str) -> DecisionRecord:
    """Read the newest decision on a version.

    Args:
        settings: Say where MLflow is.
        name: Pipeline.
        ref: ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: when there is no such version, or nobody has judged it.
        DataError: when the record is damaged.
    """
    version = registry.describe_version(settings, name, ref)
    kept = version.tags.get(registry.DECISION_RECORD)
    if not kept:
        raise MissingInputError(
            f"{name} version {version.version} has no decision yet: no gate has judged it. "
            f"Run: contrail promote --pipeline {name} --model {version.version}"
        )
    return parse_json(DecisionRecord, registry.read_file(settings, version, kept), kept)
