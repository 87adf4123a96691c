"""Bills of materials: of the locked environment, and of a registered version with its data, code and parameters."""

from collections.abc import Mapping
from typing import Any

from contrail.adapters.lock_file import libraries, lock_text
from contrail.adapters.registry import describe_version, resolve
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.errors import MissingInputError
from contrail.methods.model_package import MODEL, REFERENCE, TrainingRecord
from contrail.revision import VERSION, code_hash, code_revision, lock_hash


def environment_bill(settings: Settings) -> dict[str, Any]:
    """The bill of Contrail itself, with the libraries that are locked now.

    Raises:
        MissingInputError: where there is no lock.
    """
    from contrail.adapters.cyclonedx_bill import bill, component

    project, digest = settings.project_path, lock_hash(settings.project_path)
    text = lock_text(project, digest, "HEAD") if digest else None
    if text is None:
        raise MissingInputError(f"{project / 'requirements.txt'} is missing: without a lock nobody knows the libraries")
    about = component(
        "application", "contrail", VERSION, hashes={"SHA-256": code_hash()},
        facts={"code_revision": code_revision(project), "lock_sha256": digest},
    )  # fmt: skip
    return bill(about, [], libraries(text), None, f"environment:{digest}:{code_hash()}")


def model_bill(settings: Settings, pipeline: Pipeline, ref: str) -> dict[str, Any]:
    """The bill of a registered version: its files, training set, code, and the libraries of its lock.

    A lock that is neither today's nor that of a revision that git has is named by its hash, and has no libraries.

    Raises:
        MissingInputError: when there is no such version.
        DataError: when its package is damaged.
    """
    from contrail.adapters.cyclonedx_bill import bill, component

    info = describe_version(settings, pipeline.name, ref)
    model = resolve(settings, pipeline.name, info.version)  # an alias may have moved meanwhile
    card, record = model.package.card, model.package.card.training
    text = lock_text(settings.project_path, record.lock_hash, record.code_revision)
    about = component(
        "machine-learning-model", pipeline.name, model.version,
        about=f"{pipeline.spec.title}: {pipeline.spec.description}",
        hashes={"SHA-256": card.sha256[MODEL]},
        facts={
            "task": card.task, "features": card.features, "parameters": record.params, "settings": record.options,
            "rounds": record.rounds, "device": record.device, "workers": record.workers,
            "mlflow_run": info.run_id, "drift_reference_sha256": card.sha256[REFERENCE],
        },
    )  # fmt: skip
    code = component(
        "application", "contrail", record.code_revision,
        facts={
            "lock_sha256": record.lock_hash, "pipeline_sha256": record.pipeline_hash,
            "libraries": "listed" if text else "unknown: this lock is neither today's nor in a revision that git has",
        },
    )  # fmt: skip
    name = f"model:{pipeline.name}:{model.version}:{card.sha256[MODEL]}"
    return bill(about, [code, _training_set(pipeline, record)], libraries(text or ""), info.made_at, name)


def _training_set(pipeline: Pipeline, record: TrainingRecord) -> Any:
    from contrail.adapters.cyclonedx_bill import component

    return component(
        "data", f"{pipeline.name} training set", record.training_set_md5,
        about=f"{record.rows:,} labelled rows of {record.start}..{record.end}, labels as of {record.labels_as_of}",
        hashes={"MD5": record.training_set_md5},
        facts={"rows": record.rows, "snapshots": record.snapshots, "feature_snapshot": record.feature_snapshot},
    )  # fmt: skip


def licences(bill: Mapping[str, Any]) -> dict[str, list[str]]:
    """The libraries of each licence, the commonest first. Those that say nothing, or are not installed here, have ""."""
    found: dict[str, list[str]] = {}
    for one in bill.get("components", ()):
        if one["type"] == "library":
            found.setdefault(_licence(one), []).append(one["name"])
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _licence(one: Mapping[str, Any]) -> str:
    for each in one.get("licenses", []):
        return str(each.get("expression") or each["license"].get("id") or each["license"].get("name"))
    return ""
