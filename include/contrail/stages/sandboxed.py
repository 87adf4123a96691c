"""Begin a sandbox before a stage runs in it: its tables and its models, as the main lake's are at this moment."""

from collections.abc import Callable
from datetime import UTC, datetime

from contrail.adapters import sandbox_models
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings, current_person
from contrail.lake import sandbox_records, sandboxes
from contrail.lake.sandbox_records import Sandbox
from contrail.locks import locked
from contrail.revision import code_revision
from contrail.stages.base import silent


def begin(settings: Settings, pipeline: Pipeline, progress: Callable[[str], None] = silent) -> Sandbox | None:
    """Make the sandbox that these settings are in, if the pipeline has none of this name yet. None: they are in none.

    Killed in between, the same call begins anew.

    Raises:
        DamagedError: when a table of the main lake cannot be read. The sandbox is not there then.
        EngineError: when the catalog or MLflow does not answer.
    """
    if not settings.sandbox:
        return None
    name = pipeline.name
    # Who is being forgotten must not come into a sandbox while the rows leave the main lake.
    with locked(settings.main.home_path / "locks" / f"forget-{name}", "is making a sandbox or forgetting a person"):
        if known := sandbox_records.find(settings, name):
            return known
        progress(f"making the sandbox '{settings.sandbox}' of {name}: it begins with what the main lake has now")
        made_at = datetime.now(UTC)
        made = Sandbox(
            name=settings.sandbox,
            pipeline=name,
            made_at=made_at,
            made_by=current_person(),
            code_revision=code_revision(settings.project_path),
            pipeline_hash=pipeline.hash,
            tables=sandboxes.begin(settings, name),
            versions=sandbox_models.begin(settings, name),
        )
        sandbox_records.write(settings, made)
        return made
