"""OpenLineage's events of a run, made of what the run has published.

The provenance in the lake stays the only ledger. An event repeats it for programs that follow data across systems.
Tables are named by the warehouse and ``<pipeline>.<table>``, models by the registry and their name. A version is the
snapshot's id, or the model's version.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import attr
from openlineage.client import event_v2, facet_v2
from openlineage.client.uuid import generate_new_uuid

from contrail.config.settings import lineage_parent
from contrail.lake.datasets import Dataset
from contrail.lake.lineage import Commit
from contrail.lake.records import all_datasets
from contrail.revision import VERSION, code_hash, code_revision, lock_hash
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions
from contrail.stages.results import PublishDetails, StageResult, TrainDetails

JOBS = "contrail"  # the namespace of jobs; Airflow's provider has one of its own
_WORDS = {"person", "reason"}  # of people, for the records in the lake
Run = StageRun[StageOptions]


@attr.define
class ContrailRunFacet(facet_v2.RunFacet):
    """What a run was asked for, and by which definition and code."""

    runId: str  # noqa: N815 - the form of OpenLineage
    environment: str
    partitions: str
    options: dict[str, Any]
    pipelineHash: str  # noqa: N815
    codeRevision: str  # noqa: N815
    codeHash: str  # noqa: N815
    lockHash: str  # noqa: N815
    unchanged: bool | None = None


@attr.define
class ContrailCommitFacet(facet_v2.DatasetFacet):
    """The partitions that the run's commits replaced, and those of them whose rows stayed the same."""

    partitions: list[str]
    same: list[str]
    snapshots: list[str]


@attr.define
class ContrailModelFacet(facet_v2.DatasetFacet):
    """A registered model: the hashes of its bytes and of its training set, and its run in MLflow."""

    sha256: str
    trainingSetMd5: str  # noqa: N815
    mlflowRun: str  # noqa: N815


def new_id() -> str:
    """A new run's id, a UUID that sorts by time."""
    return str(generate_new_uuid())


def event_of(
    run: Run, run_id: str, state: str, result: StageResult[Any] | None, error: BaseException | None
) -> event_v2.RunEvent:
    """One event of a run. Only a run that has ended well names what it read and published."""
    inputs, outputs = _datasets(run, result) if result else ([], [])
    return event_v2.RunEvent(
        eventType=event_v2.RunState[state],
        eventTime=datetime.now(UTC).isoformat(timespec="milliseconds"),
        run=event_v2.Run(run_id, dict(_run_facets(run, result, error))),
        job=event_v2.Job(JOBS, f"{run.settings.stored(run.pipeline.name)}.{run.stage}", dict(_job_facets(run))),
        inputs=inputs,
        outputs=outputs,
        producer=f"urn:contrail:{VERSION}",
    )


# ---- the run and its job ----


def _run_facets(
    run: Run, result: StageResult[Any] | None, error: BaseException | None
) -> Iterator[tuple[str, facet_v2.RunFacet]]:
    project, (start, end) = run.settings.project_path, _nominal(run)
    yield "nominalTime", facet_v2.nominal_time_run.NominalTimeRunFacet(start, end)
    yield "processing_engine", facet_v2.processing_engine_run.ProcessingEngineRunFacet(VERSION, "Contrail")
    yield (
        "contrail_run",
        ContrailRunFacet(
            runId=run.run_id,
            environment=run.settings.name,
            partitions=str(run.partitions),
            options=run.options.model_dump(mode="json", exclude_defaults=True, exclude=_WORDS),
            pipelineHash=run.pipeline.hash,
            codeRevision=code_revision(project),
            codeHash=code_hash(),
            lockHash=lock_hash(project),
            unchanged=result.unchanged if result else None,
        ),
    )
    if parent := lineage_parent():
        namespace, name, parent_run = parent
        yield (
            "parent",
            facet_v2.parent_run.ParentRunFacet(
                facet_v2.parent_run.Run(parent_run), facet_v2.parent_run.Job(namespace, name)
            ),
        )
    if error:
        # Its words may hold what rows say, which would then outlive the rows.
        yield "errorMessage", facet_v2.error_message_run.ErrorMessageRunFacet(type(error).__name__, "PYTHON")


def _nominal(run: Run) -> tuple[str, str]:
    """From the first moment of the first day to that of the day after the last, in the pipeline's zone, as UTC."""
    spec = run.pipeline.spec
    zone = ZoneInfo(spec.timezone)
    days = run.partitions.start, run.partitions.end + timedelta(days=1)
    first, last = (datetime.combine(day, time(0), zone).astimezone(UTC).isoformat() for day in days)
    return first, last


def _job_facets(run: Run) -> Iterator[tuple[str, facet_v2.JobFacet]]:
    spec = run.pipeline.spec
    yield "jobType", facet_v2.job_type_job.JobTypeJobFacet("BATCH", "CONTRAIL", "STAGE")
    yield "documentation", facet_v2.documentation_job.DocumentationJobFacet(f"{spec.title}: {spec.description}")
    yield "ownership", facet_v2.ownership_job.OwnershipJobFacet([facet_v2.ownership_job.Owner(spec.owner)])


# ---- what it read and published ----


def _datasets(run: Run, result: StageResult[Any]) -> tuple[list[event_v2.InputDataset], list[event_v2.OutputDataset]]:
    known = all_datasets(run.pipeline.spec)
    mine = {name: commits for name in known if (commits := _commits(run, known[name]))}
    read: dict[str, set[int]] = {}
    for commit in (one for commits in mine.values() for one in commits):
        _read(read, commit.provenance.inputs)
    if isinstance(result.details, TrainDetails):
        _read(read, result.snapshots)
    inputs = [_input(run, name, snapshot) for name in sorted(read) for snapshot in sorted(read[name])]
    outputs = [_output(run, known[name], commits) for name, commits in mine.items()]
    return [*inputs, *_landed(run), *_models_read(run, result)], [*outputs, *_models_made(run, result), *_shown(result)]


def _commits(run: Run, dataset: Dataset) -> list[Commit]:
    """The commits of this run, newest first."""
    if run.stage not in dataset.published_by:
        return []
    made = (run.run_id, run.stage)
    found = run.lake.lineage(dataset.name).commits
    return [one for one in found if (one.provenance.run_id, one.provenance.stage) == made]


def _read(read: dict[str, set[int]], inputs: Mapping[str, int | None]) -> None:
    for name, snapshot in inputs.items():
        if snapshot is not None:
            read.setdefault(name, set()).add(snapshot)


def _place(run: Run, name: str) -> tuple[str, str]:
    return run.settings.catalog.warehouse_uri, f"{run.settings.stored(run.pipeline.name)}.{name}"


def _version(of: object) -> dict[str, facet_v2.DatasetFacet]:
    return {"version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(str(of))}


def _input(run: Run, name: str, snapshot: int) -> event_v2.InputDataset:
    return event_v2.InputDataset(*_place(run, name), facets=_version(snapshot))


def _output(run: Run, dataset: Dataset, commits: list[Commit]) -> event_v2.OutputDataset:
    schema = facet_v2.schema_dataset
    fields = [schema.SchemaDatasetFacetFields(n, c.type, c.doc or None) for n, c in dataset.columns.items()]
    facets: dict[str, facet_v2.DatasetFacet] = {
        **_version(commits[0].snapshot),
        "schema": schema.SchemaDatasetFacet(fields),
        "documentation": facet_v2.documentation_dataset.DocumentationDatasetFacet(dataset.doc),
        "contrail_commit": ContrailCommitFacet(
            partitions=[one.label for one in commits],
            same=[one.same_label for one in commits if one.same_label],
            snapshots=[str(one.snapshot) for one in commits],
        ),
    }
    rows = [one.job_rows for one in commits if one.job_rows is not None]
    statistics = facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=max(rows, default=None)
    )
    return event_v2.OutputDataset(
        *_place(run, dataset.name), facets=facets, outputFacets={"outputStatistics": statistics}
    )


def _landed(run: Run) -> Iterable[event_v2.InputDataset]:
    """The landing zone's folders, which ingest reads."""
    tables = run.pipeline.spec.tables if run.stage == "ingest" else ()
    return [event_v2.InputDataset(run.settings.landing_uri, f"{run.pipeline.name}/{table}") for table in tables]


def _models_read(run: Run, result: StageResult[Any]) -> list[event_v2.InputDataset]:
    if isinstance(result.details, TrainDetails):
        return []
    name = run.settings.stored(run.pipeline.name)
    return [event_v2.InputDataset(_registry(run), name, facets=_version(one)) for one in _versions(result)]


def _models_made(run: Run, result: StageResult[Any]) -> list[event_v2.OutputDataset]:
    made = result.details
    if not isinstance(made, TrainDetails):
        return []
    model = ContrailModelFacet(made.model_sha256, made.training_set_md5, made.mlflow_run)
    facets = {"contrail_model": model} | {
        key: one for number in _versions(result) for key, one in _version(number).items()
    }
    return [event_v2.OutputDataset(_registry(run), run.settings.stored(made.model_name), facets=facets)]


def _versions(result: StageResult[Any]) -> list[str]:
    """The versions of the model that a result names."""
    return [one for one in str(getattr(result.details, "model_version", None) or "").split(",") if one]


def _shown(result: StageResult[Any]) -> list[event_v2.OutputDataset]:
    """The tables of the analysts' warehouse that the run replaced partitions of."""
    tables = result.details.tables if isinstance(result.details, PublishDetails) else {}
    return [
        event_v2.OutputDataset("bigquery", name, facets=_version(one.lake_snapshot)) for name, one in tables.items()
    ]


def _registry(run: Run) -> str:
    """The registry's address, without a login in it."""
    parts = urlsplit(run.settings.registry.tracking_uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
