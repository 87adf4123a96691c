"""Run one stage by its verb: the entry that the command line, the DAGs and DVC share.

A run that reads models first ends the change of models that a killed run has left.
"""

import importlib
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar, overload

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from contrail import clock
from contrail.adapters.machine_errors import machine_errors
from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.problems import hint
from contrail.config.settings import settings
from contrail.errors import InputsChangedError, SnapshotGoneError, SpecError
from contrail.files import remove_folder
from contrail.imports import quick_imports
from contrail.lake import history
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from contrail.stages import changes, sandboxed
from contrail.stages.base import StageRun, silent
from contrail.stages.options import OPTIONS, ScoreOptions, StageOptions, options_of
from contrail.stages.results import StageResult
from contrail.stages.tables import tables_of
from contrail.stages.told import told

_TRIES = 3
_READ_MODELS = ("train", "promote", "score", "drift", "performance", "govern", "publish")
Asked = TypeVar("Asked", bound=StageOptions)


def new_run_id() -> str:
    """A run id that sorts by time: ``20131101T060000-1a2b3c``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@overload
def make_run(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: Asked,
    progress: Callable[[str], None] | None = None,
) -> StageRun[Asked]: ...


@overload
def make_run(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StageRun[StageOptions]: ...


def make_run(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: StageOptions | Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StageRun[StageOptions]:
    """Make the input of a run; nothing runs yet.

    Raises:
        SpecError: for an unknown pipeline, a wrong spec, or an option that the stage does not have.
    """
    pipeline = load_pipeline(pipeline_name)
    return StageRun(
        stage=verb,
        pipeline=pipeline,
        partitions=partitions,
        settings=settings(),
        lake=Lake(settings(), pipeline.name),
        run_id=run_id or new_run_id(),
        options=options_of(verb, options),
        progress=progress or silent,
    )


def run_stage(
    verb: str,
    pipeline_name: str,
    partitions: Partitions,
    *,
    run_id: str | None = None,
    options: StageOptions | Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> StageResult[Any]:
    """Run a stage over a range, as one job, and return what it did.

    Staged rows are removed however the stage ends. Published rows stay.

    Raises:
        SpecError: for a verb that is no stage.
        ContrailError: as the stage does.
    """
    _stage(verb)
    sandboxed.begin(settings(), load_pipeline(pipeline_name), progress or silent)
    run = make_run(verb, pipeline_name, partitions, run_id=run_id, options=options, progress=progress)
    if verb in _READ_MODELS:
        changes.finish(run, scoring(run))
    return _execute(run)


def finish_changes(verb: str, pipeline: Pipeline, progress: Callable[[str], None] | None = None) -> None:
    """End the change of models that a killed run has left, before the command ``verb`` reads models."""
    first = pipeline.spec.first_partition
    run = make_run(verb, pipeline.name, Partitions(first, first), progress=progress)
    changes.finish(run, scoring(run))


def scoring(run: StageRun[StageOptions]) -> Callable[[Partitions, str], StageResult[Any]]:
    """The function that scores a range again with one version, in the name of this run."""

    def score(partitions: Partitions, version: str) -> StageResult[Any]:
        run.progress(f"scoring {partitions} again with version {version}")
        options = ScoreOptions(model=version)
        name, progress = run.pipeline.name, run.progress
        return _execute(make_run("score", name, partitions, run_id=run.run_id, options=options, progress=progress))

    return score


def _execute(run: StageRun[StageOptions]) -> StageResult[Any]:
    module = _stage(run.stage)
    clock.note(run.settings.home_path)
    started = time.monotonic()
    with told(run) as events, machine_errors():
        # A change of the spec that a table cannot follow is told now, not after minutes of work.
        run.lake.bring_up_to_date(tables_of(run.stage, run.pipeline.spec))
        try:
            result: StageResult[Any] = _from_inputs_at_rest(run)(_once, module, run)
        finally:
            remove_folder(run.staging)
        events.result = result
    return result.model_copy(update={"seconds": round(time.monotonic() - started, 3)})


def _once(module: ModuleType, run: StageRun[StageOptions]) -> StageResult[Any]:
    """Run a stage. A snapshot that it has begun to read may go when the rows of a person are taken out of the table."""
    begun = datetime.now(UTC)
    try:
        result: StageResult[Any] = module.execute(run)
    except SnapshotGoneError as error:
        table = run.lake.find(error.table)
        if table is None or not history.erased_since(table, begun):
            raise
        raise InputsChangedError(
            f"{error.table}: the rows of a person were taken out of it while {run.stage} read it. Nothing was published; "
            "run it again."
        ) from error
    return result


def _stage(verb: str) -> ModuleType:
    """The module of a stage. ``OPTIONS`` also has runs that are no stages."""
    if verb not in OPTIONS or not find_spec(f"contrail.stages.{verb}"):
        known = [name for name in OPTIONS if find_spec(f"contrail.stages.{name}")]
        raise SpecError(f"there is no stage '{verb}'; {hint(verb, known, 'stages')}")
    with quick_imports():
        return importlib.import_module(f"contrail.stages.{verb}")


def _from_inputs_at_rest(run: StageRun[StageOptions]) -> Retrying:
    """Call a stage again when another run replaced what it had read."""
    return Retrying(
        retry=retry_if_exception_type(InputsChangedError),
        stop=stop_after_attempt(_TRIES),
        before_sleep=lambda state: run.progress(f"{state.outcome.exception() if state.outcome else ''} Trying again."),
        reraise=True,
    )
