"""What ``contrail doctor`` prints, and how it ends."""

import json
from pathlib import Path

import pytest
from tests.conftest import TOY_PIPELINES
from tests.unit.cli.test_cli import run

from contrail.config.settings import settings
from contrail.operations.doctor import doctor as operation
from contrail.operations.doctor.findings import Check, FaultError, NotCheckedError


def never(said: str, *commands: str) -> str:
    raise NotCheckedError(said, *commands)


def wrong(said: str, *commands: str, again: bool = False) -> str:
    raise FaultError(said, *commands, again=again)


CHECKS = [
    Check("python", lambda: "Python 3.12"),
    Check("bucket lake", lambda: wrong("no [bold]right[/]\nat all", "gcloud give", "gcloud 'it [x]'")),
    Check("rights", lambda: never("not from here", "go there")),
]


@pytest.fixture
def planted(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    checks = list(CHECKS)
    monkeypatch.setattr(operation, "checks_of", lambda _: checks)
    return checks


def test_a_line_for_each_check_and_for_each_command(
    planted: list[Check], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "doctor")
    assert (code, err) == (2, "")
    assert out.splitlines() == [
        "ok           settings     environment dev, 0 variables of its file are set",
        "ok           python       Python 3.12",
        "failed       bucket lake  no [bold]right[/]; at all",
        "             gcloud give",
        "             gcloud 'it [x]'",
        "not checked  rights       not from here",
        "             go there",
        "2 ok, 1 failed, 1 not checked",
    ]


def test_json_has_the_same(
    planted: list[Check], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "doctor", "--json")
    found = {one["check"]: one for one in json.loads(out)}
    assert code == 2
    assert found["bucket lake"]["commands"] == ["gcloud give", "gcloud 'it [x]'"]
    assert [one["state"] for one in found.values()] == ["ok", "ok", "failed", "not checked"]


@pytest.mark.parametrize(("again", "wanted"), [(True, 75), (False, 2)])
def test_the_exit_status(
    planted: list[Check], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], again: bool, wanted: int
) -> None:
    planted[1] = Check("one", lambda: wrong("x", again=again))
    assert run(monkeypatch, capsys, "doctor")[0] == wanted
    del planted[1]
    assert run(monkeypatch, capsys, "doctor")[0] == 0


def test_settings_that_cannot_be_read_are_a_finding(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTRAIL_ENV", "prod")
    monkeypatch.setenv("CONTRAIL_TEAM", "x")
    settings.cache_clear()
    code, out, err = run(monkeypatch, capsys, "doctor", "--json")
    settings_, others = json.loads(out)
    assert (code, err, settings_["state"], others["state"]) == (2, "", "failed", "not checked")
    assert "export CONTRAIL_GCP_PROJECT=…" in settings_["commands"]
    assert "export CONTRAIL_TEAM=…" not in settings_["commands"]


def test_a_laptop_is_examined_without_leaving_anything(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(TOY_PIPELINES))
    settings.cache_clear()
    _, out, err = run(monkeypatch, capsys, "doctor", "--json")
    found = {one["check"]: one["state"] for one in json.loads(out) if one["check"] not in ("memory", "disk")}
    assert err == ""
    assert {name for name, state in found.items() if state == "failed"} == set()
    assert not home.exists()
