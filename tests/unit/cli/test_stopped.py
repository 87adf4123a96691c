"""A command that gets a signal cleans up, and says that nothing is half published."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.commands import contrail
from tests.conftest import Toy

from contrail.stages import ingest

DAY = "2024-01-01"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_asked_to_end_cleans_up_and_says_so(
    toy: Toy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sent: signal.Signals,
    code: int,
) -> None:
    toy.land(DAY)
    before, real = signal.getsignal(signal.SIGTERM), ingest.execute

    def stopped(run: Any) -> Any:
        (run.staging / "rows").mkdir(parents=True)
        os.kill(os.getpid(), sent)
        return real(run)

    monkeypatch.setattr(ingest, "execute", stopped)
    assert contrail(monkeypatch, f"contrail ingest -p toy --from {DAY} --run-id mine") == code
    said = capsys.readouterr().err
    assert f"✗ stopped by {sent.name}, before its end. Nothing is half published" in said
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
