"""docker-compose.yaml and the Dockerfile, as the real Compose and hadolint read them; no container is started."""

import json
import os
import re
import stat
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT, Toy
from tests.toy_tables import copy_empty_registry, publish_toy
from werkzeug.security import check_password_hash

from contrail.config.settings import settings
from contrail.dispatch import bootstrap, payload
from contrail_airflow.local.compose_env import main, make_environment, new_passwords, write_environment
from contrail_airflow.login.mlflow_rights import READER
from contrail_airflow.roles import ROLES, SETTINGS_USER

BIN = Path(sys.executable).parent
ONCE = {"airflow-init", "airflow-settings"}
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


GOOGLE = ("docker-compose.yaml", "docker-compose.gcp.yaml")
_VARIABLES = make_environment(dict.fromkeys(new_passwords(), "of everybody"))
# For Debian, Docker and Google's agent.
_LEFT_FREE = 1.5 * 2**30


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


@pytest.mark.parametrize("missing", sorted(_VARIABLES))
def test_compose_refuses_to_start_without_any_one_secret(missing: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("".join(f"{name}='{value}'\n" for name, value in _VARIABLES.items() if name != missing))
    done = compose(path)
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value: run `make compose-env`" in done.stderr


def test_no_secret_has_a_default_anywhere() -> None:
    used = re.findall(r"\$\{(\w+)(:?[-?+])?", (PROJECT / "docker-compose.yaml").read_text())
    assert {name for name, kind in used if kind == ":?"} == set(_VARIABLES)
    assert not {name for name, kind in used if kind != ":?"} & set(_VARIABLES)


def test_the_secrets_are_private_new_each_time_and_never_overwritten(tmp_path: Path) -> None:
    path, other = tmp_path / ".env", tmp_path / "other"
    assert write_environment(path)
    assert write_environment(other)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_text()
    assert "'" not in "".join(line.partition("=")[2][1:-1] for line in first.splitlines())
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
    secret |= {"AIRFLOW__API__SECRET_KEY"}
    once = {"AIRFLOW_USERS", "AIRFLOW_SETTINGS_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_JOBS_PASSWORD", "MLFLOW_READER"}
    assert not (secret | once) & environment.keys()
    assert secret <= services["scheduler"]["environment"].keys()
    assert not once & services["scheduler"]["environment"].keys()


def test_the_first_users_are_those_of_the_embedded_airflow_and_no_file_has_their_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".env"
    monkeypatch.setattr(sys, "argv", ["compose_env", str(path)])
    main()
    shown = dict(re.findall(r"^  (\w+) +(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert list(shown) == [*(role.name for role in ROLES), READER]
    done = compose(path)
    assert done.returncode == 0, done.stderr
    assert not [name for name, password in shown.items() if password in path.read_text() + done.stdout]
    services = json.loads(done.stdout.replace("$$", "$"))["services"]
    hashes = json.loads(services["airflow-init"]["environment"]["AIRFLOW_USERS"])
    assert list(hashes) == [*(role.name for role in ROLES), SETTINGS_USER]
    hashes[READER] = services["mlflow"]["environment"]["MLFLOW_READER"]
    shown[SETTINGS_USER] = services["airflow-settings"]["environment"]["AIRFLOW_SETTINGS_PASSWORD"]
    assert all(check_password_hash(each, shown[name]) for name, each in hashes.items())
    assert not check_password_hash(hashes["admin"], shown["analyst"])
    main()
    assert "is kept" in capsys.readouterr().out


# ---- on Google Cloud ----

_OWN = {"CONTRAIL_ENV", "CONTRAIL_REVISION", "CONTRAIL_AIRFLOW_IMAGE"}  # of the deployment, not of Terraform
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
    assert given == _ASKED - _OWN
    # Whatever else runs in Contrail's image reads the environment. MLflow's own server does not.
    ours = {name for name, service in on_google.items() if service["image"] == "some-contrail_airflow_image"} - {
        "mlflow"
    }
    assert len(ours) == 7
    for name in ours:
        assert named <= on_google[name]["environment"].keys(), name
    assert {service["image"] for name, service in on_google.items() if name in ("worker", "mlflow", "scheduler")} == {
        "some-contrail_airflow_image"
    }


def test_who_reads_mlflow_has_a_login_of_the_environment(on_google: dict[str, Any]) -> None:
    """Without one they would read the jobs' secret, which the machine's account may not."""
    logins = {
        name: (environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"])
        for name, service in on_google.items()
        if "MLFLOW_TRACKING_PASSWORD" in (environment := service["environment"])
    }
    assert logins.keys() == {"worker", "api-server"}
    assert set(logins.values()) == {("airflow", on_google["mlflow"]["environment"]["MLFLOW_PASSWORD"])}


def test_only_airflow_and_mlflow_use_the_cloud_s_database(on_google: dict[str, Any]) -> None:
    users = {name for name, service in on_google.items() if "PGUSER" in service["environment"]}
    assert users == {"airflow-init", "api-server", "dag-processor", "mlflow", "scheduler", "triggerer"}
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in on_google["worker"]["environment"]
    published = {name: service["ports"] for name, service in on_google.items() if "ports" in service}
    assert {(name, port.get("host_ip"), port["target"]) for name, ports in published.items() for port in ports} == {
        ("api-server", "127.0.0.1", 8080), ("mlflow", None, 5000),
    }  # fmt: skip


def test_the_limits_of_memory_fit_the_machine_that_the_docs_make(
    services: dict[str, Any], on_google: dict[str, Any]
) -> None:
    page = (PROJECT / "docs" / "gcp.md").read_text()
    (machine,) = set(re.findall(r"--machine-type=(\S+)", page))
    room = {"e2-standard-4": 16 * 2**30}[machine]
    for found in (services, on_google):
        limits = {
            name: int(service["deploy"]["resources"]["limits"]["memory"]) * service["deploy"].get("replicas", 1)
            for name, service in found.items()
        }
        assert sum(limits.values()) <= room - _LEFT_FREE, limits
    told = f"add up to {sum(limits.values()) / 2**30:g} GB of the machine's {room / 2**30:g}"
    assert told in page


def test_the_docs_make_the_settings_and_find_them_again_for_a_lost_machine(tmp_path: Path) -> None:
    """`terraform` and `gcloud` are stand-ins that print outputs and keep secrets; the rest of the commands runs."""
    page = (PROJECT / "docs" / "gcp.md").read_text()
    outputs = {name: f"some-{name.lower()}" for name in _ASKED - _OWN}
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, script in {
        "terraform": f"echo '{json.dumps(outputs)}'",
        # secrets versions add NAME --project=… --data-file=…, and: secrets versions access latest --secret=NAME …
        "gcloud": 'case "$1 $3" in *access) cat "${5#*=}" ;; *add) cat "${6#*=}" > "$4" ;; '
        'storage*) cat "${3#gs://*/}" > "$4" ;; *) echo sha256:1 ;; esac',
        "sudo": 'exec "$@"',
        "docker": "true",
        "make": f"PYTHONPATH={PROJECT}/plugins {sys.executable} -m contrail_airflow.local.compose_env",
    }.items():
        (stand_ins / name).write_text(f"#!/bin/bash\n{script}\n")
        (stand_ins / name).chmod(0o755)
    (tmp_path / "terraform").mkdir()

    def follow(after: str, until: str, commit: str = "") -> None:
        commands = re.search(r"```\n(.*?)```", page.partition(after)[2], re.DOTALL)
        assert commands
        text = textwrap.dedent(commands[1])
        own = {"PATH": f"{stand_ins}:{os.environ['PATH']}", "PROJECT": "p", "revision": "abc", "repository": "registry"}
        text = text.partition(until)[0] if until else text
        # As at a prompt: a line that fails stops no other.
        subprocess.run(["bash", "-c", text.replace("the-commit", commit)], cwd=tmp_path, env=own, check=False)

    follow("3. **Settings.**", "")
    made = compose(tmp_path / ".env", GOOGLE)
    assert made.returncode == 0, made.stderr
    services, password = json.loads(made.stdout)["services"], (tmp_path / "contrail-mlflow-jobs").read_text()
    assert services["worker"]["image"] == "registry/airflow@sha256:1"
    assert password == services["mlflow"]["environment"]["MLFLOW_JOBS_PASSWORD"]
    (tmp_path / "docker-compose.yaml").write_text("of an earlier commit")
    (tmp_path / "release.env").write_text("CONTRAIL_REVISION=def\nCONTRAIL_NEW=value=1\n")
    (tmp_path / "releases").mkdir()
    for name in ("def.tar", "another.tar"):
        with tarfile.open(tmp_path / "releases" / name, "w") as archive:
            archive.add(tmp_path / "release.env", "release.env")
            archive.add(PROJECT / "docker-compose.yaml", "docker-compose.yaml")
    before = (tmp_path / ".env").read_text().splitlines()
    for commit in ("mistyped", "another", "mistyped"):  # which is not there, and whose archive is of another commit
        follow("**The next release.**", "", commit)
        assert (tmp_path / ".env").read_text().splitlines() == before
    follow("**The next release.**", "", "def")
    after = (tmp_path / ".env").read_text().splitlines()
    assert after[:2] == ["CONTRAIL_REVISION=def", "CONTRAIL_NEW=value=1"]
    assert after[2:] == [line for line in before if not line.startswith("CONTRAIL_REVISION=")]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert (tmp_path / "docker-compose.yaml").read_bytes() == (PROJECT / "docker-compose.yaml").read_bytes()
    (tmp_path / ".env").unlink()
    follow("**A lost machine.**", "git checkout")
    assert compose(tmp_path / ".env", GOOGLE).stdout == made.stdout
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


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
