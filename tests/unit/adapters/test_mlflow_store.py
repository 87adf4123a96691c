"""MLflow's database is made whole or not at all, whoever is killed and however many begin at once."""

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from tests.toy_tables import copy_empty_registry

from contrail.adapters import mlflow_store, registry
from contrail.config.settings import Settings, settings
from contrail.errors import EngineError, MissingInputError

# MLflow is loaded, and nothing of it is open: a fork is a fresh process without the seconds of its imports.
_FORKS = multiprocessing.get_context("fork")


@pytest.fixture
def current(home: Path) -> Settings:
    return settings()


def database(current: Settings) -> Path:
    return Path(current.registry.tracking_uri.removeprefix("sqlite:///"))


def make_and_die(statements: int) -> None:
    """Die at a statement of MLflow's first making."""
    count = 0

    @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute")
    def _(*_: object) -> None:
        nonlocal count
        count += 1
        if count == statements:
            os._exit(9)

    mlflow_store.client(settings())


@pytest.mark.parametrize("statements", [1, 60, 400])
def test_a_first_making_that_is_killed_leaves_nothing_in_the_way(current: Settings, statements: int) -> None:
    import mlflow  # noqa: F401

    child = _FORKS.Process(target=make_and_die, args=(statements,))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert not database(current).exists()
    with pytest.raises(MissingInputError, match="has no champion"):
        registry.resolve(current, "toy", "champion")
    mlflow_store.client(current).search_experiments()
    assert [path.name for path in database(current).parent.iterdir() if path.name.startswith(".")] == []


def half_made(path: Path) -> None:
    """What a killed MLflow leaves by itself: some of its tables, and no experiment."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE experiments (experiment_id INTEGER); CREATE TABLE runs (run_uuid TEXT);"
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('451aebb31d03');"
        )


@pytest.mark.parametrize("left", [lambda path: path.touch(), half_made])
def test_a_half_made_database_is_made_again(current: Settings, left) -> None:  # type: ignore[no-untyped-def]
    path = database(current)
    path.parent.mkdir(parents=True)
    left(path)
    with pytest.raises(MissingInputError, match="has no model in the registry"):
        registry.resolve(current, "toy", "latest")
    assert mlflow_store.client(current).create_experiment("toy")
    assert path.with_name("mlflow.db.unfinished").exists(), "nothing is thrown away"


def make() -> None:
    mlflow_store.client(settings()).search_experiments()


def test_two_that_make_it_at_once_both_go_on(current: Settings) -> None:
    import mlflow  # noqa: F401

    children = [_FORKS.Process(target=make) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_database_with_content_is_left_alone(current: Settings) -> None:
    copy_empty_registry(current)
    before = database(current).read_bytes()
    mlflow_store.client(current).search_experiments()
    assert database(current).read_bytes() == before


def test_a_damaged_database_is_named_and_left_alone(current: Settings) -> None:
    database(current).parent.mkdir(parents=True)
    database(current).write_bytes(b"no database at all" * 100)
    for command in (lambda: registry.resolve(current, "toy", "champion"), lambda: mlflow_store.client(current)):
        with pytest.raises(EngineError, match=r"registry's database .*mlflow\.db is damaged: file is not a database"):
            command()
    assert database(current).read_bytes().startswith(b"no database")


@pytest.mark.parametrize(("uri", "goes_on"), [("", True), ("http://127.0.0.1:9", False)], ids=["a file", "a server"])
def test_ctrl_c_cuts_no_write_to_a_database_that_is_a_file(current: Settings, uri: str, goes_on: bool) -> None:
    """A transaction that it cut would keep the file locked, and the run could not be ended."""
    import mlflow

    mlflow_store.client(current)
    if uri:
        mlflow.set_tracking_uri(uri)
    before, written = signal.signal(signal.SIGINT, signal.default_int_handler), list[bool]()
    try:
        with pytest.raises(KeyboardInterrupt), mlflow_store.mlflow_errors("write"):
            os.kill(os.getpid(), signal.SIGINT)
            written.append(True)
    finally:
        signal.signal(signal.SIGINT, before)
        mlflow.set_tracking_uri(current.registry.tracking_uri)
    assert bool(written) == goes_on
