"""Which objects of DVC stay, in the cache and in the remote, and which go."""

import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contrail.adapters.data_versions import add_and_push, fetch, marks, objects
from contrail.adapters.unnamed_versions import remove_unnamed
from contrail.config.settings import Settings, settings
from contrail.errors import DamagedError, EngineError, MissingInputError

LATER, NOW = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def current(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose project is a Git repository of the test's own."""
    project = tmp_path / "project"
    project.mkdir()
    git(project, "init", "-q", "-b", "main")
    return settings().model_copy(update={"project_path": project})


def git(project: Path, *arguments: str) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(project), *own, *arguments], check=True, capture_output=True)


def rows(current: Settings, content: str, window: str = "w") -> str:
    """A training set that was versioned; its MD5."""
    path = current.home_path / "training_sets" / "toy" / window / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return add_and_push(current, [path])[path]


def landed(current: Settings, *days: int, pipeline: str = "toy") -> str:
    folder = current.home_path / "landing" / pipeline
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        (folder / f"{day}.csv").write_text(f"{pipeline} {day}")
    return add_and_push(current, [folder])[folder]


def clean(current: Settings, *named: str, before: datetime = LATER, dry_run: bool = False) -> set[str]:
    """The MD5s that went, each from the cache and from the remote."""
    # A training asked for all of them just now.
    for mark in marks(current).glob("*"):
        mark.unlink()
    gone = [one.path for one in remove_unnamed(current, before, lambda: named, dry_run=dry_run)]
    names = ["".join(path.split("/")[-2:]) for path in gone]
    assert sorted(names) == sorted([*set(names)] * 2), "from both places"
    return set(names)


def test_what_a_dvc_file_a_run_or_a_version_names_stays(current: Settings) -> None:
    first, second, newest = (rows(current, content) for content in ("first", "second", "newest"))
    assert clean(current, f"dvc_training_set_md5 {second}", dry_run=True) == {first}
    assert fetch(current, first, current.home_path / "back").read_text() == "first", "a dry run removes nothing"
    assert clean(current, f"dvc_training_set_md5 {second}") == {first}
    with pytest.raises(MissingInputError):
        fetch(current, first, current.home_path / "back")
    assert fetch(current, second, current.home_path / "back").read_text() == "second"
    assert fetch(current, newest, current.home_path / "back").read_text() == "newest", "its .dvc file lies in the home"
    assert rows(current, "first") == first, "it can be versioned again"
    assert fetch(current, first, current.home_path / "back").read_text() == "first"
    assert clean(current) == {second, newest}


def test_what_is_in_a_named_folder_stays_and_so_do_other_pipelines(current: Settings) -> None:
    early = landed(current, 1, 2)
    landed(current, 7, pipeline="other")
    (current.home_path / "landing" / "toy" / "1.csv").write_text("mended")
    late = landed(current, 3)
    assert clean(current, early) == set()
    old = clean(current)
    assert early in old and late not in old
    assert len(old) == 2, "the list of the early folder, and the file that was mended since"
    assert landed(current) == late


def test_the_young_stay_and_what_a_training_has_just_asked_for(current: Settings) -> None:
    first = rows(current, "first")
    rows(current, "second")
    assert clean(current, before=NOW) == set()
    assert (marks(current) / first).exists() is False
    assert rows(current, "first", "elsewhere") == first
    for path in (current.home_path / "training_sets").rglob("*.dvc"):
        path.unlink()
    # The object is old; the mark of the training that goes on is not.
    assert [one.path for one in remove_unnamed(current, NOW, tuple)] == []
    mark = Path(str(marks(current) / first))
    assert mark.exists()


def test_an_old_object_that_a_training_asks_for_again_stays(current: Settings) -> None:
    import os

    first = rows(current, "first")
    for path in objects(current):
        os.utime(str(path), (0, 0))
    rows(current, "second")
    rows(current, "first", "elsewhere")
    (current.home_path / "training_sets" / "toy" / "elsewhere" / "rows.parquet.dvc").unlink()
    assert remove_unnamed(current, NOW, tuple) == []
    for mark in marks(current).glob("*"):
        os.utime(str(mark), (0, 0))
    gone = {"".join(one.path.split("/")[-2:]) for one in remove_unnamed(current, NOW, tuple)}
    assert gone == {first}
    assert list(marks(current).glob("*")) == []


@pytest.mark.parametrize("where", ["tree", "history", "side branch"])
def test_what_a_scientists_repository_names_stays(current: Settings, where: str) -> None:
    md5 = rows(current, "an experiment")
    rows(current, "newest")
    project = current.project_path
    (project / "experiments").mkdir()
    (project / "experiments" / "rows.dvc").write_text(f"outs:\n- md5: {md5}\n")
    if where != "tree":
        git(project, "add", ".")
        git(project, "commit", "-qm", "an experiment")
        git(project, "branch", "side")
        (project / "experiments" / "rows.dvc").unlink()
        git(project, "commit", "-qam", "gone")
        if where == "side branch":
            git(project, "checkout", "-q", "--orphan", "new")
            git(project, "commit", "-q", "--allow-empty", "-m", "anew")
            git(project, "branch", "-qD", "main")
    assert clean(current) == set()


def test_nothing_goes_while_git_does_not_answer(current: Settings) -> None:
    rows(current, "first")
    rows(current, "second")
    (current.project_path / ".git" / "HEAD").write_text("broken")
    before = [str(path) for path in objects(current)]
    with pytest.raises(EngineError, match=r"Git does not say .* No version was removed"):
        clean(current)
    assert [str(path) for path in objects(current)] == before


def test_nothing_goes_while_the_list_of_a_folder_is_damaged(current: Settings) -> None:
    early = landed(current, 1)
    landed(current, 2)
    for path in objects(current):
        if path.name == early[2:]:
            Path(str(path)).chmod(0o644)
            path.write_text("{")
    before = [str(path) for path in objects(current)]
    with pytest.raises(DamagedError, match=r"is damaged, .* No version was removed"):
        clean(current, early)
    assert [str(path) for path in objects(current)] == before
    copy: Iterable[str] = [
        str(path) for path in objects(current) if "dvc-remote" in str(path) and path.name == early[2:]
    ]
    for each in copy:
        Path(each).unlink()
        Path(each).write_text('[{"md5": "' + "0" * 32 + '", "relpath": "a"}]')
    assert early not in clean(current, early), "one whole copy is enough"
