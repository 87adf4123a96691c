"""Options that a command would not hear are refused, before it does anything."""

import pytest
from tests.commands import contrail
from tests.conftest import Toy


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sbom 3", "VERSION 3 needs --pipeline: without it the bill is the environment's"),
        ("cost -p toy --month 2026-11 --idle", "--idle does not take --month"),
        ("cost -p toy --month 2026-11 --assume train=1x10", "--assume does not take --month"),
        ("verify -p toy --give-up validated_parcels --json", "--give-up does not take --json"),
        ("backfill -p toy --from 2024-01-01 --dry-run --begin", "--dry-run does not take --begin"),
        ("champions -p toy --clock", "--clock needs --on"),
    ],
)
def test_an_option_without_effect_is_refused(
    line: str, said: str, toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, f"contrail {line}") == 2
    assert said in " ".join(capsys.readouterr().err.split())
