"""The chain with everything on (loopback) Google Cloud: storage, catalog, features by Dataproc, training by Vertex AI.

Google's clients, Airflow's hooks and PyIceberg are the real ones and unmodified; see tests/loopback.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import TaskDeferred
from google.cloud import bigquery
from tests.conftest import TOY_PIPELINES, Toy
from tests.loopback.cloud import LoopbackCloud, production
from tests.loopback.identity import PROJECT as GOOGLE_PROJECT
from tests.unit.methods.test_fit import TRAIN, made_rows
from tests.unit.plugins.operators.test_remote_stages import stopping

from contrail.adapters import mlflow_store, registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import RegistryLogin, Settings, settings
from contrail.dispatch.receipts import Receipt, Receipts, utc_now
from contrail.errors import MissingInputError, SpecError
from contrail.lake import datasets
from contrail.lake.provenance import Provenance
from contrail.methods.boosting import Checkpoint
from contrail.methods.fit import Method, booster_params, fit_trees
from contrail.methods.trainer import ThisProcess
from contrail.partitions import Partitions
from contrail.stages.training.checkpoints import CheckpointFolder
from contrail_airflow.operators import remote_run
from contrail_airflow.operators import stage as operators
from contrail_airflow.operators.ending import StageRefused, StageStopped
from contrail_airflow.operators.stage import StageOperator
from contrail_airflow.remote import waiting
from contrail_airflow.remote.remote_jobs import RemoteJobs
from contrail_airflow.remote.services import jobs_of
from contrail_airflow.remote.triggers import RemoteJobTrigger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("google")]


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCloud]:
    """``prod`` in a cloud of its own."""
    variables = {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": "google-cloud-platform://"}
    with production(tmp_path_factory.mktemp("cloud"), CONTRAIL_PIPELINES=str(TOY_PIPELINES), **variables) as found:
        yield found


@pytest.fixture(scope="module")
def cloud(google: LoopbackCloud) -> Toy:
    """The toy pipeline there, validated to 25 January."""
    toy = Toy(load_pipeline("toy"), settings())
    toy.land("2024-01-01", "2024-01-25")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-01-25")
    return toy


def operator(verb: str, start: str, end: str, **options: Any) -> StageOperator:
    return StageOperator(
        task_id=verb, verb=verb, pipeline="toy", partition_from=start, partition_to=end, options=options
    )


def context(run_id: str, verb: str, attempt: int = 1) -> Any:
    names = {"dag_id": f"toy__{verb}", "run_id": run_id, "task_id": verb, "map_index": -1, "try_number": attempt}
    return {
        "ti": SimpleNamespace(**names, log_url=""),
        "dag_run": SimpleNamespace(start_date=None, triggering_user_name=None),
    }


def submit(task: StageOperator, given: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(given)
    return deferred.value


def wait(trigger: Any) -> dict[str, Any]:
    """What the trigger fires with, as a triggerer that has just been started would run it."""

    async def first() -> dict[str, Any]:
        _, arguments = trigger.serialize()
        async for event in RemoteJobTrigger(**{**arguments, "poll_seconds": 0.5}).run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(asyncio.wait_for(first(), 300))


def perform(verb: str, start: str, end: str, run_id: str = "run", attempt: int = 1, **options: Any) -> dict[str, Any]:
    """The task from its start to its end, with the wait between."""
    task = operator(verb, start, end, **options)
    deferred = submit(task, context(run_id, verb, attempt))
    assert deferred.kwargs is not None
    return task.resume(context(run_id, verb, attempt), wait(deferred.trigger), **deferred.kwargs)


def jobs(verb: str) -> RemoteJobs:
    target = settings().dispatch.target_of("toy", verb)
    assert target.kind in ("dataproc", "vertex")
    return jobs_of(target, settings())  # type: ignore[arg-type]


def receipts(run: str) -> list[Receipt]:
    """Those of a run, whatever the month."""
    found = Receipts.of(settings(), "toy")
    assert found is not None
    return [one for one in found.recent(utc_now()) if one.run == run]


def test_the_chain_runs_there_and_leaves_what_it_leaves_here(cloud: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    built = perform("features", "2024-01-01", "2024-01-24")
    assert (built["rows"], built["details"]["engine"]) == (cloud.sql("SELECT count(*) FROM features")[0][0], "spark")
    trained = perform("train", "2024-01-01", "2024-01-14", params={"nthread": 1})
    assert trained["details"]["model_version"] == "1"
    by_stage = {one.stage: one for one in receipts("run")}
    assert {stage: one.state for stage, one in by_stage.items()} == {"features": "succeeded", "train": "succeeded"}
    for stage, result in (("features", built), ("train", trained)):
        paid = result["cost"]["amount"]
        assert 0 < paid == by_stage[stage].cost < by_stage[stage].estimate
    assert by_stage["train"].usage is not None
    assert by_stage["train"].usage.spot is True  # type: ignore[union-attr]  # of a first attempt
    cloud.run("promote", "2024-01-16", "2024-01-24")
    cloud.run("score", "2024-01-16", "2024-01-24")
    rows = cloud.sql("SELECT partition_date, parcel, round(probability, 9), reason_1 FROM predictions ORDER BY ALL")
    assert len({row[0] for row in rows}) == 9
    here = cloud.lake.files("predictions")
    dispatch = settings().dispatch
    for target in ("spark", "gpu"):
        elsewhere = dispatch.model_copy(update={"stages": {**dispatch.stages, "score": target}})
        moved = settings().model_copy(update={"dispatch": elsewhere})
        monkeypatch.setattr(operators, "settings", lambda moved=moved: moved)
        scored = perform("score", "2024-01-16", "2024-01-24", f"score-{target}")
        assert scored["rows"] == len(rows)
        assert [one.stage for one in receipts(f"score-{target}")] == ["score"]
        assert cloud.lake.files("predictions") == here, "the publisher keeps the files of rows that are the same"
    made = cloud.lake.history("features")[0].provenance
    assert made.lock_hash
    assert made.code_revision not in ("", "unknown"), "the wheel names the checkout that it was built from"


def test_analysts_get_what_bigquery_reads_from_the_lakes_bucket(cloud: Toy) -> None:
    """The emulator reads the files where the storage server keeps them."""
    dataset, days = datasets.predictions(cloud.spec), Partitions.parse("2024-01-02", "2024-01-04")
    values = {
        "probability": 0.25, "decision": False, "reason_1": "depot", "model_name": "toy", "model_version": "1",
        "feature_snapshot": 1, "scoring_run": "r", "scored_at": datetime(2024, 1, 5, tzinfo=UTC),
    }  # fmt: skip
    made = [{"partition_date": day, "ship_date": day, "parcel": n, **values} for day in days for n in range(5)]
    rows = pa.Table.from_pylist(made, dataset.arrow_schema())
    cloud.lake.publish(dataset, rows, days, Provenance("r", "test", "", "", ""))
    assert all(file.startswith("gs://lake/") for file in cloud.lake.files("predictions", days))
    copied = cloud.run("publish", str(days.start), str(days.end)).details.tables
    assert (copied["predictions"].rows, copied["predictions"].partitions) == (15, (str(days),))
    view = f"`{GOOGLE_PROJECT}.contrail_analysts.toy_predictions`"
    query = f"SELECT * FROM {view} WHERE partition_date <= '{days.end}' ORDER BY partition_date, parcel"
    shown = [tuple(row.values()) for row in bigquery.Client(GOOGLE_PROJECT).query_and_wait(query)]
    of_lake = "SELECT * FROM predictions WHERE partition_date <= DATE '2024-01-04' ORDER BY partition_date, parcel"
    assert shown == cloud.sql(of_lake)


def test_a_job_logs_in_to_mlflow_by_its_secret_and_moves_no_alias(cloud: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    current = settings()
    worker = mlflow_store.client(current)
    worker.create_registered_model("login")
    worker.create_model_version("login", "gs://artifacts/mlflow/model")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):  # a worker's own, which no job has
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    entry = registry.describe_version(current, "login", "1")
    with pytest.raises(SpecError, match=r"MLflow refused the login of this process.*403"):
        registry.set_alias(current, entry, registry.CHAMPION)
    assert registry.alias_version(current, "login", registry.CHAMPION) is None

    def logging_in(secret: str) -> Settings:
        login = RegistryLogin(user="jobs", secret=secret)
        return current.model_copy(update={"registry": current.registry.model_copy(update={"login": login})})

    for secret, kind, said in (
        ("projects/demo-project/secrets/contrail-mlflow", MissingInputError, "not found or has no versions"),
        ("projects/another/secrets/contrail-mlflow-jobs", SpecError, "secretmanager.versions.access"),
    ):
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        with pytest.raises(kind, match=said):
            registry.versions(logging_in(secret), "login")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a guess")
        with pytest.raises(SpecError, match=r"MLflow refused the login of this process.*401"):
            registry.versions(current, "login")


def test_a_lost_worker_and_a_new_triggerer_leave_one_job(cloud: Toy) -> None:
    task = operator("features", "2024-01-20", "2024-01-21")
    first = submit(task, context("lost", "features"))
    # The worker is gone before it could defer; the retry finds the job, and so does a triggerer that starts anew.
    second = submit(operator("features", "2024-01-20", "2024-01-21"), context("lost", "features", attempt=2))
    assert second.trigger.name == first.trigger.name
    event = wait(second.trigger)
    assert event["state"] == "succeeded"
    service: Any = jobs("features")
    names = [batch.name for batch in service._hook.list_batches(**service._place)]
    assert len([name for name in names if first.trigger.name[:-1] in name]) == 1
    assert second.kwargs is not None
    assert task.resume(context("lost", "features", attempt=2), event, **second.kwargs)["rows"] == 120
    assert [(one.attempt, one.state) for one in receipts("lost")] == [(1, "succeeded")], "it is paid for once"


def test_killing_the_deferred_task_cancels_the_job(cloud: Toy) -> None:
    for verb in ("features", "train"):
        deferred = submit(operator(verb, "2024-01-01", "2024-01-14"), context("killed", verb))
        asyncio.run(deferred.trigger.on_kill())
        event = wait(deferred.trigger)
        assert event["state"] == "cancelled"
        assert deferred.kwargs is not None
        with stopping(StageRefused, "was cancelled"):
            operator(verb, "2024-01-01", "2024-01-14").resume(context("killed", verb), event, **deferred.kwargs)
    assert {one.state for one in receipts("killed")} == {"cancelled"}, "and what it used until then is paid for"
    assert all(one.cost is not None for one in receipts("killed"))


def test_a_job_over_the_budget_is_never_submitted(cloud: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch = settings().dispatch.model_copy(update={"monthly_budgets": {"toy": 0.001}})
    poor = settings().model_copy(update={"dispatch": dispatch})
    monkeypatch.setattr(operators, "settings", lambda: poor)
    for verb in ("features", "train"):
        with stopping(StageRefused, "the budget is USD 0.0010 (dispatch.monthly_budgets.toy in"):
            operator(verb, "2024-01-01", "2024-01-14").execute(context("poor", verb))
    assert [one.state for one in receipts("poor")] == ["refused", "refused"]
    for one in receipts("poor"):
        assert jobs(one.stage).find(one.job) is None


def test_a_stages_error_there_is_said_here(cloud: Toy) -> None:
    with stopping(StageRefused, "has no rows for 2 of 2 partitions") as refused:
        perform("features", "2024-03-01", "2024-03-02", run_id="no-rows")
    assert refused.value.code == 3
    with stopping(StageRefused, "MissingInputError"):
        perform("train", "2025-01-01", "2025-01-31", run_id="no-rows")


def test_other_code_than_was_submitted_does_not_run(cloud: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = remote_run.publish_code
    monkeypatch.setattr(remote_run, "publish_code", lambda current: _with(publish(current), wheel_sha256="0" * 64))
    with stopping(StageRefused, "the job was submitted with 0000"):
        perform("train", "2024-01-01", "2024-01-14", run_id="other-code")


def _with(code: Any, **changed: Any) -> Any:
    return replace(code, **changed)


def test_an_image_that_is_not_there_is_refused_at_once(cloud: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRAIL_JOB_IMAGE", "eu.pkg.dev/nobody/knows:1")
    settings.cache_clear()
    try:
        with stopping(StageStopped, "image not found"):
            operator("train", "2024-01-01", "2024-01-14").execute(context("no-image", "train"))
    finally:
        monkeypatch.undo()
        settings.cache_clear()


class Later(datetime):
    """A clock that is a quarter of an hour ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Later":
        return super().now(tz) + timedelta(minutes=15)


def test_spot_without_quota_falls_back_to_on_demand(
    cloud: Toy, google: LoopbackCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform("features", "2024-01-01", "2024-01-13", "no-quota")

    def train(attempt: int) -> dict[str, Any]:
        return perform("train", "2024-01-01", "2024-01-13", "no-quota", attempt, params={"nthread": 1})

    with google.without_quota("g2-standard-8", spot=True):
        for attempt in (1, 2):
            with monkeypatch.context() as later, stopping(StageStopped, "preemptible_nvidia_l4_gpus") as stopped:
                later.setattr(waiting, "datetime", Later)
                train(attempt)
            assert not isinstance(stopped.value, StageRefused)
        assert train(3)["cost"]["amount"] > 0
    trainings: list[Any] = [one for one in receipts("no-quota") if one.stage == "train"]
    ended = sorted((one.attempt, one.state, bool(one.cost), one.usage.spot) for one in trainings)
    assert ended == [(1, "cancelled", False, True), (2, "cancelled", False, True), (3, "succeeded", True, False)]


def test_a_training_that_was_killed_goes_on_at_its_checkpoint_in_the_bucket(cloud: Toy) -> None:
    rows, first = made_rows(), np.arange(2000) < 1500
    spec = TRAIN.model_copy(update={"checkpoint_rounds": 2, "rounds": 7})
    params = booster_params("binary", spec)
    told: list[str] = []

    def checkpoints(kind: type[CheckpointFolder] = CheckpointFolder) -> CheckpointFolder:
        cloud.settings.staging.fs.invalidate_cache()  # as another machine would see it
        run = replace(cloud.stage_run("train", "2024-01-01"), progress=told.append)
        return kind(run, Method(spec, params, ThisProcess()), "md5")

    class Killed(CheckpointFolder):
        def save(self, name: str, checkpoint: Checkpoint) -> None:
            super().save(name, checkpoint)
            if len(checkpoint.history["fit"]["logloss"]) == 4:
                raise KeyboardInterrupt

    def model(kept: CheckpointFolder | None) -> bytes:
        return fit_trees(rows, first, ~first, Method(spec, params), kept).model

    with pytest.raises(KeyboardInterrupt):
        model(checkpoints(Killed))
    assert (checkpoints().folder.protocol, told) == ("gs", [])
    assert model(checkpoints()) == model(None)
    assert told == ["continuing fit after the checkpoint of run test-run"]
    checkpoints().remove()
    assert not checkpoints().folder.exists()


def test_nothing_of_the_chain_lies_on_the_disk_of_the_worker(cloud: Toy) -> None:
    home = cloud.settings.home_path
    left = {path.name for path in home.iterdir()} if home.exists() else set()
    # `lake` has the turns of this machine's writers, `tmp` what a query could not keep in memory.
    assert left <= {"models", "training_sets", ".dvc", ".dvcignore", "locks", "lake", "tmp"}, left
    assert {path.name for path in home.glob("lake/*")} <= {"turns"}
    assert [path for path in home.glob("tmp/*") if path.is_file()] == []
    assert cloud.settings.staging.exists() is False or not list(cloud.settings.staging.glob("**/*.parquet"))
