"""The steps of the workflows that build and deploy, run by bash as GitHub runs them, with stand-ins for what they call."""

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.terraform.copies import needs_tools
from tests.terraform.workflow_rules import Repository

needs_tools()
PROJECT = Path(__file__).resolve().parents[2]
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGES = {"airflow": NEW, "job": "sha256:" + "c" * 64}
# A Docker whose registry is a folder: a file for each reference, which holds a digest.
DOCKER = """#!/bin/bash
shopt -s extglob
file() { echo "$REGISTRY/${1//\\//_}"; }
echo "$*" >> "$REGISTRY/log"
case "$*" in
  login*|pull*|"build "*) ;;
  push*) echo "$BUILT" > "$(file "$2")" ;;
  "image inspect"*) echo "$BASE" ;;
  "buildx imagetools inspect"*) cat "$(file "$4")" ;;
  "buildx imagetools create --prefer-index=false --tag"*) echo "${COPY_BECOMES:-${7#*@}}" > "$(file "$6")" ;;
  *) echo "unknown: $*" >&2; exit 64 ;;
esac
"""
TERRAFORM = """#!/bin/bash
case "$*" in
  *image_repository) echo some.registry/project/contrail ;;
  *environment) echo '{"CONTRAIL_ARTIFACTS_BUCKET": "some-artifacts"}' ;;
esac
"""
GCLOUD = '#!/bin/bash\ncase "$*" in "storage cp"*) cat > "$REGISTRY/record"; echo "$*" >> "$REGISTRY/log" ;; esac\n'


@dataclass(frozen=True)
class Runner:
    """A machine of GitHub's, with stand-ins for what a step calls."""

    folder: Path

    @property
    def checkout(self) -> Path:
        """Of this commit, as far as a step needs it."""
        place = self.folder / "checkout"
        if not place.exists():
            shutil.copytree(PROJECT / "docker", place / "docker")
            for path in PROJECT.glob("docker-compose*.yaml"):
                shutil.copy(path, place)
        return place

    def step(self, workflow: str, job: str, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one step's own text as GitHub does."""
        steps = Repository(PROJECT).files[workflow]["jobs"][job]["steps"]
        (script,) = [step["run"] for step in steps if step.get("name") == name]
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "REGISTRY": str(self.folder),
            "GITHUB_ACTOR": "somebody",
            "GITHUB_SHA": "0f1e",
            "GITHUB_REPOSITORY": "Acme/contrail",
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "TOKEN": "some-token",
            **variables,
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, env=environment, cwd=self.checkout, capture_output=True, text=True)

    def build(self, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {"TARGET": "airflow", "BUILT": NEW, "BASE": f"some/base:1@{OLD}"} | variables
        return self.step("ci.yaml", "build", "Build, unless this commit has its image", **given)

    def copy(self, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {name.upper(): digest for name, digest in IMAGES.items()} | variables
        return self.step("deploy-environment.yaml", "deploy", "Copy the scanned images, by digest", **given)

    def reference(self, name: str) -> Path:
        return self.folder / name.replace("/", "_")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    (tmp_path / "bin").mkdir()
    for name, text in {"docker": DOCKER, "terraform": TERRAFORM, "gcloud": GCLOUD}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return Runner(tmp_path)


def test_a_commit_is_built_once(runner: Runner) -> None:
    assert runner.build().returncode == 0
    assert (runner.folder / "output").read_text().splitlines() == [
        f"airflow={NEW}", f"reference=ghcr.io/acme/contrail/airflow@{NEW}", "built-airflow=ghcr.io/acme/contrail/airflow",
    ]  # fmt: skip
    assert runner.log.count("\nbuild ") == 1
    (runner.folder / "output").unlink()
    assert runner.build(BUILT=OLD).returncode == 0
    assert runner.log.count("\nbuild ") == 1
    assert OLD not in (runner.folder / "output").read_text()
    assert "built-airflow=" in (runner.folder / "output").read_text().splitlines(), "nobody saw how it was built"


@pytest.mark.parametrize("base", ["some/base:1", "", "some/base@sha256:12"])
def test_an_image_on_a_base_without_a_digest_is_refused(runner: Runner, base: str) -> None:
    done = runner.build(BASE=base)
    assert done.returncode == 1
    assert f"airflow is built on '{base}', which is not a digest" in done.stdout
    assert not (runner.folder / "output").exists()


def test_what_was_scanned_is_what_an_environment_gets(runner: Runner) -> None:
    for _ in range(2):  # a deployment that is run again copies again
        assert runner.copy().returncode == 0
    for name, digest in IMAGES.items():
        assert runner.reference(f"some.registry/project/contrail/{name}:0f1e").read_text() == f"{digest}\n"
        assert f"contrail/{name}:0f1e ghcr.io/acme/contrail/{name}@{digest}\n" in runner.log


def test_a_tag_that_means_another_image_is_refused(runner: Runner) -> None:
    tag = runner.reference("some.registry/project/contrail/airflow:0f1e")
    tag.write_text(f"{OLD}\n")
    done = runner.copy()
    assert done.returncode == 1
    assert f"airflow:0f1e is {OLD} already, and {NEW} was scanned" in done.stdout
    assert tag.read_text() == f"{OLD}\n"


def test_a_copy_with_another_digest_is_refused(runner: Runner) -> None:
    done = runner.copy(COPY_BECOMES=OLD)
    assert done.returncode == 1
    assert f"airflow:0f1e became {OLD}, and {NEW} was scanned" in done.stdout


def test_the_record_names_what_a_machine_runs(runner: Runner) -> None:
    done = runner.step("deploy-environment.yaml", "deploy", "Record the release", AIRFLOW=NEW, JOB=OLD)
    assert done.returncode == 0, done.stderr
    with tarfile.open(runner.folder / "record") as record:
        record.extractall(runner.folder / "machine", filter="data")
    machine = runner.folder / "machine"
    variables = (machine / "release.env").read_text().splitlines()
    assert variables == [
        "CONTRAIL_ARTIFACTS_BUCKET=some-artifacts",
        "CONTRAIL_REVISION=0f1e",
        f"CONTRAIL_AIRFLOW_IMAGE=some.registry/project/contrail/airflow@{NEW}",
    ]
    for path in (path for path in runner.checkout.rglob("*") if path.is_file() and path.name != "release.env"):
        assert (machine / path.relative_to(runner.checkout)).read_bytes() == path.read_bytes(), path
    summary = (runner.folder / "summary").read_text().splitlines()
    assert summary == [*variables, f"# some.registry/project/contrail/job@{OLD}"]
    assert "storage cp - gs://some-artifacts/releases/0f1e.tar" in runner.log
