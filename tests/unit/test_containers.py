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
from tests.conftest import PROJECT

from contrail.dispatch import bootstrap, payload
from contrail_airflow.compose_env import make_environment, write_environment
from contrail_airflow.roles import ROLES

BIN = Path(sys.executable).parent
ONCE = {"airflow-init", "airflow-settings"}
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def compose(env_file: Path) -> subprocess.CompletedProcess[str]:
    """What Compose makes of the file with these variables and no others."""
    command = [str(BIN / "docker-compose"), "--env-file", str(env_file), "config", "--format", "json"]
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


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [str(BIN / "hadolint"), str(PROJECT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_base_image_is_the_locked_airflow() -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked
    assert f"ARG AIRFLOW_IMAGE=apache/airflow:slim-{locked[1]}-python3.12\n" in DOCKERFILE


def test_the_job_image_holds_what_a_remote_job_starts_with() -> None:
    job = DOCKERFILE.partition(" AS job\n")[2].partition("\nFROM ")[0]
    start = Path(payload._BOOTSTRAP_IN_IMAGE)
    assert f"COPY include/contrail/dispatch/{start.name} {start.parent}/\n" in job
    assert f"> {bootstrap._IMAGE_LOCK}\n" in job


def test_no_image_runs_as_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert [re.findall(r"^USER (\d+)$", stage, re.MULTILINE)[-1] for stage in stages] == ["1099", "50000"]
