"""Commands in a sandbox, and the command that looks at sandboxes from outside."""

import json
from pathlib import Path

import pytest
from tests.commands import contrail
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_heavier, publish_toy

from contrail.cli import sandboxes as desk
from contrail.cli.app import command
from contrail.cli.help import EXAMPLES
from contrail.cli.in_sandbox import MAKE, USE
from contrail.config.settings import settings
from contrail.operations import sandboxes as operations
from contrail.revision import code_revision
from contrail.stages import VERBS, sandboxed


def fill(toy: Toy) -> None:
    publish_toy(toy, "2024-03-01", "2024-03-06")


@pytest.fixture
def toy(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("CONTRAIL_SANDBOX", "none_yet")  # restored at the end, whatever a command sets it to
    monkeypatch.delenv("CONTRAIL_SANDBOX")
    return prepared(fill)


@pytest.fixture
def own(toy: Toy) -> Toy:
    current = toy.settings.inside("deeper")
    sandboxed.begin(current, toy.pipeline)
    found = Toy(toy.pipeline, current)
    publish_heavier(found, "2024-03-06")
    return found


def left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command is another process."""
    monkeypatch.delenv("CONTRAIL_SANDBOX", raising=False)
    settings.cache_clear()


def test_every_command_that_has_the_option_is_one_and_so_has_every_stage() -> None:
    commands = command().commands
    assert set(EXAMPLES) >= MAKE | USE
    for name, one in commands.items():
        assert ("--sandbox" in [option for param in one.params for option in param.opts]) == (name in MAKE | USE)
    assert set(VERBS) - {"publish"} <= MAKE


def test_a_stage_makes_the_sandbox_and_says_where_it_works(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = toy.lake.snapshot_id("features")
    line = "contrail performance -p toy --from 2024-03-06 --sandbox deeper"
    assert contrail(monkeypatch, line) == 3  # there is no model
    told = capsys.readouterr().err
    assert "sandbox deeper of toy, made " in told
    assert "Commands that are named below need --sandbox deeper too" in told
    left(monkeypatch)
    assert contrail(monkeypatch, "contrail sandbox list --json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["pinned"]["features"]) == ("deeper", snapshot)


def test_a_reader_makes_none(toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert contrail(monkeypatch, "contrail history features -p toy --sandbox deeper") == 3
    assert "there is no sandbox 'deeper' of pipeline 'toy'. Sandboxes: none yet" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "''", "Deeper", "toy", "main"])
def test_a_bad_name_is_refused(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert contrail(monkeypatch, f"contrail features -p toy --from 2024-03-06 --sandbox {name}") == 2
    assert "cannot be the name of a sandbox" in capsys.readouterr().err


def test_a_query_in_a_sandbox_reads_its_rows(
    toy: Toy, own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "contrail query -p toy 'SELECT round(sum(weight), 3) AS w FROM features' --format json"
    found = []
    for where in ("", " --sandbox deeper"):
        assert contrail(monkeypatch, question + where) == 0
        found.append(json.loads(capsys.readouterr().out)[0]["w"])
        left(monkeypatch)
    assert found[0] < found[1]


@pytest.mark.parametrize("line", ["land -p toy --from 2024-03-06", "forget -p toy --reason x", "sandbox list"])
def test_what_is_of_the_main_lake_is_refused_inside(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.setenv("CONTRAIL_SANDBOX", "deeper")
    settings.cache_clear()
    assert contrail(monkeypatch, f"contrail {line}") == 2
    assert "only in the main lake" in capsys.readouterr().err


def test_it_is_listed_compared_planned_and_dropped(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert contrail(monkeypatch, "contrail sandbox list") == 0
    assert "deeper" in capsys.readouterr().out
    assert contrail(monkeypatch, "contrail sandbox compare deeper") == 0
    assert "recomputed here: features; 1 days of 2024-03-06" in (told := capsys.readouterr().out)
    assert "features: 0 rows added, 0 removed" in told
    assert contrail(monkeypatch, "contrail sandbox apply deeper") == 0
    assert "Nothing was changed. To do it: the same command with --yes" in capsys.readouterr().out
    assert contrail(monkeypatch, "contrail sandbox compare deeper --json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert (compared["stages"], compared["days"], compared["versions"]) == (["features"], ["2024-03-06"], {})
    assert "features ran here with another folder" in " ".join(compared["different"])
    assert [day["partition"] for day in compared["features"]["days"]] == ["2024-03-06"]
    assert contrail(monkeypatch, "contrail sandbox drop deeper --json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "deeper", "pipelines": ["toy"]}
    assert contrail(monkeypatch, "contrail sandbox drop deeper") == 3
    assert "there is no sandbox 'deeper'" in capsys.readouterr().err
    assert contrail(monkeypatch, "contrail sandbox compare deeper") == 3
    assert "there is no sandbox 'deeper'. Sandboxes: none yet" in capsys.readouterr().err
    assert contrail(monkeypatch, "contrail sandbox compare") == 2


@pytest.mark.parametrize(
    ("line", "refused", "taken"),
    [
        ("drop deeper -p toy", "--pipeline", "<name>"),
        ("drop deeper --yes --model 1", "--model or --yes", "<name>"),
        ("compare deeper --yes", "--yes", "--pipeline and <name>"),
        ("compare deeper --model champion", "--model", "--pipeline and <name>"),
        ("list deeper", "<name>", "only --json"),
        ("list -p toy", "--pipeline", "only --json"),
    ],
)
def test_what_an_action_does_not_take_is_refused(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, refused: str, taken: str
) -> None:
    assert contrail(monkeypatch, f"contrail sandbox {line}") == 2
    said = f"contrail sandbox {line.split()[0]} does not take {refused}; it takes {taken}. Nothing was changed"
    assert said in " ".join(capsys.readouterr().err.split())
    own.lake.table_names()  # the sandbox is there


def test_what_is_applied_waits_for_a_change_of_models_that_was_killed(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def planned(*_: object) -> None:
        done.append("plan")

    monkeypatch.setattr(desk, "end_changes", lambda verb, pipeline: done.append(f"{verb} {pipeline.name}"))
    monkeypatch.setattr(operations, "check_committed", lambda *_: done.append("check"))
    monkeypatch.setattr(operations.Inside, "plan", planned)
    assert contrail(monkeypatch, "contrail sandbox apply deeper --yes") == 0
    assert done == ["check", "backfill toy", "plan"]
    done.clear()
    capsys.readouterr()
    assert contrail(monkeypatch, "contrail sandbox apply deeper --json") == 0
    assert done == ["plan"]
    assert json.loads(capsys.readouterr().out) == {"plan": None}


def test_without_git_nothing_is_applied(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code_revision.cache_clear()
    try:
        assert contrail(monkeypatch, "contrail sandbox apply deeper --yes") == 2
    finally:
        code_revision.cache_clear()
    assert "the code here is of no commit" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["..", "''", "."])
def test_a_drop_of_no_sandbox_is_refused(
    own: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for action in ("drop", "compare", "apply"):
        assert contrail(monkeypatch, f"contrail sandbox {action} {name}") == 2
    assert "cannot be the name of a sandbox" in capsys.readouterr().err
    own.lake.table_names()
