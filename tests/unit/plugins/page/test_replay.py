"""Mended rows through the page: taken away as CSV, given back, and what they would change."""

import csv
import errno
import io

import pytest
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import EVIL, Visit
from tests.unit.plugins.page.test_access import OURS

from contrail.operations.replay import Replay

ASKED = {"table": "parcels", "rule": "known_depot"}


def test_rows_are_downloaded_mended_and_given_back(visit: Visit, toy_spoilt: Toy) -> None:
    engineer = visit("engineer")
    answer = engineer.get("api/toy/quarantine/csv", params=ASKED)
    assert answer.headers["content-disposition"] == 'attachment; filename="toy-parcels.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["_line"], row["depot"]) for row in rows] == [("2", EVIL), ("3", EVIL)]
    assert engineer.get("api/toy/quarantine/csv", params={**ASKED, "first": "2024-01-12"}).text.count("\n") == 1
    assert engineer.get("api/toy/quarantine/csv", params={**ASKED, "table": "nothing"}).status_code == 400
    mended = {"table": "parcels", "reason": "an attack", "rows": answer.text.replace(EVIL, "A", 1)}
    before = toy_spoilt.lake.table_names()
    found = engineer.post("api/toy/replay/plan", json=mended, headers=OURS).json()
    plan = found["plan"]
    assert (plan["mended"], plan["passed"], plan["unchanged"], plan["days"]) == (1, 1, 1, ["2024-01-11"])
    assert plan["rows"][0]["changes"] == {"depot": [EVIL, "A"]}
    assert (found["dag_id"], found["conf"]["rows"]) == ("toy__replay", mended["rows"])
    assert toy_spoilt.lake.table_names() == before, "planning changes nothing"


def test_what_is_wrong_is_said_with_its_place(visit: Visit, toy_spoilt: Toy) -> None:
    asked = {"table": "parcels", "reason": "why", "sql": "SELECT _file, _line, 'Z' AS depto FROM quarantined"}
    answer = visit("engineer").post("api/toy/replay/plan", json=asked, headers=OURS)
    assert (answer.status_code, "did you mean 'depot'?" in answer.json()["detail"]) == (400, True)
    elsewhere = {**asked, "sql": "SELECT content AS depot FROM read_text('/etc/passwd')"}
    answer = visit("engineer").post("api/toy/replay/plan", json=elsewhere, headers=OURS)
    assert (answer.status_code, "root:" in answer.text) == (400, False)
    assert visit("engineer").post("api/toy/replay/plan", json={**asked, "reason": ""}, headers=OURS).status_code == 422


def test_a_fault_of_the_machine_is_told_in_words(
    visit: Visit, toy_spoilt: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Replay) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/rows.csv")

    monkeypatch.setattr(Replay, "plan", full)
    asked = {"table": "parcels", "reason": "why", "sql": "SELECT 1"}
    answer = visit("engineer").post("api/toy/replay/plan", json=asked, headers=OURS)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("/data/rows.csv: no room is left")
