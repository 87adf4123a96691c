"""What the project's wheel says about itself."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_wheel_has_its_licence_and_the_metadata_that_an_index_shows(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("contrail-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        (licence,) = (archive.read(name) for name in names if name.endswith(".dist-info/licenses/LICENSE"))
    found = Parser().parsestr(metadata)
    assert licence == (PROJECT / "LICENSE").read_bytes()
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Author"] == "Contrail contributors"
    assert "airflow" in found["Keywords"]
    assert "Framework :: Apache Airflow" in found.get_all("Classifier", [])
    assert found.get_payload().startswith("# Contrail")
