"""The payload for a target: golden payloads, ids that name the attempt, and labels that Google accepts."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1.types import CustomJob
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.loopback import limits
from tests.loopback.vertex_limits import problems

from contrail.config.targets import DispatchSettings, LocalTarget, SparkTarget, Stage, VertexTarget
from contrail.dispatch.payload import (
    JOB_LABEL,
    RUN_LABEL,
    TASK_LABEL,
    Code,
    Job,
    job_folder,
    key_label,
    labels,
    render_batch,
    render_custom_job,
    render_process,
)
from contrail.stages import VERBS

GOLDEN = Path(__file__).with_name("golden")
DISPATCH = DispatchSettings.model_validate(
    yaml.safe_load("""
    jobs_uri: gs://demo-artifacts/jobs
    labels: {team: data-science, cost-centre: cc-42}
    stages: {features: spark, train: gpu}
    pipelines: {bike_demand: {train: local}}
    targets:
      cluster: {kind: spark, master: "spark://head:7077"}
      spark:
        kind: dataproc
        project: demo
        region: europe-west1
        service_account: spark@demo.iam.gserviceaccount.com
        image: europe-west1-docker.pkg.dev/demo/contrail/job:1
        subnetwork: projects/demo/regions/europe-west1/subnetworks/jobs
        properties: {spark.executor.instances: "4"}
      gpu:
        kind: vertex
        project: demo
        region: europe-west1
        service_account: train@demo.iam.gserviceaccount.com
        image: europe-west1-docker.pkg.dev/demo/contrail/job:1
        machine_type: g2-standard-8
        accelerator_type: NVIDIA_L4
        accelerator_count: 1
        spot_attempts: 2
    """)
)
CODE = Code(
    "gs://demo-artifacts/jobs/code/ab/contrail.whl", "ab", "gs://demo-artifacts/jobs/code/cd/bootstrap.py", "9f9", "ef"
)
JOB = Job(
    command=("features", "--pipeline", "toy", "--from", "2024-01-05", "--to", "2024-01-07", "--json"),
    pipeline="toy",
    stage="features",
    partitions="2024-01-05..2024-01-07",
    run="scheduled__2024-01-05",
    work="toy__daily/scheduled__2024-01-05/features/-1",
    started="2024-01-06 05:00:00+00:00",
    attempt=1,
)
VARIABLES = {"CONTRAIL_ENV": "prod", "CONTRAIL_GCP_PROJECT": "demo"}


def check_golden(name: str, found: Any) -> None:
    """Compare with the file; it is reviewed and written by hand or by deleting it and running the test twice."""
    path = GOLDEN / f"{name}.json"
    text = json.dumps(found, indent=2) + "\n"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{path} was missing and has been written: review it")
    assert text == path.read_text()


def test_a_batch() -> None:
    target = DISPATCH.target_of("toy", "features")
    check_golden("dataproc", render_batch(JOB, target, DISPATCH, CODE, VARIABLES))  # type: ignore[arg-type]


def test_a_custom_job() -> None:
    target = DISPATCH.target_of("toy", "train")
    job = replace(JOB, stage="train")
    check_golden("vertex", render_custom_job(job, target, DISPATCH, CODE, VARIABLES))  # type: ignore[arg-type]


def test_spot_machines_come_first_and_an_on_demand_one_after_them() -> None:
    target = DISPATCH.target_of("toy", "train")
    assert isinstance(target, VertexTarget)
    strategies = [
        render_custom_job(replace(JOB, attempt=n), target, DISPATCH, CODE, {})["job_spec"]["scheduling"]["strategy"]
        for n in (1, 2, 3)
    ]
    assert strategies == ["SPOT", "SPOT", "STANDARD"]


def test_the_payloads_are_what_googles_types_take() -> None:
    from google.cloud.dataproc_v1.types import Batch

    spark, gpu = DISPATCH.targets["spark"], DISPATCH.targets["gpu"]
    batch = Batch(render_batch(JOB, spark, DISPATCH, CODE, VARIABLES))  # type: ignore[arg-type]
    assert batch.environment_config.execution_config.ttl.total_seconds() == 7200
    custom = CustomJob(render_custom_job(JOB, gpu, DISPATCH, CODE, VARIABLES))  # type: ignore[arg-type]
    assert custom.job_spec.scheduling.strategy.name == "SPOT"
    assert custom.job_spec.worker_pool_specs[0].machine_spec.accelerator_type.name == "NVIDIA_L4"


def test_a_process_is_told_its_engine() -> None:
    assert render_process(JOB, LocalTarget())["environment"] == {}
    there = render_process(JOB, SparkTarget(kind="spark", master="spark://head:7077"))
    assert there["environment"] == {"CONTRAIL_ENGINE": "spark://head:7077"}
    assert there["command"][1:4] == ["-m", "contrail", "features"]


@given(
    work=st.text(max_size=200),
    attempt=st.integers(1, 99),
    pipeline=st.from_regex(r"[a-z][a-z0-9_]{0,80}", fullmatch=True),
)
def test_an_id_is_legal_and_names_the_work_and_the_attempt(work: str, attempt: int, pipeline: str) -> None:
    job = replace(JOB, work=work, attempt=attempt, pipeline=pipeline)
    assert re.fullmatch(r"[a-z][a-z0-9-]{2,61}[a-z0-9]", job.id)
    assert job.id == replace(job, run="another", command=()).id
    assert job.id != replace(job, attempt=attempt + 1).id
    assert job.id != replace(job, work=work + "x").id
    assert job.id != replace(job, started="later").id
    assert job_folder(pipeline, job.id, DISPATCH).endswith(job.id)


@given(run=st.text(max_size=200), partitions=st.text(max_size=100))
def test_labels_are_legal(run: str, partitions: str) -> None:
    """For both services, of which Dataproc takes less."""
    most = DISPATCH.model_copy(update={"labels": {f"own-{n}": "" for n in range(21)} | DISPATCH.labels})
    found = labels(replace(JOB, run=run, partitions=partitions), most)
    assert len(found) == limits.BATCH_LABELS
    assert all(limits.BATCH_LABEL_KEY.fullmatch(name) for name in found)
    assert all(limits.BATCH_LABEL_VALUE.fullmatch(value) for value in found.values())
    assert (found["team"], found["cost-centre"], found[JOB_LABEL]) == ("data-science", "cc-42", JOB.id)


@given(run=st.text(max_size=200))
def test_the_jobs_of_a_run_and_of_a_task_have_labels_in_common(run: str) -> None:
    def keys(job: Job, dispatch: DispatchSettings = DISPATCH) -> tuple[str, str]:
        found = labels(job, dispatch)
        return found[RUN_LABEL], found[TASK_LABEL]

    job = replace(JOB, work=f"{run}/score/-1")
    own_run, own_task = keys(job)
    assert keys(replace(job, attempt=2, started="later", command=())) == (own_run, own_task)
    assert key_label(run, DISPATCH) == own_run
    assert key_label(f"{run}/score/-1", DISPATCH) == own_task
    for other in ("score/0", "drift/-1"):
        same_run, other_task = keys(replace(job, work=f"{run}/{other}"))
        assert (same_run, other_task != own_task) == (own_run, True)
    elsewhere = DISPATCH.model_copy(update={"jobs_uri": "gs://stage/jobs"})
    for strange in (keys(replace(job, work=f"{run}x/score/-1")), keys(job, elsewhere)):
        assert own_run not in strange and own_task not in strange


def test_where_a_stage_runs() -> None:
    assert DISPATCH.target_of("toy", "train").kind == "vertex"
    assert DISPATCH.target_of("bike_demand", "train").kind == "local"
    assert DISPATCH.target_of("toy", "score").kind == "local"
    assert DISPATCH.target_of("toy", "late").kind == "local", "what is no stage stays here"
    assert set(Stage.__args__) == {*VERBS, "tune"}  # type: ignore[attr-defined]


def test_an_n1_machine_takes_some_numbers_of_gpus() -> None:
    values = DISPATCH.targets["gpu"].model_dump()
    values |= {"machine_type": "n1-standard-8", "accelerator_type": "NVIDIA_TESLA_T4"}
    assert VertexTarget.model_validate({**values, "accelerator_count": 4}).accelerator_count == 4
    with pytest.raises(ValidationError, match="n1 machines take 1, 2, 4 of NVIDIA_TESLA_T4, not 3"):
        VertexTarget.model_validate({**values, "accelerator_count": 3})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("stages.train", "tpu", "stages.train: no target 'tpu'; targets: cluster, spark, gpu, local"),
        ("pipelines.toy", {"score": "tpu"}, "pipelines.toy.score: no target 'tpu'"),
        ("stages.trian", "gpu", "Input should be 'ingest'"),
        ("jobs_uri", None, "jobs_uri is needed"),
        ("labels.Team", "x", "should match pattern"),
        ("labels.cost_centre", "x", "should match pattern"),
        ("labels.team", "data_science", "should match pattern"),
        ("labels", {f"own-{n}": "" for n in range(24)}, "at most 23 items"),
        ("targets.spark.runtime_version", "2.3", "runtime 2.3 has Spark 3.5, and Contrail needs Spark 4.0 or later"),
        ("targets.spark.runtime_version", "1.2", "runtime 1.2 has no Spark 4"),
        ("targets.spark.runtime_version", "3.0.14", "should match pattern"),
        ("targets.spark.timeout_minutes", 14 * 24 * 60 + 1, "less than or equal to 20160"),
        ("targets.spark.staging_bucket", "scratch", "Extra inputs are not permitted"),
        ("targets.gpu.accelerator_type", "NVIDIA_TESLA_T4", "g2-standard-8 comes with accelerator_type NVIDIA_L4, "),
        ("targets.gpu.accelerator_count", 2, "accelerator_count 1"),
        ("targets.gpu.machine_type", "g2-standard-7", "no machine type g2-standard-7 is known"),
        ("targets.gpu.machine_type", "e2-standard-8", "e2-standard-8 takes no accelerator"),
        ("targets.gpu.machine_type", "n1-standard-8", "n1 machines take NVIDIA_TESLA_T4"),
        ("targets.spark.properties", {"master": "x"}, "should match pattern"),
        ("targets.cluster.master", "http://head", "should match pattern"),
    ],
)
def test_a_target_that_cannot_be_is_refused_when_it_is_loaded(path: str, value: Any, words: str) -> None:
    values = DISPATCH.model_dump()
    *parents, last = path.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(ValidationError) as raised:
        DispatchSettings.model_validate(values)
    assert words in str(raised.value)


H200 = {"machine_type": "a3-ultragpu-8g", "accelerator_type": "NVIDIA_H200_141GB", "accelerator_count": 8}
ATTACHMENT = "projects/1/regions/europe-west4/networkAttachments/jobs"
PEERED = {"network": "projects/1/global/networks/contrail", "ip_ranges": ["contrail-vertex"]}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {**PEERED, "spot_attempts": 0},
        {"region": "europe-west4", **H200},
        {"region": "europe-west4", **H200, "network_attachment": ATTACHMENT},
        {"machine_type": "n4-standard-8", "accelerator_type": None, "accelerator_count": 0},
        {"timeout_minutes": 7 * 24 * 60, "boot_disk_gb": 64_000},
        {**PEERED, "fallbacks": [{"region": "europe-west4", **H200, "network_attachment": ATTACHMENT}]},
    ],
)
def test_a_custom_job_is_within_the_documented_limits(changed: dict[str, Any]) -> None:
    target = VertexTarget.model_validate({**DISPATCH.targets["gpu"].model_dump(), **changed})
    for attempt in range(1, target.attempts + 1):
        job = replace(JOB, attempt=attempt, run="r" * 200)
        custom = CustomJob(render_custom_job(job, target, DISPATCH, CODE, VARIABLES))
        assert list(problems(custom, target.place(attempt).region)) == []


def test_each_place_renders_its_own_machine_disk_and_network() -> None:
    other = {"region": "europe-west4", **H200, "network_attachment": ATTACHMENT, "spot": True}
    target = VertexTarget.model_validate({**DISPATCH.targets["gpu"].model_dump(), **PEERED, "fallbacks": [other]})
    first, last = (
        CustomJob(render_custom_job(replace(JOB, attempt=n), target, DISPATCH, CODE, {})).job_spec for n in (1, 4)
    )
    assert (first.network, list(first.reserved_ip_ranges)) == (PEERED["network"], ["contrail-vertex"])
    assert (last.network, list(last.reserved_ip_ranges)) == ("", [])
    assert last.psc_interface_config.network_attachment == ATTACHMENT
    assert last.scheduling.strategy.name == "SPOT"
    disks = [spec.worker_pool_specs[0].disk_spec.boot_disk_type for spec in (first, last)]
    assert disks == ["pd-ssd", "hyperdisk-balanced"]
