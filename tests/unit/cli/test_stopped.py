"""A command that gets a signal says that nothing is half published."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.commands import contrail
from tests.conftest import Toy

from contrail.stages import ingest

DAY = "2024-01-01"


ACTS = {
    "in Python": "time.sleep(60)",
    "in a query": "duckdb.connect().execute('SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8')",
    "in a callback": "ctypes.CFUNCTYPE(ctypes.c_int)(lambda: time.sleep(60) or 0)()",
}


@pytest.mark.parametrize("place", ACTS)
def test_a_command_that_is_asked_to_end_says_so_and_does_nothing_more(toy_home: Path, place: str) -> None:
    script = f"""
import ctypes, duckdb, threading, time
from contrail.cli import app
def act():
    threading.Timer(0.5, print, ("ready",), {{"flush": True}}).start()
    {ACTS[place]}
    print("went on", flush=True)
app.command = lambda: lambda **_: act()
app.main()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.terminate()
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert said.count("✗") == 1
    assert "✗ stopped by SIGTERM, before its end. Nothing is half published" in said


def test_a_command_that_somebody_interrupts_cleans_up_and_says_so(
    toy: Toy, interruptible: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.land(DAY)
    before, real = signal.getsignal(signal.SIGTERM), ingest.execute

    def stopped(run: Any) -> Any:
        (run.staging / "rows").mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGINT)
        return real(run)

    monkeypatch.setattr(ingest, "execute", stopped)
    assert contrail(monkeypatch, f"contrail ingest -p toy --from {DAY} --run-id mine") == 130
    said = capsys.readouterr().err
    assert "✗ stopped by SIGINT, before its end. Nothing is half published" in said
    assert said.count("✗") == 1
    assert not list((toy.settings.home_path / "staging").rglob("rows"))
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(ingest, "execute", real)
    assert contrail(monkeypatch, f"contrail ingest -p toy --from {DAY}") == 0


def test_no_at_a_question_is_no_signal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from contrail.cli import app

    def says_no() -> Callable[..., int]:
        raise typer.Abort

    monkeypatch.setattr(app, "command", says_no)
    assert contrail(monkeypatch, "contrail forget -p toy") == 130
    assert "stopped by" not in capsys.readouterr().err
