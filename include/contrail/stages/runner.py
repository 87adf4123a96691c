"""Run one stage by its verb: the entry that the command line, the DAGs and DVC share."""

import importlib
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from contrail.errors import InputsChangedError
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from contrail.pipeline import load_pipeline
from contrail.settings import settings
from contrail.stages.base import StageResult, StageRun, silent

_TRIES = 3


def new_run_id() -> str:
    """A run id that sorts by time: ``20131101T060000-1a2b3c``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def make_run(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: dict[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StageRun:
    """What a run is given; nothing is run yet.

    Raises:
        SpecError: for an unknown pipeline or a wrong spec.
    """
    pipeline = load_pipeline(pipeline_name)
    return StageRun(
        stage=verb,
        pipeline=pipeline,
        partitions=partitions,
        settings=settings(),
        lake=Lake(settings(), pipeline.name),
        run_id=run_id or new_run_id(),
        options=options or {},
        progress=progress or silent,
    )


def run_stage(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: dict[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StageResult:
    """Run a stage over a range, as one job, and say what it did.

    Staged rows are removed when the stage ends, whichever way it ends; what was published stays.

    Raises:
        ContrailError: as the stage does.
    """
    module = importlib.import_module(f"contrail.stages.{verb}")
    run = make_run(verb, pipeline_name, partitions, run_id=run_id, options=options, progress=progress)
    started = time.monotonic()
    try:
        result = _run(module, run)
    finally:
        _remove(run)
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _run(module: ModuleType, run: StageRun) -> StageResult:
    """Its result, from inputs that nobody replaced meanwhile."""
    for left in reversed(range(_TRIES)):
        try:
            result: StageResult = module.run(run)
        except InputsChangedError as error:
            if not left:
                raise
            run.progress(f"{error} Again.")
        else:
            return result
    raise AssertionError("unreachable")


def _remove(run: StageRun) -> None:
    if run.staging.exists():
        run.staging.fs.rm(str(run.staging), recursive=True)
