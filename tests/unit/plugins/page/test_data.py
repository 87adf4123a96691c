"""The view Data through its endpoints: tables, what was kept aside, and reports, of which nothing else is served."""

from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import EVIL, Visit

from contrail.operations import quarantine

OUTSIDE = (
    "../../../../etc/passwd", "..%2f..%2f..%2fsecret.html", "%2e%2e/secret.html", "....//secret.html", "/etc/passwd",
    "..%5csecret.html", "a/../../secret.html", "secret.html%00.css", "%2Fetc%2Fpasswd", ".hidden.html", "link.html", "notes.txt",
    "linked/secret.html", "folder.html",
)  # fmt: skip


def test_each_table_says_what_a_row_is_and_how_fresh_it_is(visit: Visit, toy_page: Toy) -> None:
    tables = {one["name"]: one for one in visit("analyst").get("api/toy/tables").json()}
    features = tables["features"]
    assert (features["first"], features["last"], features["rows"]) == ("2024-01-01", "2024-01-12", 720)
    assert features["changed_at"] and features["doc"]
    assert (tables["predictions"]["rows"], tables["predictions_latest"]["view"]) == (None, True)
    depots = tables["validated_depots"]
    assert depots["rows"] > 0
    assert depots["last"] is None


def test_a_table_has_its_columns_and_who_made_each_snapshot(visit: Visit, toy_page: Toy) -> None:
    found = visit("analyst").get("api/toy/tables/features").json()
    columns = {one["name"]: one for one in found["columns"]}
    assert columns["parcel"]["key"]
    assert all(one["doc"] and one["type"] for one in columns.values())
    newest = found["snapshots"][0]
    assert (newest["current"], newest["stage"], newest["partitions"]) == (True, "features", "2024-01-01..2024-01-12")
    assert isinstance(newest["snapshot"], str)
    assert any(one.startswith("validated_parcels@") for one in newest["inputs"])
    assert visit("analyst").get("api/toy/tables/nothing").status_code == 400
    empty = visit("analyst").get("api/toy/tables/predictions").json()
    assert (empty["snapshots"], bool(empty["columns"])) == ([], True)


def test_the_rows_of_a_rule_are_found_with_file_and_line_as_text(visit: Visit, toy_spoilt: Toy) -> None:
    analyst = visit("analyst")
    answer = analyst.get("api/toy/quarantine")
    rule = next(one for one in answer.json()["rules"] if one["rule"] == "known_depot")
    assert (rule["table"], rule["rows"], rule["days"], rule["first"]) == ("parcels", 2, 1, "2024-01-11")
    asked = {"table": rule["table"], "rule": rule["rule"]}
    found = analyst.get("api/toy/quarantine/rows", params=asked)
    assert found.headers["content-type"] == "application/json"
    assert [row["line"] for row in found.json()["rows"]] == [2, 3]
    assert EVIL in found.json()["rows"][0]["row"]
    (refusal,) = answer.json()["refusals"]
    assert (refusal["day"], refusal["rule"], refusal["stage"]) == ("2024-01-12", "truncated_gzip", "ingest")
    other = analyst.get("api/toy/quarantine", params={"first": "2024-01-12"}).json()
    assert (other["rules"], len(other["refusals"])) == ([], 1)
    hostile = {**asked, "rule": "' OR 1=1 --"}
    assert analyst.get("api/toy/quarantine/rows", params=hostile).json() == {"rows": [], "more": False}


def test_rows_come_in_pages(visit: Visit, toy_spoilt: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ROWS", 1)
    asked = {"table": "parcels", "rule": "known_depot"}
    pages = [visit("analyst").get("api/toy/quarantine/rows", params={**asked, "offset": at}).json() for at in (0, 1)]
    assert [([row["line"] for row in page["rows"]], page["more"]) for page in pages] == [([2], True), ([3], False)]


def test_a_report_opens_in_a_sandbox(visit: Visit, toy_page: Toy) -> None:
    (docs,) = (one for one in visit("analyst").get("api/toy/reports").json() if one["kind"] == "data_docs")
    page = visit("analyst").get(f"reports/toy/data_docs/{docs['path']}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.endswith("sandbox allow-same-origin")
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    drift = toy_page.settings.reports / "toy" / "drift" / "2024-01-01_2024-01-02_model-1.html"
    drift.parent.mkdir(exist_ok=True)
    drift.write_text("<html><head></head></html>")
    policy = visit("analyst").get(f"reports/toy/drift/{drift.name}").headers["content-security-policy"]
    assert policy.endswith("sandbox allow-scripts"), "scripts and Airflow's origin never come together"
    assert "connect-src" not in policy


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_but_a_report_is_served(path: str, visit: Visit, toy_page: Toy, tmp_path: Path) -> None:
    folder = Path(str(toy_page.settings.reports)) / "toy" / "data_docs"
    for secret in (tmp_path / "secret.html", folder.parent / "secret.html", folder.parents[1] / "secret.html"):
        secret.write_text("secret")
    for link, target in (("link.html", tmp_path / "secret.html"), ("linked", tmp_path)):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(target)
    (folder / ".hidden.html").write_text("secret")
    (folder / "notes.txt").write_text("secret")
    (folder / "folder.html").mkdir(exist_ok=True)
    answer = visit("admin").get(f"reports/toy/data_docs/{path}")
    assert answer.status_code in (404, 307)
    assert "secret" not in answer.text.replace("secret.html", "")
    assert visit("admin").get("reports/toy/nothing/secret.html").status_code == 404
    assert visit("admin").get("reports/toy/%2e%2e/secret.html").status_code == 404
