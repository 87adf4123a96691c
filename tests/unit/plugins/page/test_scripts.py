"""What the page's own scripts do with answers, in a real browser: answers that come late, fail, or come again.

No server runs. A test writes the answers, and may hold one back until another has come.
"""

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from tests.browser import chromium_or_skip

from contrail_airflow.page.app import STATIC

ROOT = "http://page.test/"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
STAGES = ["ingest", "validate", "features", "score", "drift", "performance"]
TOY = {"name": "toy", "title": "Toy", "description": "", "may_backfill": True, "may_replay": True, "problem": ""}
PAUSE = 15_000  # milliseconds between two boards


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with chromium_or_skip() as browser:
        yield browser


class Site:
    """The page at an address of nobody. ``answers`` has what a path of the API answers: JSON, a status with JSON, or a function.

    A path is named by how it begins; the longest that fits counts. ``hold`` keeps answers back until ``release``.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answers: dict[str, Any] = {"contrail/api/frame": {"user": "ada", "docs": "", "pipelines": [TOY]}}
        self.held: dict[str, Route] = {}
        self.asked: list[str] = []
        self._hold: list[str] = []
        self.errors: list[str] = []
        page.route(f"{ROOT}**", self._serve)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, query: str) -> None:
        self.page.goto(f"{ROOT}contrail/?pipeline=toy&{query}")

    def hold(self, part: str) -> None:
        self._hold.append(part)

    def release(self, part: str) -> None:
        """Answer a path that was held, now."""
        self._hold.remove(part)
        path = next(path for path in self.held if part in path)
        self._answer(self.held.pop(path), path)

    def wait_for(self, part: str, times: int = 1) -> str:
        """Wait until a path was asked for so often; the last that was."""
        while len(found := [path for path in self.asked if part in path]) < times:
            self.page.wait_for_timeout(10)
        return found[-1]

    def _serve(self, route: Route) -> None:
        path = route.request.url.removeprefix(ROOT)
        name = urlsplit(path).path
        file = STATIC / (name.removeprefix("contrail/static/") if "/static/" in name else "index.html")
        if "/static/" in name or name == "contrail/":
            route.fulfill(body=file.read_bytes(), content_type=TYPES[file.suffix])
            return
        path = unquote(path)
        self.asked.append(path)
        if any(part in path for part in self._hold):
            self.held[path] = route
        else:
            self._answer(route, path)

    def _answer(self, route: Route, path: str) -> None:
        fits = [begin for begin in self.answers if path.startswith(begin)]
        found = self.answers[max(fits, key=len)] if fits else (404, {"detail": f"no answer for {path}"})
        found = found(path) if callable(found) else found
        status, body = found if isinstance(found, tuple) else (200, found)
        route.fulfill(status=status, json=body)


@pytest.fixture
def site(chromium: Browser) -> Iterator[Site]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    site = Site(context.new_page())
    yield site
    assert not site.errors, "an error that no script has caught"
    context.close()


def asked_of(path: str) -> dict[str, str]:
    """The query of a path."""
    return {name: value for name, (value,) in parse_qs(urlsplit(path).query).items()}


# ---- the board ----


def a_board(runs: list[dict[str, Any]], state: str = "ok", **changes: Any) -> dict[str, Any]:
    """A board of ten days that the lake knows, whose newest score has a state."""
    first = date(2024, 2, 1)
    days = [
        {"day": str(first + timedelta(days=n)), "cells": [{"state": "ok", "rows": 60} for _ in STAGES]}
        for n in range(10)
    ]
    days[-1]["cells"][3]["state"] = state  # type: ignore[index]
    return {
        "pipeline": "toy", "title": "Toy", "first": "2024-02-01", "last": "2024-02-10", "stages": STAGES, "days": days,
        "champions": [{"version": "1", "since": "2024-02-01"}], "concerns": [], "commands": [], "runs": runs, **changes,
    }  # fmt: skip


def a_run(state: str = "running", **changes: Any) -> dict[str, Any]:
    stages = {"score": state}
    own = {"dag": "toy__score", "run": "manual__1", "first": "2024-02-10", "last": "2024-02-10", "state": state}
    return {**own, "started": "2024-02-11T08:00:00Z", "stages": stages, **changes}


def open_board(site: Site, board: dict[str, Any]) -> None:
    site.answers |= {
        "contrail/api/toy/board": board, "contrail/api/toy/board/events": [], "contrail/api/toy/models": {"versions": []},
        "contrail/api/toy/plan": (409, {"detail": "planned"}),
    }  # fmt: skip
    site.page.clock.install()
    site.open("view=board")
    expect(site.page.get_by_role("grid")).to_be_visible()


def score(site: Site) -> Any:
    """The newest cell of scores."""
    return site.page.locator('[data-at="9/3"]')


CELLS = [
    ({"state": "stale", "at": "2024-07-01T00:00:00+00:00", "run": "backfill-1"}, "failed", "stale"),
    ({"state": "stale", "at": "2024-01-01T00:00:00Z", "run": "backfill-1"}, "failed", "failed"),
    (
        {"state": "stale", "at": "2024-07-01T00:00:00Z", "run": "manual__1-2"},
        "failed",
        "failed",
    ),  # it published, then failed
    ({"state": "missing"}, "failed", "failed"),
    ({"state": "refused"}, "failed", "refused"),
    ({"state": "ok", "at": "2024-01-01T00:00:00Z"}, "failed", "ok"),
    ({"state": "stale", "at": "2024-07-01T00:00:00Z"}, "running", "running"),
    ({"state": "stale", "at": "2024-01-01T00:00:00Z"}, "waiting", "stale"),
]


def test_a_run_that_failed_before_the_cell_changed_says_nothing_of_it(site: Site) -> None:
    board = a_board([a_run("failed", started="2024-06-01T00:00:00Z")])
    (old, *_), *_ = CELLS
    board["days"][-1]["cells"][3] = old
    site.answers["contrail/api/toy/board/2024-02-10/score"] = {
        "stage": "score", "cell": {"rows": None, "seconds": None, "model": "", **old}, "sentence": "so it is",
        "runs": board["runs"], "refusals": [], "broken": [], "commands": [], "table": "predictions", "code": "",
    }  # fmt: skip
    open_board(site, board)
    expect(score(site)).to_have_attribute("data-state", "stale")
    score(site).click()
    expect(site.page.get_by_role("dialog").locator(".verdict")).to_have_attribute("data-state", "stale")
    of = "import('/contrail/static/states.js').then(({ stateOf }) => stateOf(cell, 'score', [run]).state)"
    for cell, run, state in CELLS:
        asked = [cell, a_run(run, started="2024-06-01T00:00:00Z")]
        assert site.page.evaluate(f"([cell, run]) => {of}", asked) == state, cell
