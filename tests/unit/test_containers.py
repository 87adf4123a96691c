"""docker-compose.yaml and the Dockerfile, as the real Compose and hadolint read them; no container is started."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT, Toy
from tests.toy_tables import copy_empty_registry, publish_toy

from contrail.config.settings import settings
from contrail.dispatch import bootstrap, payload
from contrail_airflow.local.compose_env import make_environment, write_environment
from contrail_airflow.roles import ROLES

BIN = Path(sys.executable).parent
ONCE = {"airflow-init", "airflow-settings"}
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


GOOGLE = ("docker-compose.yaml", "docker-compose.gcp.yaml")


def compose(env_file: Path, files: tuple[str, ...] = GOOGLE[:1]) -> subprocess.CompletedProcess[str]:
    """What Compose makes of the files with these variables and no others."""
    chosen = [part for file in files for part in ("--file", file)]
    command = [str(BIN / "docker-compose"), *chosen, "--env-file", str(env_file), "config", "--format", "json"]
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("compose") / ".env"
    write_environment(path)
    done = compose(path)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


@pytest.mark.parametrize("missing", sorted(make_environment()))
def test_compose_refuses_to_start_without_any_one_secret(missing: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("".join(f"{name}='{value}'\n" for name, value in make_environment().items() if name != missing))
    done = compose(path)
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value: run `make compose-env`" in done.stderr


def test_no_secret_has_a_default_anywhere() -> None:
    used = re.findall(r"\$\{(\w+)(:?[-?+])?", (PROJECT / "docker-compose.yaml").read_text())
    assert {name for name, kind in used if kind == ":?"} == set(make_environment())
    assert not {name for name, kind in used if kind != ":?"} & set(make_environment())


def test_the_secrets_are_private_new_each_time_and_never_overwritten(tmp_path: Path) -> None:
    path, other = tmp_path / ".env", tmp_path / "other"
    assert write_environment(path)
    assert write_environment(other)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_text()
    assert not set(first.splitlines()) & set(other.read_text().splitlines())
    assert not write_environment(path)
    assert path.read_text() == first
    ignored = subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=PROJECT, check=False)
    assert ignored.returncode == 0


def test_services(services: dict[str, Any]) -> None:
    assert sorted(services) == [
        "airflow-init", "airflow-settings", "api-server", "dag-processor", "mlflow", "postgres", "redis", "scheduler",
        "triggerer", "worker",
    ]  # fmt: skip
    assert services["worker"]["deploy"]["replicas"] == 2
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}, name
        if name not in ONCE:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_only_pages_are_reachable_and_only_from_this_machine(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"api-server", "mlflow"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}


def test_workers_hold_none_of_airflows_own_secrets(services: dict[str, Any]) -> None:
    environment = services["worker"]["environment"]
    secret = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"}
    secret |= {"AIRFLOW__API__SECRET_KEY", "AIRFLOW_PASSWORDS"}
    assert not secret & environment.keys()
    assert secret - {"AIRFLOW_PASSWORDS"} <= services["scheduler"]["environment"].keys()


def test_users_are_those_of_the_embedded_airflow(services: dict[str, Any]) -> None:
    environment = services["api-server"]["environment"]
    users = environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert users == ",".join(f"{role.name}:{role.airflow}" for role in ROLES)
    assert list(json.loads(environment["AIRFLOW_PASSWORDS"])) == [role.name for role in ROLES]


# ---- on Google Cloud ----

_ASKED = set(re.findall(r"\$\{(CONTRAIL_\w+):\?see", (PROJECT / GOOGLE[1]).read_text()))


@pytest.fixture(scope="module")
def on_google(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("compose") / ".env"
    write_environment(path)
    with path.open("a") as file:
        file.writelines(f"{name}=some-{name.lower()}\n" for name in sorted(_ASKED))
    done = compose(path, GOOGLE)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


def test_compose_asks_for_what_the_environment_names_and_terraform_gives(on_google: dict[str, Any]) -> None:
    prod = (PROJECT / "include" / "environments" / "prod.yaml").read_text()
    named = {f"CONTRAIL_{name.upper()}" for name in re.findall(r"\{(\w+)\}", prod)} - {"CONTRAIL_PROJECT"}
    outputs = (PROJECT / "terraform" / "outputs.tf").read_text().partition('output "environment"')[2]
    given = set(re.findall(r"^\s+(CONTRAIL_\w+)\s+=", outputs, re.MULTILINE))
    assert named - {"CONTRAIL_JOB_IMAGE"} <= given
    assert _ASKED - {"CONTRAIL_ENV", "CONTRAIL_REVISION", "CONTRAIL_AIRFLOW_IMAGE"} == given
    for name in ("worker", "scheduler", "dag-processor", "triggerer", "api-server"):
        assert named <= on_google[name]["environment"].keys(), name
    assert {service["image"] for name, service in on_google.items() if name in ("worker", "mlflow", "scheduler")} == {
        "some-contrail_airflow_image"
    }


def test_only_airflow_and_mlflow_use_the_cloud_s_database(on_google: dict[str, Any]) -> None:
    users = {name for name, service in on_google.items() if "PGUSER" in service["environment"]}
    assert users == {"airflow-init", "api-server", "dag-processor", "mlflow", "scheduler", "triggerer"}
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in on_google["worker"]["environment"]
    published = {name: service["ports"] for name, service in on_google.items() if "ports" in service}
    assert {(name, port.get("host_ip"), port["target"]) for name, ports in published.items() for port in ports} == {
        ("api-server", "127.0.0.1", 8080), ("mlflow", None, 5000),
    }  # fmt: skip


# ---- images ----


def test_what_the_images_copy_reaches_the_build() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    copied = {path for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()}
    assert "requirements-gpu.txt" in copied
    for path in copied:
        assert f"!{path.split('/')[0]}" in ignored, path
        assert (PROJECT / path).exists(), path


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [str(BIN / "hadolint"), str(PROJECT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_the_locked_airflow() -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked
    assert re.search(
        rf"^ARG AIRFLOW_IMAGE=apache/airflow:slim-{re.escape(locked[1])}-python3.12(@sha256:\w+)?$", DOCKERFILE, re.M
    )


def test_each_image_names_its_base() -> None:
    for name, stage in (("PYTHON_IMAGE", "job"), ("AIRFLOW_IMAGE", "airflow")):
        text = DOCKERFILE.partition(f"FROM ${{{name}}} AS {stage}\n")[2].partition("\nFROM ")[0]
        assert f"\nARG {name}\n" in text, "without this line the label would be empty"
        assert f'org.opencontainers.image.base.name="${{{name}}}"' in text


def test_the_job_image_holds_what_a_remote_job_starts_with() -> None:
    job = DOCKERFILE.partition(" AS job\n")[2].partition("\nFROM ")[0]
    start = Path(payload._BOOTSTRAP_IN_IMAGE)
    assert f"COPY include/contrail/dispatch/{start.name} {start.parent}/\n" in job
    assert f"> {bootstrap._IMAGE_LOCK}\n" in job


ENGINES = {"pyspark", "py4j", "pysail"}


def test_the_job_image_has_the_lock_without_the_engines(tmp_path: Path) -> None:
    """Dataproc mounts its own Spark. The lock's hash stays that of the whole lock, so a job still refuses another image."""
    program = re.search(r"awk '([^']+)' /opt/contrail/requirements.txt > (\S+)", DOCKERFILE)
    assert program and f"--require-hashes --requirement {program[2]} " in DOCKERFILE
    lock = PROJECT / "requirements.txt"
    left = subprocess.run(["awk", program[1], lock], capture_output=True, text=True, check=True).stdout

    def packages(text: str) -> dict[str, list[str]]:
        return {
            block[0]: block[1:] for block in re.findall(r"^([a-z0-9][\w.-]*)(==.*)((?:\n    .*)*)", text, re.MULTILINE)
        }

    whole, kept = packages(lock.read_text()), packages(left)
    assert whole.keys() - kept.keys() == ENGINES
    assert kept == {name: whole[name] for name in kept}, "each with its own version and hashes"


@pytest.mark.slow
def test_a_training_needs_no_engine(toy: Toy) -> None:
    """It runs on Vertex AI in the image that has none."""
    publish_toy(toy, "2024-01-01", "2024-02-01")
    copy_empty_registry(settings())
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(ENGINES)})); from contrail.cli.app import main; main()"
    )
    arguments = ["train", "--pipeline", "toy", "--from", "2024-01-01", "--to", "2024-01-25"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout or done.stderr


def test_no_image_runs_as_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert [re.findall(r"^USER (\d+)$", stage, re.MULTILINE)[-1] for stage in stages] == ["1099", "50000"]
