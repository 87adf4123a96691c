"""Fixtures that every test may use: an empty home, and the toy pipeline."""

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import event
from sqlalchemy.engine import Engine
from xdist.scheduler import LoadGroupScheduling

from contrail import files
from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import Settings, settings
from contrail.lake.lake import Lake
from contrail.lake.sql import ask
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import options_of
from contrail.stages.results import StageResult
from contrail.stages.runner import run_stage
from tests.prepared import PreparedHomes

PROJECT = Path(__file__).resolve().parents[1]
TOY_PIPELINES = PROJECT / "tests" / "pipelines"

logging.getLogger("pyiceberg").setLevel(logging.ERROR)
# Python looks for cycles after 700 new objects: a tenth of the time of tests that make millions.
gc.set_threshold(20_000)
# gcsfs reads it when it is imported. Each call would wait a minute for a service that the storage emulator does not have.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# Read when XGBoost is loaded. Its idle threads would spin; the tests of two workers then wait for each other's.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A test's Java runs for seconds, in which the compiler for hours of work costs more than it gains.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
# A busy machine is no fault of what is tested.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")
# Who works in an environment, `prod` perhaps, does not mean that tests should.
for _name in [name for name in os.environ if name.startswith("CONTRAIL_") and not name.startswith("CONTRAIL_TEST_")]:
    del os.environ[_name]


class ByGroupOrFile(LoadGroupScheduling):
    """Give a worker a whole group, or a whole file of tests without a group: what its fixtures have made is made once."""

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else str(group)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroupOrFile:
    """Called by xdist on its way to spread the tests over workers."""
    return ByGroupOrFile(config, log)


FLUSH = files._flush


def pytest_configure(config: pytest.Config) -> None:
    """What a test publishes need not outlive a power cut. Nor need its catalog and MLflow's database, see below."""
    files._flush = lambda path: None  # tests of it take `FLUSH`


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is where a shell has started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of this test's own, on the pipelines that are shipped."""
    path = tmp_path / "home"
    monkeypatch.setenv("CONTRAIL_HOME", str(path))
    monkeypatch.setenv("CONTRAIL_PROJECT", str(PROJECT))
    monkeypatch.delenv("CONTRAIL_PIPELINES", raising=False)
    monkeypatch.setenv("CONTRAIL_SANDBOX", "")  # a command may set it, and it is as before when the test ends
    settings.cache_clear()
    yield path
    settings.cache_clear()


@pytest.fixture
def toy_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose only pipeline is ``toy``."""
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(TOY_PIPELINES))
    settings.cache_clear()
    return home


class Toy:
    """The toy pipeline with shortcuts: land files, run a stage, look into the lake."""

    def __init__(self, pipeline: Pipeline, current: Settings) -> None:
        self.pipeline = pipeline
        self.spec = pipeline.spec
        self.settings = current
        self.lake = Lake(current, pipeline.name)
        self.landing = current.landing / pipeline.name

    def land(self, start: str, end: str | None = None) -> int:
        self.landing.mkdir(parents=True, exist_ok=True)
        return int(self.pipeline.function("source", "land")(self.landing, Partitions.parse(start, end)))

    def run(self, verb: str, start: str, end: str | None = None, **options: Any) -> StageResult[Any]:
        return run_stage(verb, self.pipeline.name, Partitions.parse(start, end), options=options)

    def stage_run(self, verb: str, start: str, end: str | None = None, **options: Any) -> StageRun:
        """The argument of a stage function, for calling its parts."""
        partitions = Partitions.parse(start, end)
        return StageRun(
            verb, self.pipeline, partitions, self.settings, self.lake, "test-run", options_of(verb, options)
        )

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with ask(self.lake, self.spec, query) as answer:
            return list(answer.rows())


@contextmanager
def toy_in(home: Path) -> Iterator[tuple[Toy, pytest.MonkeyPatch]]:
    """The toy pipeline in a home that the tests of a module share, with what undoes a fixture's changes at its end."""
    with pytest.MonkeyPatch.context() as patch:
        given = {"CONTRAIL_HOME": home, "CONTRAIL_PROJECT": PROJECT, "CONTRAIL_PIPELINES": TOY_PIPELINES}
        for name, path in given.items():
            patch.setenv(name, str(path))
        settings.cache_clear()
        yield Toy(load_pipeline("toy"), settings()), patch
    settings.cache_clear()


@pytest.fixture
def toy(toy_home: Path) -> Toy:
    """The toy pipeline in an empty home."""
    return Toy(load_pipeline("toy"), settings())


@pytest.fixture(scope="session")
def prepared_homes(tmp_path_factory: pytest.TempPathFactory) -> PreparedHomes:
    """The prepared homes of this worker."""
    return PreparedHomes(tmp_path_factory.mktemp("prepared"))


Prepare = Callable[[Callable[[Toy], None]], Toy]


@pytest.fixture
def prepared(toy_home: Path, prepared_homes: PreparedHomes, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """The toy pipeline in a home as a function fills it. It does so once; each test begins with what it left."""

    def prepare(fill: Callable[[Toy], None]) -> Toy:
        home, empty = prepared_homes.home(fill)
        monkeypatch.setenv("CONTRAIL_HOME", str(home))
        settings.cache_clear()
        toy = Toy(load_pipeline("toy"), settings())
        if empty:
            fill(toy)
            prepared_homes.keep(fill, home)
        return toy

    return prepare


@pytest.fixture
def collect() -> Callable[[str], None]:
    """A progress function that keeps its lines in ``collect.lines``."""

    def keep(line: str) -> None:
        keep.lines.append(line)  # type: ignore[attr-defined]

    keep.lines = []  # type: ignore[attr-defined]
    return keep
