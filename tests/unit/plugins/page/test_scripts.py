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


def test_a_board_that_is_read_again_leaves_the_plan_the_focus_and_the_choice_of_days(site: Site) -> None:
    open_board(site, a_board([a_run()]))
    expect(score(site)).to_have_attribute("data-state", "running")
    site.page.get_by_role("button", name="Backfill …", exact=True).click()
    plan = site.page.get_by_role("region", name="Backfill")
    plan.get_by_role("checkbox", name="Drift").check()
    plan.get_by_label("First day").fill("2024-02-03")
    plan.get_by_label("First day").focus()
    concerns = [
        {"stage": stage, "state": "stale", "why": "late", "days": ["2024-02-10"], "count": 1} for stage in STAGES
    ]
    site.answers["contrail/api/toy/board"] = a_board([a_run()], "stale", concerns=concerns)
    site.page.clock.run_for(PAUSE)
    expect(site.page.get_by_text("2 more")).to_be_visible()
    expect(plan.get_by_role("checkbox", name="Drift")).to_be_checked()
    expect(plan.get_by_label("First day")).to_have_value("2024-02-03")
    expect(plan.get_by_label("First day")).to_be_focused()
    plan.get_by_role("button", name="Close").click()

    # A choice of days, the focused cell and what was opened stay too.
    site.page.get_by_text("2 more").click()
    cell = site.page.locator('[data-at="4/2"]')
    cell.focus()
    cell.dispatch_event("pointerdown", {"button": 0})
    cell.dispatch_event("pointerup")
    site.page.keyboard.press("Shift+ArrowLeft")
    site.answers["contrail/api/toy/board"] = a_board([], "refused", concerns=concerns)
    site.page.clock.run_for(PAUSE)
    expect(score(site)).to_have_attribute("data-state", "refused")
    expect(site.page.locator(".choice")).to_be_visible()
    expect(site.page.locator('[data-at="3/2"]')).to_be_focused()
    expect(site.page.locator(".concerns details")).to_have_attribute("open", "")
    reads = len([path for path in site.asked if "/board?" in path])
    site.page.clock.run_for(4 * PAUSE)
    assert len([path for path in site.asked if "/board?" in path]) == reads == 3, "nothing runs any more"


def test_the_board_is_read_again_once_in_a_while_however_often_the_address_changes(site: Site) -> None:
    open_board(site, a_board([a_run()]))
    for name in ("Month", "Quarter", "Year"):
        site.page.get_by_role("button", name=name).click()
        expect(site.page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    reads = len([path for path in site.asked if "/board?" in path])
    for turn in range(1, 4):
        site.page.clock.run_for(PAUSE)
        site.wait_for("/board?", reads + turn)
    site.page.wait_for_timeout(50)
    assert len([path for path in site.asked if "/board?" in path]) == reads + 3


def test_a_board_that_cannot_be_read_again_says_so_and_is_read_later(site: Site) -> None:
    open_board(site, a_board([a_run()]))
    site.answers["contrail/api/toy/board?"] = (503, {"detail": "the database is away"})
    site.page.clock.run_for(PAUSE)
    said = site.page.locator("p.trouble")
    expect(said).to_contain_text("It could not be read again: the database is away")
    expect(said).to_contain_text("This is the board of ")
    expect(score(site)).to_have_attribute("data-state", "running")
    site.answers["contrail/api/toy/board?"] = a_board([], "stale")
    site.page.clock.run_for(PAUSE)
    expect(score(site)).to_have_attribute("data-state", "stale")
    expect(said).to_be_hidden()


def test_of_two_boards_the_one_that_was_asked_for_last_is_shown(site: Site) -> None:
    open_board(site, a_board([]))
    site.hold("span=92")
    site.page.get_by_role("button", name="Quarter").click()
    site.wait_for("span=92")
    site.answers["contrail/api/toy/board?"] = a_board([], "stale")
    site.page.get_by_role("button", name="Month").click()
    expect(score(site)).to_have_attribute("data-state", "stale")
    site.answers["contrail/api/toy/board?"] = a_board([], "refused")
    site.release("span=92")
    site.page.wait_for_timeout(50)
    expect(score(site)).to_have_attribute("data-state", "stale")
    expect(site.page.get_by_role("button", name="Month")).to_have_attribute("aria-pressed", "true")


def test_an_address_that_changes_before_the_first_answer_counts(site: Site) -> None:
    site.answers |= {"contrail/api/toy/board": a_board([], "stale"), "contrail/api/toy/board/events": []}
    site.hold("span=366")
    site.open("view=board")
    site.wait_for("span=366")
    site.page.evaluate("import('/contrail/static/address.js').then(({ go }) => go({ span: 31 }))")
    expect(score(site)).to_have_attribute("data-state", "stale")
    assert asked_of(site.wait_for("span=31"))["span"] == "31"


def test_a_backfill_that_begins_where_nothing_ran_shows_on_the_board(site: Site) -> None:
    open_board(site, a_board([]))
    group = {"partitions": "2024-02-10", "action": "replace", "rows": 60, "published": 60, "why": "it is stale"}
    plan = {
        "nothing_to_do": False, "days": 1, "estimated_minutes": 1, "cost": "0 EUR", "model": "", "models": [],
        "expected_difference": {}, "stages": [{"stage": "score", "jobs": [1], "partitions": [group]}],
    }  # fmt: skip
    run = {"dag_run_id": "manual__1", "state": "queued"}
    site.answers |= {
        "contrail/api/toy/plan": {"plan": plan, "dag_id": "toy__backfill", "conf": {}},
        "api/v2/dags/toy__backfill/dagRuns": run, "api/v2/dags/toy__backfill/dagRuns/manual__1": {**run, "state": "running"},
        "api/v2/dags/toy__backfill": {"is_paused": False},
    }  # fmt: skip
    site.page.get_by_role("button", name="Backfill …", exact=True).click()
    site.answers["contrail/api/toy/board?"] = a_board([a_run(dag="toy__backfill")])
    site.page.get_by_role("button", name="Start this backfill of 1 day").click()
    expect(score(site)).to_have_attribute("data-state", "running")
    expect(site.page.get_by_role("link", name="Open the run in Airflow")).to_be_visible()
    site.answers["contrail/api/toy/board?"] = a_board([])
    site.page.clock.run_for(PAUSE)
    expect(score(site)).to_have_attribute("data-state", "ok")
    expect(site.page.get_by_role("link", name="Open the run in Airflow")).to_be_visible()


CELLS = [
    ({"state": "stale", "at": "2024-07-01T00:00:00+00:00", "run": "backfill-1"}, "failed", "stale"),
    ({"state": "stale", "at": "2024-01-01T00:00:00Z", "run": "backfill-1"}, "failed", "failed"),
    (
        {"state": "stale", "at": "2024-07-01T00:00:00Z", "run": "manual__1-2"},
        "failed",
        "failed",
    ),  # it published, then failed
    ({"state": "stale", "at": "2024-07-01T00:00:00Z", "run": "manual__12-1"}, "failed", "stale"),
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


# ---- one prediction ----


def a_list(path: str) -> list[dict[str, Any]]:
    day = asked_of(path)["day"]
    return [{"key": {"ship_date": day, "parcel": int(day[-2:])}, "score": 0.5, "decision": False}]


def open_search(site: Site, query: str = "") -> None:
    site.answers |= {
        "contrail/api/toy/predictions": {"last": "2024-02-05"}, "contrail/api/toy/prediction/find": a_list,
        "contrail/api/toy/prediction?": (409, {"detail": "explained"}),
    }  # fmt: skip
    site.open(f"view=one{query}")


def test_a_search_that_answers_late_does_not_show_its_day_under_another(site: Site) -> None:
    site.hold("day=2024-02-05")
    open_search(site)
    site.wait_for("find?day=2024-02-05")
    day = site.page.get_by_label("Day")
    day.fill("2024-02-03")
    day.dispatch_event("change")
    rows = site.page.get_by_role("region", name="Predictions of")
    expect(rows).to_contain_text("2024-02-03")
    site.release("day=2024-02-05")
    site.page.wait_for_timeout(50)
    expect(rows).to_contain_text("2024-02-03")
    rows.get_by_role("button", name="Explain").click()
    asked = asked_of(site.wait_for("prediction?"))
    assert (asked["day"], json.loads(asked["key"])) == ("2024-02-03", {"ship_date": "2024-02-03", "parcel": 3})


def test_a_key_whose_personal_part_is_hidden_goes_on_as_it_was_asked_for(site: Site) -> None:
    model = {"version": "1", "training_window": "2024-01-01..2024-01-31", "training_rows": 9, "code_revision": "c" * 40}
    receipt = {
        "partition": "2024-02-05", "key": {"order": 7, "customer": "•••"}, "prediction": 0.5, "decision": False,
        "model": {**model, "training_set_md5": "m"}, "features": None, "features_snapshot": "1", "scoring": None,
        "scored_at": "2024-02-06T00:00:00Z", "scoring_run": "r",
    }  # fmt: skip
    effect = {"feature": "weight", "meaning": "", "kind": "number", "value": 1.5, "hidden": False, "contribution": 0.5}
    published = {"score": 0.5, "raw": 0.5, "base": 0.0, "calibrated": False, "effects": [effect]}
    found = {
        "receipt": receipt, "published": published, "changed": None, "threshold": 0.6, "task": "binary", "same": True,
        "verdict": "the same", "choices": {}, "entity": {"order": 7}, "past": [],
    }  # fmt: skip
    open_search(site)
    site.answers |= {
        "contrail/api/toy/prediction?": found,
        "contrail/api/toy/prediction/why": {"published": [], "older_expired": False, "sources": []},
        "contrail/api/toy/prediction/flips": {"single": [], "double": [], "tried": "nothing flips it"},
    }  # fmt: skip
    key = json.dumps({"order": 7})
    site.page.evaluate(f"import('/contrail/static/address.js').then(({{ go }}) => go({{ key: {key!r} }}))")
    expect(site.page.get_by_role("heading", name="order 7, customer •••")).to_be_visible()
    assert asked_of(site.wait_for("/why?")) == {"day": "2024-02-05", "key": key}
    site.page.get_by_role("button", name="What would flip the decision?").click()
    expect(site.page.get_by_text("nothing flips it")).to_be_visible()
    assert asked_of(site.wait_for("/flips?")) == {"day": "2024-02-05", "key": key}


def test_a_search_that_failed_can_be_repeated(site: Site) -> None:
    open_search(site, "&day=2024-02-05")
    expect(site.page.get_by_role("button", name="Explain")).to_be_visible()
    site.answers["contrail/api/toy/prediction/find"] = (503, {"detail": "away"})
    site.page.get_by_label("Key").fill("7")
    site.page.get_by_label("Key").dispatch_event("change")
    expect(site.page.locator("pre.trouble")).to_have_text("away")
    site.answers["contrail/api/toy/prediction/find"] = a_list
    site.page.get_by_label("Key").fill("")
    site.page.get_by_label("Key").dispatch_event("change")
    expect(site.page.get_by_role("button", name="Explain")).to_be_visible()


# ---- predictions ----


def predicted(**changes: Any) -> dict[str, Any]:
    names = ("scored", "measured", "estimated", "features", "drift", "marks", "segments")
    empty: dict[str, Any] = {name: [] for name in names}
    known = {"first": "2023-01-01", "last": "2024-02-10", "task": "binary", "metric": "log_loss", "segment": None}
    return {"pipeline": "toy", **empty, **known, **changes}


def test_days_without_predictions_lead_to_those_that_have_some(site: Site) -> None:
    site.answers["contrail/api/toy/predictions"] = predicted()
    site.open("view=predictions&span=31&until=2023-08-31")
    expect(site.page.get_by_role("heading", name="No predictions on these days")).to_be_visible()
    expect(site.page.get_by_text("contrail train")).to_have_count(0)
    for name, until in (("Older days", "2023-07-31"), ("Newer days", "2023-08-31"), ("Newer days", "2023-10-01")):
        site.page.get_by_role("button", name=name).click()
        assert asked_of(site.wait_for(f"last={until}"))["last"] == until
        expect(site.page.get_by_role("button", name=name)).to_be_enabled()
    site.page.get_by_role("button", name="The newest days").click()
    expect(site.page.get_by_role("button", name="Newer days")).to_be_disabled()
    site.answers["contrail/api/toy/predictions"] = predicted(segment={"name": "depot", "value": "A"})
    site.open("view=predictions&only=depot:A&until=2023-08-31")
    expect(site.page.get_by_role("button", name="All predictions").first).to_be_visible()
    expect(site.page.get_by_role("button", name="Older days")).to_be_enabled()


def test_where_nothing_was_ever_predicted_it_says_how_to(site: Site) -> None:
    site.answers["contrail/api/toy/predictions"] = predicted(first=None, last=None)
    site.open("view=predictions")
    expect(site.page.get_by_text("contrail train -p toy")).to_be_visible()


def test_other_days_that_cannot_be_read_are_told_and_can_be_tried_again(site: Site) -> None:
    site.answers["contrail/api/toy/predictions"] = predicted()
    site.open("view=predictions")
    expect(site.page.get_by_role("button", name="Older days")).to_be_enabled()
    site.answers["contrail/api/toy/predictions"] = (503, {"detail": "the database is away"})
    site.page.get_by_role("button", name="Older days").click()
    expect(site.page.get_by_text("the database is away")).to_be_visible()
    site.answers["contrail/api/toy/predictions"] = predicted()
    site.page.get_by_role("button", name="Try again").click()
    expect(site.page.get_by_role("button", name="Older days")).to_be_enabled()


# ---- kept aside ----


def a_row(line: int) -> dict[str, Any]:
    return {
        "day": "2024-02-05",
        "detail": "no depot",
        "file": "f.csv",
        "line": line,
        "row": json.dumps({"line": f"row {line}"}),
    }


def open_aside(site: Site, rows: Callable[[str], Any]) -> None:
    rule = {
        "table": "parcels",
        "rule": "known_depot",
        "rows": 120,
        "days": 1,
        "first": "2024-02-05",
        "last": "2024-02-05",
    }
    site.answers |= {
        "contrail/api/toy/quarantine": {"rules": [rule], "refusals": []}, "contrail/api/toy/quarantine/rows": rows,
    }  # fmt: skip
    site.open("view=data&part=aside&rule=parcels/known_depot")


def test_a_second_click_on_more_repeats_and_skips_no_rows(site: Site) -> None:
    def rows(path: str) -> dict[str, Any]:
        offset = int(asked_of(path)["offset"])
        return {"rows": [a_row(offset + n + 1) for n in range(50)][: 120 - offset], "more": offset < 100}

    open_aside(site, rows)
    expect(site.page.locator("figure")).to_have_count(50)
    site.hold("offset=50")
    more = site.page.get_by_role("button", name="More of")
    more.click()
    more.click()
    site.wait_for("offset=50")
    site.release("offset=50")
    expect(site.page.locator("figure")).to_have_count(100)
    more.click()
    expect(site.page.locator("figure")).to_have_count(120)
    assert [asked_of(path)["offset"] for path in site.asked if "/rows?" in path] == ["0", "50", "100"]


def test_the_plan_of_earlier_rows_does_not_stand_under_later_ones(site: Site) -> None:
    open_aside(site, lambda _: {"rows": [], "more": False})
    plans = iter([(409, {"detail": "the first plan"}), (409, {"detail": "the second plan"})])
    site.answers["contrail/api/toy/replay/plan"] = lambda _: next(plans)
    site.page.get_by_text("Mend these rows").click()
    site.page.get_by_label("Reason").fill("a slip")
    site.hold("replay/plan")
    ask = site.page.get_by_role("button", name="Show what would change")
    ask.click()
    site.wait_for("replay/plan")
    first = site.held.pop(next(iter(site.held)))
    ask.click()
    site.wait_for("replay/plan", 2)
    site.release("replay/plan")
    expect(site.page.locator(".result")).to_have_text("the first plan")
    first.fulfill(status=409, json={"detail": "an older one"})
    site.page.wait_for_timeout(50)
    expect(site.page.locator(".result")).to_have_text("the first plan")
