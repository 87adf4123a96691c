"""The command line: what it prints, its exit codes, and that it stays quick to start."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from tests.conftest import PROJECT, TOY_PIPELINES, Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs
from tests.unit.config.test_settings import GIVEN as PROD
from tests.unit.dispatch import priced as receipts

from contrail.adapters import registry
from contrail.cli import app, backfills, housekeeping, printing, stages
from contrail.config.settings import AnalystsSettings, Settings, settings
from contrail.errors import SpecError
from contrail.lake import datasets, records
from contrail.lake.provenance import Provenance
from contrail.operations import late  # before a test replaces the `run_stage` that it imports
from contrail.partitions import Partitions
from contrail.stages import runner
from contrail.stages.details import StageDetails
from contrail.stages.results import LateDetails, StageResult

DAY = date(2024, 1, 5)
HOUR = timedelta(hours=1)


@pytest.fixture
def filled(toy: Toy) -> Toy:
    """A toy lake with a published quarantine table of two rows, written twice."""
    dataset = datasets.quarantine(toy.spec)
    row = {
        "partition_date": DAY,
        "table_name": "parcels",
        "rule": "weight_range",
        "detail": "0 to 100, found 900",
        "row": "{}",
        "file": "2024-01-05.csv.gz",
        "run_id": "r",
        "quarantined_at": None,
    }
    for count in (1, 2):
        rows = pa.Table.from_pylist(
            [{**row, "line": line, "quarantined_at": 0} for line in range(count)],
            schema=dataset.arrow_schema(),
        )
        toy.lake.publish(dataset, rows, [DAY], Provenance(f"run-{count}", "validate", "h", "c" * 40, "l"))
    return toy


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["contrail", *arguments])
    monkeypatch.setattr(printing, "out", Console(width=200))
    monkeypatch.setattr(printing, "err", Console(width=200, stderr=True))
    code: Any = 0
    try:
        app.main()
    except SystemExit as exit_:
        code = exit_.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_query_prints_json_csv_and_a_table(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT rule, partition_date, count(*) AS rows FROM quarantine GROUP BY ALL"
    code, out, _ = run(monkeypatch, capsys, "query", sql, "-p", "toy", "--format", "json")
    assert (code, json.loads(out)) == (0, [{"rule": "weight_range", "partition_date": "2024-01-05", "rows": 2}])
    _, out, _ = run(monkeypatch, capsys, "query", sql, "-p", "toy", "--format", "csv")
    assert out == "rule,partition_date,rows\nweight_range,2024-01-05,2\n"
    _, out, _ = run(monkeypatch, capsys, "query", sql, "-p", "toy")
    assert "weight_range" in out


def test_values_are_printed_as_they_are(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT '[/x]' AS \"[b]\", 'root:x:0' AS login, chr(27) || '[2J' AS screen, 9007199254740993 AS big, NULL AS none"
    code, out, _ = run(monkeypatch, capsys, "query", sql, "-p", "toy")
    assert code == 0
    for words in ("[b]", "[/x]", "root:x:0", "\\x1b[2J", "9007199254740993"):
        assert words in out
    _, out, _ = run(monkeypatch, capsys, "query", f"SELECT big, none FROM ({sql})", "-p", "toy", "--format", "csv")
    assert out == "big,none\n9007199254740993,\n"


def test_a_row_that_is_too_wide_has_a_line_for_each_value(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT 7 AS lucky, repeat('x', 150) AS wide, repeat('y', 150) AS wider FROM range(2)"
    code, out, err = run(monkeypatch, capsys, "query", sql, "-p", "toy", "--limit", "1")
    assert code == 0
    assert re.fullmatch(r"─ row 1 \nlucky  7\nwide   x{150}\nwider  y{150}\n", out)
    assert "Only the first 1 rows are shown" in err


@pytest.mark.parametrize(
    ("moment", "message"), [("yesterday", "--as-of yesterday: write a time as"), ("", "--as-of :")]
)
def test_a_time_that_is_none_is_refused(
    filled: Toy, moment: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(monkeypatch, capsys, "query", "SELECT 1", "-p", "toy", "--as-of", moment)
    assert (code, message in err) == (2, True)


def test_a_wrong_query_names_the_tables(
    filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(monkeypatch, capsys, "query", "SELECT * FROM quarantin", "-p", "toy")
    assert code == SpecError.exit_code
    assert "Tables: corrections, drift" in err


def test_history_and_rollback(filled: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(monkeypatch, capsys, "history", "quarantine", "-p", "toy", "--json")
    newest, oldest = json.loads(out)
    assert (newest["rows"], newest["run_id"], newest["current"]) == (2, "run-2", True)
    run(monkeypatch, capsys, "rollback", "quarantine", "-p", "toy", "--to", str(oldest["snapshot"]))
    assert filled.sql("SELECT count(*) FROM quarantine") == [(1,)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What stages are asked for, which do nothing, in an environment whose analysts have a warehouse."""
    found: list[tuple[str, str, Any]] = []

    def run_stage(verb: str, pipeline: str, days: Partitions, *, options: dict[str, Any], **_: Any) -> StageResult[Any]:
        found.append((verb, str(days), options.get("tables")))
        return StageResult(stage=verb, pipeline=pipeline, partitions=str(days), run_id="a-run", details=StageDetails())

    monkeypatch.setattr(runner, "run_stage", run_stage)
    analysts = AnalystsSettings(kind="bigquery", project="p", dataset="contrail", views_dataset="views", location="EU")
    _with_settings(monkeypatch, lambda: settings().model_copy(update={"analysts": analysts}))
    return found


def _with_settings(monkeypatch: pytest.MonkeyPatch, found: Callable[[], Settings]) -> None:
    for desk in (stages, backfills):
        monkeypatch.setattr(desk, "settings", found)


def test_analysts_are_shown_the_days_that_a_rollback_has_changed(
    filled: Toy,
    asked: list[tuple[str, str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = records.performance(filled.spec)
    row = {"model_name": "toy", "model_version": "1", "shadow": False, "rows": 4, "labelled": 4, "label_coverage": 1.0}
    for numbers in ((5,), (6,), (7, 8)):
        days = [date(2024, 1, number) for number in numbers]
        rows = pa.Table.from_pylist([{**row, "partition_date": day} for day in days], dataset.arrow_schema())
        filled.lake.publish(dataset, rows, days, Provenance("r", "performance", "h", "c" * 40, "l"))
    _, _, first = (str(entry.snapshot) for entry in filled.lake.history("performance"))
    code, _, err = run(monkeypatch, capsys, "rollback", "performance", "-p", "toy", "--to", first)
    assert (code, asked) == (0, [("publish", "2024-01-06..2024-01-08", ["performance"])])
    assert "contrail publish -p toy --from 2024-01-06 --to 2024-01-08" in err
    oldest = str(filled.lake.history("quarantine")[-1].snapshot)
    run(monkeypatch, capsys, "rollback", "quarantine", "-p", "toy", "--to", oldest)
    _with_settings(monkeypatch, settings)
    run(
        monkeypatch, capsys, "rollback", "performance", "-p", "toy", "--to", str(filled.lake.snapshot_id("performance"))
    )
    assert len(asked) == 1, "nobody queries the one elsewhere, and nothing has changed in the other"


@pytest.mark.parametrize("verb", ["features", "score", "performance", "drift"])
def test_a_person_is_told_how_analysts_see_what_a_stage_has_made(
    toy: Toy,
    asked: list[tuple[str, str, Any]],
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = (verb, "-p", "toy", "--from", "2024-01-05")
    _, out, _ = run(monkeypatch, capsys, *command)
    assert ("contrail publish -p toy --from 2024-01-05 --to 2024-01-05" in out) is (verb != "features")
    _, out, _ = run(monkeypatch, capsys, *command, "--json")
    assert json.loads(out)["stage"] == verb, "a script, and Airflow, read this alone"
    assert {one for one, _, _ in asked} == {verb}
    _with_settings(monkeypatch, settings)
    assert "contrail publish" not in run(monkeypatch, capsys, *command)[1]


def test_a_person_is_told_how_analysts_see_what_came_late(
    toy: Toy,
    asked: list[tuple[str, str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = LateDetails(files=("parcels 2024-01-05",), days=("2024-01-05", "2024-01-07"))
    monkeypatch.setattr(late, "correct", lambda *_: found)
    _, out, _ = run(monkeypatch, capsys, "late", "-p", "toy", "--on", "2024-01-08")
    assert "contrail publish -p toy --from 2024-01-05 --to 2024-01-07" in out
    assert asked == []


@pytest.mark.parametrize("name", ["it's", "../up", "a b"])
def test_the_name_of_a_run_may_be_part_of_a_path_and_of_sql(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(monkeypatch, capsys, "publish", "-p", "toy", "--from", "2024-01-05", "--run-id", name)
    assert (code, f"--run-id {name}: use letters" in err) == (SpecError.exit_code, True)


def test_describe_documents_every_column(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, "describe", "predictions", "-p", "toy")
    assert "Probability that delay > 15" in out
    for dataset in records.all_datasets(toy.spec).values():
        undocumented = [name for name, column in dataset.columns.items() if not column.doc]
        assert undocumented == [], dataset.name


def unscored(toy: Toy) -> None:
    """A champion and features of five days; nothing is scored."""
    publish_toy(toy, "2024-01-01", "2024-02-05")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(unscored)


SCORE = ("backfill", "-p", "toy", "--from", "2024-02-01", "--to", "2024-02-05", "--stages", "score")


def test_a_backfills_dry_run_prints_the_plan_and_does_nothing(
    scored: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, *SCORE, "--dry-run")
    assert code == 0
    for words in (
        "Plan: toy 2024-02-01..2024-02-05 (5 partitions)",
        "nothing is published",
        "score: 1 job(s): 2024-02-01..2024-02-05; time not known (no history yet)",
        "model: version 1 for 2024-02-01..2024-02-05",
        "expected difference of predictions: 300 rows more, 0 fewer",
        "commits: whole; time: not known yet; cost: 0 on this machine",
    ):
        assert words in out
    assert not scored.lake.exists("predictions")
    assert list(settings().reports.glob("**/backfills/*")) == []


def test_a_backfill_runs_once_and_then_has_nothing_to_do(
    scored: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, *SCORE)
    assert "1 job(s)" in out
    assert "predictions: 300 rows added, 0 removed, 0 changed, 300 now; 0 decisions flipped." in out
    reports = {path.suffix for path in settings().reports.glob("toy/backfills/*")}
    assert reports == {".html", ".json"}
    _, out, _ = run(monkeypatch, capsys, *SCORE)
    assert "there is nothing to do" in out
    assert "expected difference" not in out and "shift of scores" not in out
    assert "✓" not in out


def test_parts_of_a_backfill_have_one_report_at_the_end(
    scored: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, *SCORE, "--id", "b1", "--no-report", "--json")
    result = json.loads(out)
    assert (code, result["id"], len(result["jobs"]), result["reports"]) == (0, "b1", 1, [])
    assert "Plan: toy" in err, "the plan is for people, the JSON for the script"
    _, out, _ = run(monkeypatch, capsys, "difference", "-p", "toy", "--id", "b1", "--json")
    assert json.loads(out)["difference"]["predictions"]["added"] == 300


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ingest", "-p", "nope", "--from", "2024-01-01"], 2, "no pipeline 'nope'"),
        (["ingest", "-p", "toy", "--from", "yesterday"], 2, "Write dates as YYYY-MM-DD"),
        (["inject", "-p", "toy", "--from", "2024-01-01"], 2, "No such command 'inject'"),
        (["train", "-p", "toy", "--from", "2024-01-01", "--set", "depth"], 2, "name=value"),
        (["ingest", "-p", "[/x]", "--from", "2024-01-01"], 2, "no pipeline '[/x]'"),
        (["history", "predictions", "-p", "toy"], 3, "no table 'predictions'"),
        (["query", "SELECT 1", "-p", "nope"], 2, "Known: toy"),
        (["backfill", "-p", "toy", "--from", "2024-01-01", "--stages", "train"], 2, "stages train: no such stages"),
        (["difference", "-p", "toy", "--id", "b1"], 3, "has no backfill 'b1'. Known: none yet"),
    ],
)
def test_errors_say_what_to_do_without_a_traceback(
    toy: Toy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    found, _, err = run(monkeypatch, capsys, *arguments)
    assert found == code
    assert message in err
    assert "Traceback" not in err


def test_help_needs_no_heavy_library(home: Path) -> None:
    script = (
        "import sys; import contrail.cli.app; "
        "heavy = {'pandas', 'pyarrow', 'pyspark', 'xgboost', 'mlflow', 'great_expectations', 'pyiceberg'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_shows_the_newest_unusual_days(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [DAY + timedelta(days=i) for i in range(8)]
    columns = ("partition_date", "table_name", "figure", "value", "unusual")
    made = [dict(zip(columns, (day, "parcels", "rows", 1.0, f"rows [x] of {day}"), strict=True)) for day in days[1:]]
    dataset = records.profiles(toy.spec)
    rows = pa.Table.from_pylist(made, schema=dataset.arrow_schema())
    toy.lake.publish(dataset, rows, days[1:], Provenance("run", "validate", "h", "c" * 40, "l"))
    asked = ("status", "-p", "toy", "--from", str(days[0]), "--to", str(days[-1]))
    code, _, err = run(monkeypatch, capsys, *asked)
    assert code == 0
    assert "unusual: unlike the table's own last days; 2 earlier ones are not shown." in err
    shown = re.findall(r"(\S+): parcels: rows \[x\] of", err)
    assert shown == [str(day) for day in days[-5:]]
    assert 'contrail query -p toy "SELECT * FROM profiles WHERE unusual IS NOT NULL"' in err
    code, out, _ = run(monkeypatch, capsys, *asked, "--json")
    told = {one["partition"]: one["unusual"] for one in json.loads(out)}
    assert (told["2024-01-05"], told["2024-01-06"]) == ([], ["parcels: rows [x] of 2024-01-06"])
    assert len(told) == 8


# ---- what remote jobs cost ----


@pytest.fixture
def paid(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In November, a training of ten minutes that is over, and one that runs; 10 may be spent, at 6 an hour."""
    (tmp_path / "prices.yaml").write_text(receipts.PRICES)
    current = receipts.made(tmp_path, monthly_budget=10)
    monkeypatch.setattr(housekeeping, "settings", lambda: current)
    receipts.end(current, receipts.reserve(current, receipts.job("first")), 10)
    receipts.reserve(current, receipts.job("second", days="2024-01-05..2024-01-07"), receipts.NOVEMBER + HOUR)


def test_cost_shows_each_estimate_beside_the_cost_and_what_is_left(
    paid: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "cost", "-p", "toy", "--month", "2026-11")
    assert code == 0
    first, second = (line.split("│") for line in out.splitlines() if "2026-11-21" in line)
    assert [cell.strip() for cell in first[5:9]] == ["succeeded", "10.5", "EUR 6.00", "EUR 1.00"]
    assert [cell.strip() for cell in second[5:9]] == ["open", "", "EUR 3.00", ""]
    assert "EUR 1.00 on 1 job in 2026-11, and EUR 3.00 expected for 1 that runs; budget EUR 10.00, EUR 6.00 left" in out
    code, out, _ = run(monkeypatch, capsys, "cost", "-p", "toy", "--month", "2026-11", "--json")
    found = json.loads(out)
    assert (found["counted"], found["budget"], found["left"], len(found["jobs"])) == (4.0, 10.0, 6.0, 2)
    code, out, _ = run(monkeypatch, capsys, "cost", "-p", "toy", "--month", "2026-10")
    assert "EUR 0.00 on 0 jobs in 2026-10; budget EUR 10.00, EUR 10.00 left" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--month", "November"], "--month November: write it as YYYY-MM"),
        (["--assume", "score=30x4"], "--assume score: it runs on Airflow's worker"),
        (["--assume", "train=often"], "write it as STAGE=JOBSxMINUTES"),
    ],
)
def test_cost_says_what_is_wrong_with_a_question(
    paid: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, _, err = run(monkeypatch, capsys, "cost", "-p", "toy", *arguments)
    assert (code, words in err) == (SpecError.exit_code, True)


def test_where_nothing_runs_elsewhere_cost_says_so(
    toy_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(monkeypatch, capsys, "cost", "-p", "toy")
    assert (code, "the environment dev has no price table" in err) == (SpecError.exit_code, True)


@pytest.mark.parametrize("number", range(3))
def test_a_documented_month_is_what_the_documented_command_prints(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    page = (PROJECT / "docs" / "gcp.md").read_text()
    shown = re.findall(r"CONTRAIL_ENV=(\w+) \S+/contrail (cost .*(?:--idle|--assume).*)\n```\n\n((?:\|.*\n)+)", page)
    assert [environment for environment, _, _ in shown] == ["prod", "stage", "prod"]
    environment, command, table = shown[number]
    for name, value in {**PROD, "CONTRAIL_ENV": environment}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    code, out, _ = run(monkeypatch, capsys, *command.split(), "--json")
    assert code == 0
    found = json.loads(out)
    lines, guesses = found["lines"], command.count("--assume")
    if guesses:  # the page has what costs all month in one line
        standing = sum(list(lines.values())[guesses:])
        lines = {**dict(list(lines.items())[:guesses]), "what costs all month, as above": standing}
    rows = [f"| {what} | USD {amount:.2f} |" for what, amount in [*lines.items(), ("all of it", found["total"])]]
    assert table.splitlines()[2:] == rows


def test_an_environment_that_the_price_table_does_not_know_is_said(
    paid: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "cost", "-p", "toy", "--idle")
    assert (code, "prices.yaml has no line of always_on for the environment dev" in err) == (0, True)
    assert "all of it" in out


def test_a_wrong_environment_is_said_in_a_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTRAIL_ENV", "nowhere")
    settings.cache_clear()
    code, _, err = run(monkeypatch, capsys, "pipelines")
    assert (code, "✗ SpecError: " in err) == (SpecError.exit_code, True)


@pytest.fixture
def beside_a_broken_one(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy pipeline, beside one whose spec is wrong and one that is no YAML."""
    folder = tmp_path / "pipelines"
    shutil.copytree(TOY_PIPELINES / "toy", folder / "toy")
    for name, old, new in (("bad", "delay > 15", "dely > 15"), ("worse", "key: [", "key: [[")):
        shutil.copytree(TOY_PIPELINES / "toy", folder / name)
        file = folder / name / "pipeline.yaml"
        file.write_text(file.read_text().replace("name: toy", f"name: {name}").replace(old, new))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder))
    settings.cache_clear()
    return folder


def test_a_broken_pipeline_is_listed_with_its_reason_and_stops_no_other(
    beside_a_broken_one: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "pipelines")
    assert code == 0  # a script goes on with the others
    assert re.findall(r"^│ (\w+) +│ (\w+)", out, re.MULTILINE) == [
        ("bad", "broken"),
        ("toy", "binary"),
        ("worse", "broken"),
    ]
    assert 'Referenced column "dely" not found' in err and "worse/pipeline.yaml, line" in err
    assert run(monkeypatch, capsys, "status", "-p", "toy")[0] == 0
    code, _, err = run(monkeypatch, capsys, "status", "-p", "bad")
    assert (code, "line 14: label.expression: 'dely > 15'" in err) == (2, True)


def test_check_says_what_is_wrong_with_each_pipeline_and_fails(
    beside_a_broken_one: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "check")
    assert (code, out) == (2, "✓ toy: nothing is wrong\n")
    assert "✗ bad: 1 thing is wrong" in err and "✗ worse: 1 thing is wrong" in err
    code, out, _ = run(monkeypatch, capsys, "check", "-p", "toy", "--json")
    (told,) = json.loads(out)
    assert (code, told["pipeline"], told["problems"]) == (0, "toy", [])
    assert run(monkeypatch, capsys, "check", "-p", "nope")[0] == 2
