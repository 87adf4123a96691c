"""The same model again, from a git repository, a DVC remote and a registry, in an empty home."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
import xgboost
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.toy_tables import copy_empty_registry, publish_toy
from tests.unit.cli.test_cli import run

from contrail.adapters import registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import Settings, settings
from contrail.methods.model_package import CARD, MODEL
from contrail.operations.kept_checks import REPRODUCED, kept
from contrail.operations.reproduce import reproduce
from contrail.operations.reproducing.results import Reproduction
from contrail.operations.reproducing.workplace import scratch_folder
from contrail.revision import code_revision
from contrail.stages import sandboxed
from contrail.stages.training import artifacts

pytestmark = pytest.mark.slow
WINDOW = ("2024-01-01", "2024-02-09")
FIT = Path("include/contrail/methods/fit.py")
SPEC = Path("include/pipelines/toy/pipeline.yaml")


def git(project: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    return subprocess.run(
        ["git", "-C", str(project), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(project: Path, what: str) -> str:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", what)
    code_revision.cache_clear()
    return git(project, "rev-parse", "HEAD")


@dataclass(frozen=True)
class World:
    """A project with three commits: version 1 is of the first, 2 of the second, and the third changes the code of the fit."""

    project: Path
    settings: Settings
    revisions: tuple[str, str, str]

    def elsewhere(self, home: Path, project: Path | None = None) -> Settings:
        """An empty home, which only shares the registry and the remote."""
        paths = {"home_path": home, "staging_uri": str(home / "staging"), "reports_uri": str(home / "reports")}
        own = project or self.project
        return self.settings.model_copy(
            update={**paths, "project_path": own, "pipelines_path": own / "include" / "pipelines"}
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("reproduce")
    project = place / "project"
    ignored = shutil.ignore_patterns("__pycache__", "pipelines")
    shutil.copytree(PROJECT / "include", project / "include", ignore=ignored)
    shutil.copytree(TOY_PIPELINES, project / "include" / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "requirements.txt", project)
    (project / ".gitignore").write_text("__pycache__\n")
    git(place, "init", "--quiet", str(project))
    first = commit(project, "The first code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRAIL_HOME", str(place / "home"))
        patch.setenv("CONTRAIL_PROJECT", str(project))
        settings.cache_clear()
        patch.setattr(artifacts, "draw_all", lambda _, folder: folder.mkdir(parents=True))  # half of a small training
        toy = Toy(load_pipeline("toy"), settings())
        publish_toy(toy, "2024-01-01", "2024-02-15")
        copy_empty_registry(settings())
        toy.run("train", *WINDOW, params={"nthread": 1, "max_depth": 2})
        text = (project / SPEC).read_text()
        costly = f"{text}\nscore:\n  costs: {{false_alarm: 1.5, miss: 4}}\n"
        (project / SPEC).write_text(costly.replace("eta: 0.2", "eta: 0.3"))
        second = commit(project, "Learn faster, and decide by costs")
        Toy(load_pipeline("toy"), settings()).run("train", *WINDOW, params={"nthread": 1, "calibration": "beta"})
        code = (project / FIT).read_text()
        assert '"seed": train.seed' in code
        (project / FIT).write_text(
            code.replace('"seed": train.seed', '"seed": train.seed + 1').replace(
                'method.params, "device"', 'method.params, "max_depth": 1, "device"'
            )
        )
        third = commit(project, "Fit otherwise")
        (project / FIT).write_text("raise SystemExit('half an edit')\n")
        (project / "notes.txt").write_text("mine\n")
        yield World(project, settings(), (first, second, third))
    settings.cache_clear()


def made_again(current: Settings, version: str) -> Reproduction:
    return reproduce(current, "toy", version, progress=lambda _: None)


def state_of(project: Path) -> tuple[str, ...]:
    """All that a person would see of a repository: its files, index, branches and worktrees."""
    return tuple(
        git(project, *asked)
        for asked in (
            ("status", "--porcelain"),
            ("diff",),
            ("for-each-ref",),
            ("rev-parse", "HEAD"),
            ("worktree", "list"),
        )
    )


def test_each_version_is_made_again_by_its_own_code_beside_a_tree_that_is_being_edited(
    world: World, tmp_path: Path
) -> None:
    before, current = state_of(world.project), world.elsewhere(tmp_path / "home")
    aliases = registry.versions(world.settings, "toy")
    # It has the main lake's versions, and no remote of its own with their rows.
    own = world.elsewhere(tmp_path / "other").inside("lab")
    sandboxed.begin(own, load_pipeline("toy"))
    follows = ("calibration step", "threshold")
    for place, version, revision, after in (
        (own, "1", world.revisions[0], ()),
        (current, "2", world.revisions[1], follows),
    ):
        found = made_again(place, version)
        assert found.outcome == "same bytes", found
        assert found.made_sha256 == found.recorded_sha256
        assert found.cause is None
        assert (found.after, found.left_out, found.whole) == (after, (), True), found
        assert {one.what: one.state for one in found.compared} == dict.fromkeys(
            ("data", "code", "pipeline's files", "parameters", "threads", "lock", "libraries", "hardware"), "same"
        )
        (code,) = [one for one in found.compared if one.what == "code"]
        assert code.here == revision
    assert state_of(world.project) == before
    assert registry.versions(world.settings, "toy") == aliases
    assert not list((tmp_path / "home" / "tmp").iterdir())
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["locks", "models", "reports", "tmp"]
    record = kept(current, "toy", REPRODUCED)
    assert record and (record.version, record.passed) == ("2", True), "a score card cites it"


def planted(world: World, change: dict[str, object], model: bytes | None = None) -> Callable[[], None]:
    """Change the record of version 1 in the registry, and return what changes it back."""
    version = registry.resolve(world.settings, "toy", "1")
    (place,) = [
        path.parent
        for path in (world.settings.home_path / "mlflow" / "artifacts").rglob(CARD)
        if path.parent.name == "artifacts" and path.read_bytes() == (version.folder / CARD).read_bytes()
    ]
    before = {name: (place / name).read_bytes() for name in (CARD, MODEL)}
    info = registry.describe_version(world.settings, "toy", "1")

    def put(files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (place / name).write_bytes(content)
        registry.tag_version(world.settings, info, {registry.CARD_DIGEST: sha256(files[CARD]).hexdigest()})

    card = version.package.card
    package = replace(
        version.package,
        card=card.model_copy(update={"training": card.training.model_copy(update=change)}),
        booster_bytes=model or version.package.booster_bytes,
    )
    put({name: package.files()[name] for name in (CARD, MODEL)})
    return lambda: put(before)


def test_all_that_differs_is_named_and_the_first_is_the_cause(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    card = registry.resolve(world.settings, "toy", "1").package.card.training
    changed = {"params": {**card.params, "max_depth": 1}, "threads": 2, "xgboost_version": "3.0.9"}
    bring_back, lines = planted(world, changed), list[str]()
    try:
        found = reproduce(world.elsewhere(tmp_path / "home"), "toy", "1", progress=lines.append)
    finally:
        bring_back()
    assert found.outcome == "other bytes"
    states = {one.what: one for one in found.compared if one.state == "differs"}
    assert list(states) == ["parameters", "threads", "libraries"]
    assert found.cause == states["parameters"]
    assert states["parameters"].says == "max_depth was 1, the pipeline's file says 2"
    assert (states["threads"].recorded, states["threads"].here) == ("2", "1")
    assert states["libraries"].says == f"xgboost was 3.0.9, here it is {xgboost.__version__}"
    assert found.difference.startswith("tree 0 of ")
    assert lines[-1] == "fitting 2,340 rows with 1 thread"


def test_other_bytes_by_the_same_receipt_are_said_with_the_tree_and_the_command_ends_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_back = planted(world, {}, registry.resolve(world.settings, "toy", "2").package.booster_bytes)
    try:
        code, out, err = run(monkeypatch, capsys, "reproduce", "-p", "toy", "1")
    finally:
        bring_back()
    assert code == 3
    assert "✗ toy version 1: other bytes; nothing that was recorded differs. Nothing was published." in out
    assert "is the first that differs: node " in out
    assert "fitting 2,340 rows with 1 thread\n" in err


def test_rows_that_are_changed_in_the_remote_are_not_fitted(world: World, tmp_path: Path) -> None:
    current = world.elsewhere(tmp_path / "home")
    remote = tmp_path / "remote"
    shutil.copytree(current.data_versions_remote_uri, remote)
    md5 = registry.resolve(current, "toy", "1").package.card.training.training_set_md5
    rows = remote / "files" / "md5" / md5[:2] / md5[2:]
    rows.chmod(0o644)
    rows.write_bytes(rows.read_bytes()[:-1] + b"!")
    current = current.model_copy(update={"data_versions_remote_uri": str(remote)})
    found = made_again(current, "1")
    assert (found.outcome, found.made_sha256, found.seconds) == ("not fitted", None, None)
    assert found.cause is not None
    assert found.cause.what == "data"
    assert "is damaged: its MD5 is " in found.cause.says
    assert {one.what for one in found.compared if one.state != "same"} == {"data"}


def test_in_a_shallow_clone_the_code_is_the_cause(world: World, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{world.project}", str(clone))
    found = made_again(world.elsewhere(tmp_path / "home", clone), "1")
    assert found.outcome == "other bytes"
    assert found.cause is not None
    assert found.cause.what == "code"
    assert (found.cause.recorded, found.cause.here) == (world.revisions[0], world.revisions[2])
    assert "git fetch --unshallow" in found.cause.says
    assert "eta was 0.2, the pipeline's file says 0.3" in next(
        one.says for one in found.compared if one.what == "parameters"
    )


def test_a_killed_run_leaves_nothing_once_the_next_one_begins(world: World, tmp_path: Path) -> None:
    before, current = state_of(world.project), world.elsewhere(tmp_path / "home")
    (world.project / "include" / "environments" / "elsewhere.yaml").write_text(
        f"extends: dev\ndata_versions_remote_uri: {current.data_versions_remote_uri!r}\n"
        f"registry: {{tracking_uri: {current.registry.tracking_uri!r}, artifact_uri: {current.registry.artifact_uri!r}}}\n"
    )
    own = {"CONTRAIL_ENV": "elsewhere", "CONTRAIL_HOME": str(current.home_path), "CONTRAIL_PROJECT": str(world.project)}
    command = [sys.executable, "-m", "contrail", "reproduce", "-p", "toy", "1"]
    environment = {**os.environ, **own, "PYTHONPATH": str(PROJECT / "include")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # The child that fits is at work once its facts are told.
        assert any("fitting" in line for line in process.stderr or ())
        process.send_signal(signal.SIGKILL)
    (world.project / "include" / "environments" / "elsewhere.yaml").unlink()
    (left,) = (current.home_path / "tmp").iterdir()
    assert (left / "code" / "include").is_dir()
    assert state_of(world.project) != before
    with scratch_folder(current) as scratch:
        assert [*(current.home_path / "tmp").iterdir()] == [scratch]
        assert state_of(world.project) == before
