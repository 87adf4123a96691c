"""Nobody is left at a dead end: who types what each message says, gets what was asked for in the first place."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry
from tests.unit.cli.test_cli import run

from contrail.adapters import mlflow_store
from contrail.adapters.registry import CHAMPION
from contrail.partitions import Partitions

pytestmark = pytest.mark.slow

DAY = "2024-03-01"
ON_A_DAY = ("-p", "toy", "--from", DAY, "--to", DAY)
# A command as a message names it: its verb, and flags with their values. Prose follows at once.
NAMED = re.compile(r"contrail [a-z][a-z-]*(?: --?[a-z][a-z-]*(?: (?!-)(?:\"[^\"]*\"|[\w./-]+))?| \"[^\"]*\")*")
MOST = 30

Shell = Callable[..., tuple[int, str]]


def named(message: str) -> Iterator[list[str]]:
    """The commands that a message tells a person to run, in its order."""
    flat = re.sub(r"\s+", " ", message)
    for found in NAMED.findall(flat):
        yield shlex.split(found.rstrip("."))[1:]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    def type_it(*words: str) -> tuple[int, str]:
        code, _, said = run(monkeypatch, capsys, *words)
        return code, said  # also what a command that succeeds tells a person, beside its result

    return type_it


def obey(shell: Shell, *words: str) -> None:
    """Run a command. While it is refused, do what it says, and run it again, until it has done its work.

    Where a message gives a choice, one of its commands must help.
    """
    typed: list[str] = []

    def work(words: list[str]) -> bool:
        while len(typed) < MOST:
            typed.append(shlex.join(words))
            code, said = shell(*words)
            following = list(named(said)) if code or words[0] == "status" else []
            helped = [work(one) for one in following]
            if code == 0:
                return True
            if not any(helped):
                typed.append(said)
                return False
        return False

    assert work(list(words)), "a dead end:\n" + "\n".join(typed)


def landed(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-03-10")
    copy_empty_registry(toy.settings)


def trained(toy: Toy) -> None:
    landed(toy)
    toy.run("ingest", "2024-01-01", "2024-03-10")
    toy.run("validate", "2024-01-01", "2024-03-10")
    toy.run("features", "2024-01-01", "2024-03-10")
    for _ in range(2):
        toy.run("train", "2024-01-06", "2024-02-14")
    toy.run("promote", "2024-02-16", "2024-02-29", approval="approved", person="ada", model="1")


@pytest.mark.parametrize("verb", ["features", "score", "drift", "performance", "promote"])
def test_an_empty_home_leads_to_what_was_asked_for(prepared: Prepare, shell: Shell, verb: str) -> None:
    toy = prepared(landed)
    obey(shell, verb, *(("-p", "toy") if verb == "promote" else ON_A_DAY))
    if verb != "promote":
        assert toy.lake.partitions({"score": "predictions"}.get(verb, verb))


def lose_the_alias(toy: Toy) -> None:
    mlflow_store.client(toy.settings).delete_registered_model_alias("toy", CHAMPION)


def lose_the_champion(toy: Toy) -> None:
    lose_the_alias(toy)
    mlflow_store.client(toy.settings).delete_model_version("toy", "1")


def lose_the_catalog(toy: Toy) -> None:
    Path(toy.settings.catalog.uri.removeprefix("sqlite:///")).unlink()


def lose_a_file(toy: Toy) -> None:
    Path(toy.lake.files("features", Partitions.parse(DAY))[0].removeprefix("file://")).unlink()


@pytest.mark.parametrize("lose", [lose_the_alias, lose_the_champion, lose_the_catalog, lose_a_file])
def test_what_is_lost_is_found_again(prepared: Prepare, shell: Shell, lose: Callable[[Toy], None]) -> None:
    toy = prepared(trained)
    lose(toy)
    obey(shell, "score", *ON_A_DAY)
    assert len(toy.sql(f"SELECT 1 FROM predictions WHERE partition_date = '{DAY}'")) == 60
