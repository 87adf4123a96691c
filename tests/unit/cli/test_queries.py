"""The desk of analysts at a shell: a shell for SQL, and a file for other programs."""

import io
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from markdown_it import MarkdownIt
from tests.commands import contrail
from tests.conftest import PROJECT, Prepare, Toy
from tests.toy_tables import publish_toy
from tests.unit.lake.test_sql import everything
from tests.unit.lake.test_views import with_predictions

from contrail.cli import printing


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(with_predictions)


def typed(monkeypatch: pytest.MonkeyPatch, text: str, terminal: bool = True) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(text) if terminal else io.StringIO(text))


def test_a_shell_answers_until_the_input_ends(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(
        monkeypatch,
        "SELECT count(*) AS n\nFROM features;\n\nFROM featurs;\n.describe features\nSELECT 41 + 1;\n.what\n",
    )
    assert contrail(monkeypatch, "contrail query -p toy --format csv") == 0
    said = capsys.readouterr()
    assert "n\n180\n" in said.out
    assert "(41 + 1)\n42\n" in said.out, "an error does not end the shell"
    assert "Share of the depot's" in said.out
    assert "no table 'featurs' in toy; did you mean 'features'?" in said.err
    assert ".describe <table>" in said.err


def test_a_shell_can_be_left(filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed(monkeypatch, ".quit\nSELECT 43;\n")
    assert contrail(monkeypatch, "contrail query -p toy") == 0
    assert "43" not in capsys.readouterr().out


def test_off_a_terminal_a_question_comes_from_standard_input(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "SELECT 40 + 4 AS n", terminal=False)
    assert contrail(monkeypatch, "contrail query -p toy --format csv") == 0
    assert capsys.readouterr().out == "n\n44\n"
    typed(monkeypatch, " \n", terminal=False)
    assert contrail(monkeypatch, "contrail query -p toy") == 2
    assert "there is no question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (1234567.891, "1234567.9"), (-20000.0, "-20000.0"), (1e20, "1e+20")]
)
def test_a_large_number_is_not_hidden_in_a_power_of_ten(value: float, text: str) -> None:
    assert printing.cell(value).plain == text


PLAIN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
for query in sys.argv[2:]:
    print(connection.execute(query).fetchall())
assert not any("contrail" in name for name in sys.modules)
"""


def plainly(file: Path, *queries: str) -> list[str]:
    """What DuckDB answers in a process that knows nothing of Contrail."""
    command = [sys.executable, "-c", PLAIN, str(file), *queries]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.splitlines()


def test_plain_duckdb_reads_an_attached_lake(filled: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "lake.duckdb"
    before = everything(filled.settings.home_path)
    assert contrail(monkeypatch, f"contrail attach '{file}' -p toy") == 0
    assert everything(filled.settings.home_path) == before
    assert plainly(
        file,
        "SELECT count(*), max(partition_date)::VARCHAR FROM toy.predictions_latest",
        "SELECT count(*), count(label) FROM toy.predictions_with_outcomes",
        "SELECT count(*) FROM toy.corrections",
        "SELECT snapshot FROM toy.attached WHERE table_name = 'features'",
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'predictions' AND column_name = 'model_version'",
    ) == [
        "[(60, '2024-01-03')]",
        "[(180, 120)]",
        "[(0,)]",
        f"[({filled.lake.snapshot_id('features')},)]",
        "[('Version of the model in the registry.',)]",
    ]


def test_a_second_time_brings_the_views_up_to_date_and_leaves_the_rest(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "lake.duckdb"
    count = "SELECT count(*) FROM toy.features"
    assert contrail(monkeypatch, f"contrail attach '{file}' -p toy") == 0
    with duckdb.connect(str(file)) as own:
        own.execute("CREATE VIEW mine AS SELECT * FROM toy.features WHERE depot = 'A'")
    publish_toy(filled, "2024-01-04", "2024-01-04")
    assert plainly(file, count) == ["[(180,)]"], "a file is of one moment"
    assert contrail(monkeypatch, f"contrail attach '{file}' -p toy") == 0
    assert plainly(file, count) == ["[(240,)]"]
    assert plainly(file, "SELECT count(*) > 0 FROM mine") == ["[(True,)]"]


def test_what_is_not_ours_is_not_overwritten(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "own.duckdb"
    with duckdb.connect(str(file)) as own:
        own.execute("CREATE SCHEMA toy; CREATE TABLE toy.notes AS SELECT 1 AS a")
    assert contrail(monkeypatch, f"contrail attach '{file}' -p toy") == 2
    assert "has a schema 'toy' that contrail attach has not made, with notes" in capsys.readouterr().err
    assert plainly(file, "FROM toy.notes") == ["[(1,)]"]
    text = tmp_path / "notes.txt"
    text.write_text("notes" * 2000)
    assert contrail(monkeypatch, f"contrail attach '{text}' -p toy") == 2
    assert "cannot be opened as a file of DuckDB" in capsys.readouterr().err
    assert text.read_text() == "notes" * 2000


def test_a_file_that_is_in_use_is_said(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "lake.duckdb"
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert contrail(monkeypatch, f"contrail attach '{file}' -p toy") == 75
        other.communicate()
    assert "another program has" in capsys.readouterr().err


def test_the_recipe_on_the_page_works(filled: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "analysts-tables.md").read_text()
    (recipe,) = [token.content for token in MarkdownIt().parse(page) if token.info == "python"]
    assert "contrail attach lake.duckdb -p flight_delay" in page
    assert contrail(monkeypatch, f"contrail attach '{tmp_path}/lake.duckdb' -p toy") == 0
    command = [sys.executable, "-c", recipe.replace("flight_delay", "toy")]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    assert "predicted" in done.stdout
    assert "came_true" in done.stdout


def test_no_rows_are_told_however_wide_the_table(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, "contrail query -p toy 'SELECT * FROM predictions WHERE 1=0'") == 0
    assert capsys.readouterr().out.startswith("0 rows of partition_date, ")
