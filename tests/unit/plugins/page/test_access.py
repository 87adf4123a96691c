"""Each endpoint of the page, with each role, without a login, and from another site."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import Visit

from contrail_airflow.page import access, documentation
from contrail_airflow.page.app import VIEWS, check_rights, make_app
from contrail_airflow.page.guard import MARK
from contrail_airflow.roles import ROLES

MEND = {"table": "parcels", "reason": "a slip", "sql": "SELECT 'x' AS _file, 1 AS _line, '2' AS weight"}
PLAN = {"first": "2024-01-10", "last": "2024-01-12", "stages": ["features"]}
OURS = {MARK: "1", "sec-fetch-site": "same-origin"}
# What an endpoint reads, where twelve days without a model are not enough.
FILLED = {
    "/api/{pipeline}/prediction",
    "/api/{pipeline}/prediction/why",
    "/api/{pipeline}/prediction/flips",
    "/api/{pipeline}/models/{version}",
    "/api/{pipeline}/models/{version}/rollback",
    "/api/{pipeline}/models/{version}/card",
    "/reports/{pipeline}/{kind}/{path:path}",
}
# Every endpoint, with an address that works, and those who may use it.
EVERYBODY = {role.name for role in ROLES}
ENDPOINTS = {
    ("GET", "/"): ("", EVERYBODY),
    ("GET", "/api/frame"): ("api/frame", EVERYBODY),
    ("GET", "/api/{pipeline}/board"): ("api/toy/board", EVERYBODY),
    ("GET", "/api/{pipeline}/board/events"): ("api/toy/board/events", EVERYBODY),
    ("GET", "/api/{pipeline}/board/{day}/{stage}"): ("api/toy/board/2024-01-05/features", EVERYBODY),
    ("GET", "/api/{pipeline}/predictions"): ("api/toy/predictions", EVERYBODY),
    ("GET", "/api/{pipeline}/predictions/segment"): (
        "api/toy/predictions/segment?name=depot&first=2024-01-05&last=2024-01-05",
        EVERYBODY,
    ),
    ("GET", "/api/{pipeline}/prediction"): ('api/toy/prediction?day=2024-02-26&key={"parcel":"0"}', EVERYBODY),
    ("GET", "/api/{pipeline}/prediction/why"): ('api/toy/prediction/why?day=2024-02-26&key={"parcel":"0"}', EVERYBODY),
    ("GET", "/api/{pipeline}/prediction/flips"): (
        'api/toy/prediction/flips?day=2024-02-26&key={"parcel":"0"}',
        EVERYBODY,
    ),
    ("GET", "/api/{pipeline}/prediction/find"): ("api/toy/prediction/find?day=2024-02-26", EVERYBODY),
    ("GET", "/api/{pipeline}/models"): ("api/toy/models", EVERYBODY),
    ("GET", "/api/{pipeline}/models/{version}"): ("api/toy/models/2", EVERYBODY),
    ("GET", "/api/{pipeline}/models/{version}/rollback"): ("api/toy/models/2/rollback", EVERYBODY),
    ("GET", "/api/{pipeline}/models/{version}/card"): ("api/toy/models/2/card", EVERYBODY),
    ("GET", "/api/{pipeline}/tables"): ("api/toy/tables", EVERYBODY),
    ("GET", "/api/{pipeline}/tables/{table}"): ("api/toy/tables/features", EVERYBODY),
    ("GET", "/api/{pipeline}/quarantine"): ("api/toy/quarantine", EVERYBODY),
    ("GET", "/api/{pipeline}/quarantine/rows"): ("api/toy/quarantine/rows?table=parcels&rule=known_depot", EVERYBODY),
    ("GET", "/api/{pipeline}/reports"): ("api/toy/reports", EVERYBODY),
    ("GET", "/docs/{path:path}"): ("docs/index.html", EVERYBODY),
    ("GET", "/reports/{pipeline}/{kind}/{path:path}"): (
        "reports/toy/decisions/v1_2024-02-11_2024-02-24.html",
        EVERYBODY,
    ),
    ("GET", "/api/{pipeline}/quarantine/csv"): (
        "api/toy/quarantine/csv?table=parcels&rule=known_depot",
        EVERYBODY - {"analyst"},
    ),
    ("POST", "/api/{pipeline}/plan"): ("api/toy/plan", EVERYBODY - {"analyst"}),
    ("POST", "/api/{pipeline}/replay/plan"): ("api/toy/replay/plan", EVERYBODY - {"analyst"}),
}
BODIES = {"api/toy/plan": PLAN, "api/toy/replay/plan": MEND}
# A replay without a row to mend is no plan.
ANSWERS = {"api/toy/replay/plan": 409}


def routes() -> Iterator[APIRoute | Mount]:
    """Every route of the app that Airflow mounts."""
    app = make_app()._app
    yield from (route for route in app.routes if isinstance(route, APIRoute | Mount))
    assert all(isinstance(route, APIRoute | Mount) for route in app.routes)


def call(browser: TestClient, method: str, path: str) -> int:
    answer = browser.request(method, path, headers=OURS, json=BODIES.get(path))
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code


def test_every_route_declares_a_right_and_has_a_case_here() -> None:
    found = set()
    for route in routes():
        if isinstance(route, Mount):
            assert route.path == "/static", "only the page's own files need no login"
            continue
        assert {one.call for one in route.dependant.dependencies} & set(access.RIGHTS), route.path
        found |= {(method, route.path) for method in route.methods}
    assert found == set(ENDPOINTS)


def test_a_route_without_a_right_is_refused() -> None:
    router = APIRouter()
    router.get("/api/open")(lambda: "everybody")
    with pytest.raises(AssertionError, match="/api/open declares no right"):
        check_rights(router)
    assert len(VIEWS) > 1


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_each_role_may_do_its_own_and_nobody_else_anything(
    method: str,
    path: str,
    visit: Visit,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "index.html").write_text("built")
    monkeypatch.setattr(documentation, "site", lambda: tmp_path)
    request.getfixturevalue("toy_models" if path in FILLED else "toy_page")
    address, may = ENDPOINTS[method, path]
    for role in EVERYBODY:
        answered = 409 if "segment" in path else ANSWERS.get(address, 200)  # without a model there are no predictions
        assert call(visit(role), method, address) == (answered if role in may else 403), role
    assert call(visit(None), method, address) == 401
    forged = visit(None)
    forged.cookies.set("_token", "eyJhbGciOiJub25lIn0.e30.")
    assert call(forged, method, address) in (401, 403)


@pytest.mark.parametrize("root", ["", "/airflow"])
@pytest.mark.parametrize(("path", "back"), [
    ("?pipeline=toy&view=board", "%3Fpipeline%3Dtoy%26view%3Dboard"),
    ("docs/docs/backfills.html", "docs%2Fdocs%2Fbackfills.html"),
    ("api/toy/models/1/card", "api%2Ftoy%2Fmodels%2F1%2Fcard"),
])  # fmt: skip
def test_who_opens_the_page_without_a_login_is_sent_to_it(app: FastAPI, root: str, path: str, back: str) -> None:
    browser = TestClient(app, f"http://testserver{root}/contrail/", root_path=root, follow_redirects=False)
    answer = browser.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 307
    next_ = f"{root}/contrail/".replace("/", "%2F") + back
    assert answer.headers["location"] == f"{root}/api/v2/auth/login?next={next_}"


@pytest.mark.parametrize("wrong", [
    {MARK: None},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": None, "origin": "https://elsewhere.example"},
    {"sec-fetch-site": None, "origin": "null"},
    {"content-type": "text/plain"},
    {"content-type": "application/x-www-form-urlencoded"},
])  # fmt: skip
def test_a_request_that_another_site_sends_is_refused(
    wrong: dict[str, str | None], visit: Visit, toy_page: Toy
) -> None:
    headers = {**OURS, "content-type": "application/json", **wrong}
    kept = {name: value for name, value in headers.items() if value is not None}
    for path, body in BODIES.items():
        answer = visit("scientist").post(path, content=json.dumps(body), headers=kept)
        assert answer.status_code == 403
        assert "plan" not in answer.json()


def test_a_script_with_a_token_needs_no_browser(visit: Visit, toy_page: Toy) -> None:
    headers = {MARK: "1", "origin": "http://testserver"}
    assert visit("scientist").post("api/toy/plan", json=PLAN, headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["nothing", "..%2Ftoy", "toy%00", "<script>"])
def test_an_unknown_pipeline_and_an_unseen_one_look_alike(
    name: str, visit: Visit, toy_page: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert visit("analyst").get(f"api/{name}/board").status_code == 404
    monkeypatch.setattr(access, "may_see", lambda user, pipeline: False)
    unseen = visit("analyst").get("api/toy/board")
    assert (unseen.status_code, unseen.json()) == (404, {"detail": "There is no pipeline 'toy' that you may see."})
    for (method, path), (address, _) in ENDPOINTS.items():
        if "{pipeline}" in path:
            assert call(visit("admin"), method, address) == 404, path


def test_every_answer_forbids_scripts_and_frames_of_others(visit: Visit, toy_page: Toy) -> None:
    for path in ("", "api/frame", "static/main.js", "api/nothing/board", "no/such/path"):
        headers = visit("analyst").get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"


def test_a_pipeline_is_seen_by_those_who_may_read_all_of_its_dags(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    asked: list[str] = []

    def only_scores(*, method: str, access_entity: object, details: object, user: object) -> bool:
        asked.append(f"{method} {details.id}")  # type: ignore[attr-defined]
        return bool(details.id != "toy__train")  # type: ignore[attr-defined]

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", only_scores)
    assert not access.may_see(None, "toy")
    assert {"GET toy__daily", "GET toy__train"} <= set(asked)
