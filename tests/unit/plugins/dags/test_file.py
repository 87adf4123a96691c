"""A DAG file names the DAGs that it makes, and a second file may not make the same ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT

from contrail.config.settings import settings
from contrail.errors import SpecError
from contrail_airflow.dags.file import NAMES, DagFile

HEAD = "from contrail_airflow.dags.file import DagFile\n\ndags = DagFile(__file__)\n"


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAG folder with the file of ``flight_delay``."""
    path = tmp_path / "dags"
    path.mkdir()
    shutil.copy(PROJECT / "dags" / "flight_delay.py", path)
    monkeypatch.setenv("CONTRAIL_DAGS", str(path))
    settings.cache_clear()
    return path


def write(path: Path, *names: str) -> DagFile:
    """A DAG file that makes these DAGs of ``flight_delay``."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + "".join(f'{name} = dags.{name}("flight_delay")\n' for name in names))
    return DagFile(str(path))


def test_the_files_that_are_shipped_name_their_dags(home: Path) -> None:
    """Whoever looks for a DAG's id finds its file."""
    for path in (PROJECT / "dags").glob("*.py"):
        text = path.read_text()
        for name in NAMES:
            line = f'{name} = dags.{name}("{path.stem}")  # {path.stem}__{name}: '
            assert text.count(line) == 1, line


@pytest.mark.parametrize("copy", ["copy.py", "a_copy.py", "old/flight_delay.py", "old/a.py"])
@pytest.mark.parametrize("name", NAMES)
def test_a_copied_file_is_refused_and_the_original_goes_on(folder: Path, copy: str, name: str) -> None:
    (folder / copy).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "flight_delay.py", folder / copy)
    with pytest.raises(SpecError) as refused:
        getattr(DagFile(str(folder / copy)), name)("flight_delay")
    assert str(refused.value) == (
        f"dags/{copy} makes the DAG flight_delay__{name}, which dags/flight_delay.py makes already. "
        f"Delete dags/{copy}, or give it another pipeline."
    )
    original = DagFile(str(folder / "flight_delay.py"))
    assert getattr(original, name)("flight_delay").dag_id == f"flight_delay__{name}"


def test_of_two_files_of_other_names_the_first_keeps_its_dag(folder: Path) -> None:
    (folder / "flight_delay.py").unlink()
    second, deep, first = (write(folder / name, "daily") for name in ("second.py", "deep/a.py", "first.py"))
    assert first.daily("flight_delay").dag_id == "flight_delay__daily"
    for refused in (second, deep):
        with pytest.raises(SpecError, match=r"which dags/first\.py makes already"):
            refused.daily("flight_delay")


def test_two_files_may_share_a_pipeline_when_each_dag_has_one(folder: Path) -> None:
    (folder / "flight_delay.py").unlink()
    days, models = write(folder / "days.py", "daily", "score"), write(folder / "models.py", "train")
    made = [days.daily("flight_delay"), days.score("flight_delay"), models.train("flight_delay")]
    assert [dag.dag_id.partition("__")[2] for dag in made] == ["daily", "score", "train"]


def test_files_that_make_no_dag_take_no_id(folder: Path) -> None:
    """What Airflow ignores, what is broken, what only looks alike, what is gone before it is read."""
    text = (folder / "flight_delay.py").read_text()
    (folder / "ignored").mkdir()
    (folder / ".airflowignore").write_text("ignored\n")
    (folder / "ignored" / "flight_delay.py").write_text(text)
    (folder / "broken.py").write_text(text + "(")
    (folder / "words.py").write_text(f'"""{HEAD} dags.daily("flight_delay") of a dag of airflow"""\n')
    (folder / "gone.py").symlink_to(folder / "nowhere.py")
    (folder / "flight_delay.py").unlink()
    kept = write(folder / "zz.py", "daily")
    assert kept.daily("flight_delay").dag_id == "flight_delay__daily"


def test_a_pipeline_that_is_not_named_is_refused(folder: Path) -> None:
    """A file that hides it could not be found, neither by a person nor by the file that has a copy of it."""
    path = folder / "loop.py"
    path.write_text(HEAD + 'for name in ["bike_demand"]:\n    globals()[name] = dags.daily(name)\n')
    with pytest.raises(SpecError, match=r'dags/loop\.py must say dags\.daily\("bike_demand"\) in these very words'):
        DagFile(str(path)).daily("bike_demand")


_LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bags = [DagBag(dag_folder=path, bundle_path=sys.argv[1]) for path in sys.argv[2:]]
found = [{"errors": bag.import_errors, "dags": {dag.dag_id: dag.relative_fileloc for dag in bag.dags.values()}} for bag in bags]
print(json.dumps(found))
"""


def test_airflow_shows_the_refusal_and_keeps_the_dags_of_the_original(folder: Path, tmp_path: Path) -> None:
    """As its DAG processor does: each file by itself."""
    original, copy = folder / "flight_delay.py", folder / "old" / "copy.py"
    copy.parent.mkdir()
    shutil.copy(original, copy)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{PROJECT / 'include'}{os.pathsep}{PROJECT / 'plugins'}",
    }
    command = [sys.executable, "-c", _LOAD, str(folder), str(original), str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept, refused = json.loads(done.stdout.splitlines()[-1])
    assert kept == {"errors": {}, "dags": {f"flight_delay__{name}": "flight_delay.py" for name in NAMES}}
    assert refused["dags"] == {}
    (error,) = refused["errors"].values()
    assert "dags/old/copy.py makes the DAG flight_delay__daily, which dags/flight_delay.py makes already" in error


@pytest.mark.parametrize("name", NAMES)
def test_no_dag_runs_in_a_sandbox(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CONTRAIL_SANDBOX", "deeper")
    settings.cache_clear()
    with pytest.raises(SpecError, match="DAGs run only in the main lake, and this process is in the sandbox 'deeper'"):
        getattr(write(folder / "flight_delay.py", name), name)("flight_delay")
