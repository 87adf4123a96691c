"""One home and one running Airflow for the end-to-end tests, with the toy pipeline and a browser."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail_airflow.local.api import AirflowApi
from contrail_airflow.local.embedded import Embedded
from tests.browser import chromium_or_skip
from tests.conftest import PROJECT, TOY_PIPELINES, Toy

DAGS = ("daily", "score", "monitor", "train", "tune", "backfill", "replay", "rollback", "maintain")
_SCREENSHOTS = "CONTRAIL_TEST_SCREENSHOTS"


@pytest.fixture(scope="package")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a home whose only pipeline is toy."""
    own = {
        "CONTRAIL_HOME": str(tmp_path_factory.mktemp("airflow") / "home"),
        "CONTRAIL_PROJECT": str(PROJECT),
        "CONTRAIL_PIPELINES": str(TOY_PIPELINES),
        "CONTRAIL_DAGS": str(PROJECT / "tests" / "dags"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    settings.cache_clear()
    yield {**os.environ}
    Embedded(settings()).stop()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    settings.cache_clear()


@pytest.fixture(scope="package")
def main_job(environment: dict[str, str]) -> Callable[[], str]:
    """Run the main job, which starts and stops Airflow; what it printed."""

    def run() -> str:
        command = [sys.executable, "-m", "contrail_airflow.local.main_job", "--pipeline", "toy"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="package")
def first_run(main_job: Callable[[], str]) -> str:
    """What the main job printed in the empty home; the toy pipeline is trained and scored since."""
    return main_job()


@pytest.fixture(scope="package")
def airflow(first_run: str) -> Iterator[Embedded]:
    """Airflow, running on that home with every DAG unpaused; at the end it stops and leaves nothing behind."""
    embedded = Embedded(settings())
    embedded.start()
    try:
        api = embedded.api()
        api.wait_for_dags([f"toy__{suffix}" for suffix in DAGS], 60)
        for suffix in DAGS:
            api.pause(f"toy__{suffix}", False)
        yield embedded
    finally:
        stopped = embedded.stop()
        assert set(stopped) == {"api-server", "scheduler", "dag-processor", "triggerer", "fork-server"}
    assert embedded.stop() == []


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A real browser without a window; see ``tests.browser``."""
    with chromium_or_skip() as browser:
        yield browser


class Person:
    """Somebody at the browser, logged in to Airflow.

    ``shoot`` keeps what is on the screen. ``show`` does too, also for the documentation, where ``make screenshots`` asks.
    """

    def __init__(self, page: Page, url: str, screenshots: Path) -> None:
        self.page = page
        self.url = url
        self._screenshots = screenshots

    def open(self, path: str) -> None:
        """Go to a page of Airflow."""
        self.page.goto(f"{self.url}/{path}")

    def open_form(self, dag_id: str) -> Locator:
        """Go to a DAG, and open the form that starts a run of it."""
        self.open(f"dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").click()
        return self.page.get_by_role("dialog").filter(has_text=f"Trigger Dag - {dag_id}")

    def open_log(self, task_id: str, state: str) -> Locator:
        """From the page of a run to the log of one of its tasks, when that is in this state."""
        row = self.page.get_by_role("row").filter(has_text=task_id).filter(has_text=state)
        row.get_by_role("link", name=task_id, exact=True).click()
        return self.page.get_by_test_id("virtualized-list")

    def shoot(self, name: str) -> None:
        """Save the window as an image."""
        self.page.screenshot(path=self._screenshots / f"{name}.png")

    def show(self, name: str) -> None:
        """Save the window as an image of ``docs/screenshots``."""
        self.page.screenshot(path=Path(os.environ.get(_SCREENSHOTS, self._screenshots)) / f"{name}.png")


@pytest.fixture
def log_in(chromium: Browser, airflow: Embedded, tmp_path: Path) -> Iterator[Callable[[str], Person]]:
    """Log in through the form as one of the roles; on a failure the last screens are in ``tmp_path``."""
    contexts: list[Any] = []

    def enter(role: str) -> Person:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        person = Person(page, airflow.state().airflow_url, tmp_path)
        person.open("")
        page.get_by_label("Username").fill(role)
        page.get_by_label("Password").fill(airflow.passwords()[role])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Browse").wait_for()
        return person

    yield enter
    for number, context in enumerate(contexts):
        context.pages[0].screenshot(path=tmp_path / f"last-{number}.png")
        context.close()


def wait_for_the_question(api: AirflowApi, run_id: str, dag_id: str = "toy__train") -> None:
    """Wait until a run waits for an approver, and until Airflow's scheduler has seen the end of the process that asked.

    Airflow fails a task that goes on before the scheduler has seen that end. No person answers so fast.
    """
    end = time.monotonic() + 180
    while not any(task["state"] == "awaiting_input" for task in api.tasks(dag_id, run_id)):
        states = {task["task_id"]: task["state"] for task in api.tasks(dag_id, run_id)}
        assert time.monotonic() < end and "failed" not in states.values(), states
        time.sleep(1)
    beats = {_heartbeat(api)}
    while len(beats) < 3:  # the scheduler looks at ended processes before each heartbeat
        assert time.monotonic() < end, "the scheduler has stopped"
        time.sleep(0.5)
        beats.add(_heartbeat(api))


def _heartbeat(api: AirflowApi) -> str:
    return str(api.call("GET", "monitor/health")["scheduler"]["latest_scheduler_heartbeat"])


@pytest.fixture
def toy(airflow: Embedded) -> Toy:
    """The toy pipeline in the home of the running Airflow."""
    return Toy(load_pipeline("toy"), settings())
