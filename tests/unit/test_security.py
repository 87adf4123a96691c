"""What SECURITY.md says: each test that it names is there, code runs no text, and no rule is left out without a reason."""

import ast
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typer.main import get_command

from contrail.cli.app import app
from contrail.config.settings import settings
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.operators.upkeep import ReplayOperator

PROJECT = Path(__file__).resolve().parents[2]
TEXT = (PROJECT / "SECURITY.md").read_text()
OURS = ("include", "plugins", "dags", "scripts")


def threats() -> list[list[str]]:
    """The cells of each row of the threat model."""
    (table,) = re.findall(r"## Threat model\n.*?\n(\| who .*?)\n\n", TEXT, re.DOTALL)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_each_threat_names_tests_that_exist() -> None:
    rows = threats()
    assert len(rows) > 20
    for row in rows:
        assert len(row) == 4, row
        named = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", row[3])
        assert named, row
        for words, link in named:
            path = PROJECT / link
            assert path.is_file(), f"{row[1]}: there is no {link}"
            source = path.read_text()
            for test in re.findall(r"test_\w+|run \w+", words):
                found = f"def {test}(" in source or f'{test.replace(" ", " " + chr(34))}"' in source
                assert found, f"{row[1]}: {link} has no {test}"


# ---- code that runs text ----

_RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
_LOADS_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def faults_of(path: Path, source: str) -> Iterator[str]:
    """What in a file would run a text, or load code from data."""
    for node in ast.walk(ast.parse(source)):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
            yield from (f"{place} imports {name}" for name in modules if name.partition(".")[0] in _LOADS_CODE)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in _RUNS_TEXT or name in ("os.system", "os.popen", "yaml.load", "yaml.unsafe_load"):
            yield f"{place} calls {name}"
        if any(each.arg == "shell" and ast.unparse(each.value) != "False" for each in node.keywords):
            yield f"{place} starts a shell"


def test_no_text_is_run_and_no_data_is_code() -> None:
    files = [path for folder in OURS for path in (PROJECT / folder).rglob("*.py")]
    assert len(files) > 500
    assert [fault for path in files for fault in faults_of(path, path.read_text())] == []


@pytest.mark.parametrize("planted", [
    "eval('1')", "import pickle", "from joblib import load", "import os\nos.system('ls')", "run('ls', shell=True)",
    "yaml.load(text)", "exec(code)",
])  # fmt: skip
def test_what_runs_text_is_found(planted: str) -> None:
    assert list(faults_of(Path("planted.py"), planted))


# ---- rules of ruff that are left out ----


def test_each_rule_of_security_that_is_left_out_has_a_reason() -> None:
    pattern = re.compile(r"# noqa: [A-Z0-9, ]*\bS\d+")
    for folder in (*OURS, "tests", "benchmarks", "docs"):
        for path in (PROJECT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if pattern.search(line) and path != Path(__file__):
                    assert re.search(r"# noqa: [A-Z0-9, ]+ [-—] \w", line), f"{path}:{number} gives no reason"
    configured = (PROJECT / "pyproject.toml").read_text()
    assert "S" in tomllib.loads(configured)["tool"]["ruff"]["lint"]["select"]
    section = configured[configured.index("[tool.ruff.lint]") : configured.index("[tool.mypy]")]
    for line in section.splitlines():
        if re.search(r'"S\d+"', line):
            assert re.search(r"#\s+\w.{15,}", line), f"pyproject.toml gives no reason: {line}"


# ---- parameters of DAGs ----

HOSTILE = ["--personal", "-p other", "$(touch x)", "`id`; rm -rf /", "{{ 7 * 7 }}", "{% for x in y %}", "a\n--dry-run"]


@pytest.mark.parametrize("value", HOSTILE, ids=shlex.quote)
def test_a_value_of_a_form_stays_the_value_of_one_option(value: str) -> None:
    task = ReplayOperator(task_id="replay", pipeline="toy", table=value, sql=value, reason=value, person=value)
    name, *arguments = task.command("r1")
    replay = get_command(app).get_command(click.Context(get_command(app)), name)  # type: ignore[attr-defined]
    read = replay.make_context(name, arguments, resilient_parsing=True).params
    assert [read[each] for each in ("table", "sql", "reason", "person")] == [value] * 4
    assert (read["pipeline"], read["personal"], read["dry_run"]) == ("toy", False, False)


# ---- files ----


def test_the_embedded_airflows_folder_is_its_owners_also_when_it_was_there(toy_home: Path) -> None:
    folder = settings().home_path / "airflow"
    folder.mkdir(parents=True, mode=0o755)
    Embedded(settings())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_listens_on_more_than_loopback() -> None:
    wide = re.compile(r"0\.0\.0\.0|\[::\]|--bind-all|listen_addresses")
    for folder in OURS:
        for path in (PROJECT / folder).rglob("*.py"):
            assert not wide.search(path.read_text()), f"{path} may listen on every address"
    started = (PROJECT / "plugins/contrail_airflow/local/embedded.py").read_text()
    # Scheduler and triggerer would serve their logs on every address.
    quiet = [f'"{name}": ["--skip-serve-logs"]' for name in ("scheduler", "triggerer")]
    for server in ('"api-server": ["--host", "127.0.0.1"', '"mlflow", "server", "--host", "127.0.0.1"', *quiet):
        assert server in started
