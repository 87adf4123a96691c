"""Images that come from elsewhere are named by digest; the script that writes digests asks a Docker of this test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
DOCKERFILE = f"""ARG BASE_IMAGE=some/base:1
ARG PYTHON_IMAGE=python:3@{OLD}
ARG REVISION=unknown
FROM ${{BASE_IMAGE}} AS job
"""
COMPOSE = """services:
  postgres:
    image: postgres:17
  worker:
    image: ${CONTRAIL_AIRFLOW_IMAGE:?see docs/gcp.md}
  airflow:
    image: contrail:${CONTRAIL_REVISION:-unknown}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with four images of others, of which one has a digest, and a Docker that answers with one digest."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "pin_images.py").write_text((PROJECT / "scripts" / "pin_images.py").read_text())
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "docker-compose.yaml").write_text(COMPOSE)
    (tmp_path / "docker-compose.gcp.yaml").write_text("services:\n  proxy:\n    image: some.registry/proxy:2\n")
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{tmp_path}/asked"\n. "{tmp_path}/answer"\n')
    docker.chmod(0o755)
    (tmp_path / "answer").write_text(f"echo {NEW}\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "scripts" / "pin_images.py"), *arguments]
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_image_without_a_digest_is_found_and_gets_one(folder: Path) -> None:
    checked = run(folder, "--check")
    assert checked.returncode == 1
    assert checked.stdout.splitlines() == [
        f"{place} has no digest; run python scripts/pin_images.py"
        for place in ("Dockerfile:1: some/base:1", "docker-compose.gcp.yaml:3: some.registry/proxy:2",
                      "docker-compose.yaml:3: postgres:17")
    ]  # fmt: skip
    assert not (folder / "asked").exists()

    assert run(folder).returncode == 0
    assert (folder / "Dockerfile").read_text() == DOCKERFILE.replace("some/base:1", f"some/base:1@{NEW}")
    assert (folder / "docker-compose.yaml").read_text() == COMPOSE.replace("postgres:17", f"postgres:17@{NEW}")
    assert "imagetools inspect some/base:1 " in (folder / "asked").read_text()
    assert run(folder, "--check").returncode == 0


def test_an_image_with_a_digest_keeps_it_until_all_are_asked_for(folder: Path) -> None:
    run(folder)
    assert f"python:3@{OLD}" in (folder / "Dockerfile").read_text()
    run(folder, "--all")
    assert f"python:3@{NEW}" in (folder / "Dockerfile").read_text()


@pytest.mark.parametrize("answer", ["echo denied >&2; exit 1", "echo '<no value>'", "true"])
def test_no_answer_of_a_registry_is_taken_for_a_digest(folder: Path, answer: str) -> None:
    (folder / "answer").write_text(answer)
    done = run(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("some/base:1: no digest. `docker buildx imagetools inspect some/base:1")
    assert (folder / "Dockerfile").read_text() == DOCKERFILE


def test_every_image_here_has_its_digest_but_one_that_no_source_names() -> None:
    sys.path.insert(0, str(PROJECT / "scripts"))
    try:
        import pin_images
    finally:
        sys.path.pop(0)
    named = {
        image.name.rpartition(":")[0]: bool(pin_images.DIGEST.fullmatch(image.digest))
        for image in pin_images.images(PROJECT)
    }
    assert {name for name, pinned in named.items() if not pinned} <= {"apache/airflow"}
    assert len(named) == 5, "an image that the script does not see is not pinned"
