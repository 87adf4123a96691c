"""The search on the command line: what it prints, where it writes its page, and what it refuses."""

import json

import pytest
from tests.commands import contrail
from tests.toy_tables import untrained

from contrail.adapters.training_runs import runs_of
from contrail.config.training_windows import TrainingWindows
from contrail.partitions import Partitions

_DAYS = "--from 2024-01-01 --to 2024-02-09"
_QUICK = '--workers 1 --set "nthread=1 rounds=8"'


def test_a_search_says_each_trial_the_best_and_the_next_command(prepared, monkeypatch, capsys, tmp_path) -> None:
    prepared(untrained)
    page = tmp_path / "search.html"
    asked = f"contrail tune -p toy {_DAYS} {_QUICK} --no-register"
    assert contrail(monkeypatch, f"{asked} --trials 3 --html {page}") == 0
    told = capsys.readouterr()
    assert "1 of 3 done. Trial 0, today's parameters, log_loss" in told.err
    assert "3 of 3 done. Trial 2, " in told.err
    assert "✓ tune 2024-01-01..2024-02-09: 3 of 3 trials; " in told.out
    assert page.read_text().startswith("<!doctype html>")

    assert contrail(monkeypatch, f"{asked} --trials 3 --json") == 0
    details = json.loads(capsys.readouterr().out)["details"]
    assert (details["trials"], details["model_version"]) == (3, None)

    assert contrail(monkeypatch, f"{asked} --trials 4 --budget-seconds 0.001") == 0
    said = capsys.readouterr().out
    assert "1 trial is left. The same command goes on; raise --budget-seconds" in said
    assert "Traceback" not in said


def test_without_a_last_day_the_newest_one_is_taken(prepared, monkeypatch, capsys) -> None:
    prepared(untrained)
    newest = TrainingWindows(Partitions.parse("2024-01-05", "2024-01-20"), Partitions.parse("2024-01-22", "2024-02-15"))
    monkeypatch.setattr("contrail.cli.tuning.newest_windows_of", lambda _: newest)
    assert contrail(monkeypatch, "contrail tune -p toy --from 2024-01-01") == 2
    assert "2024-01-01..2024-01-20 has 20 days, but the search needs 22" in " ".join(capsys.readouterr().err.split())
    assert contrail(monkeypatch, "contrail tune -p toy --from 2024-01-21") == 2
    assert (
        "--from 2024-01-21 lies after 2024-01-20, the last day that a training now may read" in capsys.readouterr().err
    )


def test_a_search_in_a_sandbox_leaves_nothing_in_the_main_lake(prepared, monkeypatch, capsys) -> None:
    toy = prepared(untrained)
    asked = f"contrail tune -p toy {_DAYS} {_QUICK} --no-register --trials 2 --sandbox depths --json"
    assert contrail(monkeypatch, asked) == 0
    told = capsys.readouterr()
    assert "sandbox depths of toy" in told.err
    (report,) = json.loads(told.out)["reports"]
    assert not report.startswith(str(toy.settings.reports / "toy"))
    assert not (toy.settings.reports / "toy" / "tuning").exists()
    assert runs_of(toy.settings, "toy") == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--from 2024-01-01 --to 2024-01-10", 2, "has 10 days, but the search needs 22"),
        (f"{_DAYS} --set etaa=1", 2, "XGBoost has no parameter 'etaa'. Did you mean 'eta'?"),
        (f"{_DAYS} --trials 1", 2, "trials"),
        (f"{_DAYS} --budget-seconds -3", 2, "budget_seconds"),
        (f"{_DAYS} --workers 0", 2, "workers"),
        ("--to 2024-01-10", 2, "--to needs --from"),
        ("--from 2025-01-01 --to 2025-03-01", 3, "Run validate and features"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_to_do(
    prepared, monkeypatch, capsys, arguments, code, said
) -> None:
    prepared(untrained)
    assert contrail(monkeypatch, f"contrail tune -p toy {arguments}") == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
