"""Jobs of two desks on the page Contrail, in a real Airflow and a real browser, with the clicks that each takes.

It runs after the other modules, since it makes versions and spoils a day.
"""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import FrameLocator, Locator, expect

from contrail.errors import FileRefusedError
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.local.main_job import make_plan
from tests.conftest import Toy
from tests.e2e.conftest import Person, wait_for_the_question
from tests.landed import landed_path, lines_of, write_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]
LogIn = Callable[[str], Person]
MOST_CLICKS = 10
EVIL = "<script>parent.document.title='stolen'</script>"
expect.set_options(timeout=120_000)


class Clicks:
    """Clicks that a job takes, from Airflow's first page on."""

    def __init__(self, person: Person) -> None:
        self.count = 0
        self.click(person.page.get_by_role("link", name="Contrail", exact=True).first)
        self.frame: FrameLocator = person.page.frame_locator("iframe[title=Contrail]")

    def click(self, place: Locator) -> None:
        self.count += 1
        assert self.count <= MOST_CLICKS
        place.click()


def test_an_approver_answers_a_promotion_with_its_evidence_in_view(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    scientist = airflow.api("scientist")
    as_of = make_plan(toy.pipeline).windows.gate.end + timedelta(days=1)
    asked = {"as_of": str(as_of), "approval": True, "why": f"deeper {EVIL}", "insist": True}
    run_id = scientist.trigger("toy__train", asked)
    wait_for_the_question(scientist, run_id)

    reader = log_in("analyst")
    steps = Clicks(reader)
    steps.click(steps.frame.get_by_role("link", name="Models"))
    question = steps.frame.get_by_role("region", name="A promotion waits")
    expect(question).to_contain_text("approver or admin may answer. You are logged in as analyst.")
    expect(question.get_by_role("button", name="Approve")).to_have_count(0)

    approver = log_in("approver")
    steps = Clicks(approver)
    steps.click(steps.frame.get_by_role("link", name="Models"))
    question = steps.frame.get_by_role("region", name="A promotion waits")
    steps.click(question.get_by_role("button", name="evidence"))
    version = steps.frame.get_by_role("region", name="Version", exact=True)
    for words in (
        "Waits for an approver.",
        f"scientist asked for its training: deeper {EVIL}",
        "Expected to be better than the champion",
        "Log loss",
    ):
        expect(version).to_contain_text(words)
    approve = question.get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    question.get_by_label("Reason").fill("better in every depot")
    approver.shoot("question")
    with approver.page.expect_response(lambda answer: answer.url.endswith("/hitlDetails") and answer.ok) as sent:
        steps.click(approve)
    assert sent.value.json()["responded_by"]["name"] == "approver"
    expect(steps.frame.get_by_text("Your answer is kept: Approve.")).to_be_visible()
    assert scientist.wait("toy__train", run_id, lambda task: None) == "success"
    moves = "SELECT person, reason FROM model_history WHERE alias = 'champion' ORDER BY moved_at"
    assert toy.sql(moves)[-1] == ("approver", "better in every depot")
    approver.page.reload()
    expect(steps.frame.get_by_role("heading", name="Models")).to_be_visible()
    expect(steps.frame.get_by_role("region", name="A promotion waits")).to_have_count(0)
    approver.shoot("models")
    assert "stolen" not in approver.page.title()


def test_an_approver_takes_a_champion_back_and_a_scientist_may_only_ask(
    airflow: Embedded, log_in: LogIn, toy: Toy
) -> None:
    """It takes back what the test above has promoted."""
    moves = "SELECT version_before, version_after, person, reason FROM model_history WHERE alias = 'champion' ORDER BY moved_at"
    earlier, bad, *_ = toy.sql(moves)[-1]
    assert earlier, "version 1 is still champion: run the test above too"

    def asked(person: Person, button: str, reason: str) -> tuple[Clicks, str]:
        steps = Clicks(person)
        steps.click(steps.frame.get_by_role("link", name="Models"))
        steps.click(steps.frame.get_by_role("link", name=f"Version {earlier}", exact=True))
        steps.click(steps.frame.get_by_role("button", name=f"Plan a rollback to version {earlier}"))
        part = steps.frame.locator(".rollback")
        expect(part).to_contain_text(f"Version {earlier} becomes champion instead of version {bad}")
        part.get_by_label("Reason").fill(reason)
        person.shoot("rollback")
        with person.page.expect_response(lambda answer: answer.url.endswith("/dagRuns") and answer.ok) as started:
            steps.click(part.get_by_role("button", name=button))
        return steps, started.value.json()["dag_run_id"]

    scientist = airflow.api("scientist")
    _, run_id = asked(log_in("scientist"), "Ask an approver", f"bad feed {EVIL}")
    wait_for_the_question(scientist, run_id, "toy__rollback")
    approver = log_in("approver")
    steps = Clicks(approver)
    steps.click(steps.frame.get_by_role("link", name="Models"))
    question = steps.frame.get_by_role("region", name="A rollback waits")
    for words in (
        f"version {earlier} become champion again, instead of version {bad}?",
        f"scientist asks: bad feed {EVIL}",
    ):
        expect(question).to_contain_text(words)
    question.get_by_label("Reason").fill("the feed is right")
    approver.shoot("rollback-question")
    steps.click(question.get_by_role("button", name="Refuse"))
    assert scientist.wait("toy__rollback", run_id, lambda task: None) == "success"
    assert toy.sql(moves)[-1][1] == bad

    steps, run_id = asked(approver, f"Roll back to version {earlier}", "worse in depot A")
    expect(steps.frame.get_by_text("The rollback has begun.").first).to_be_visible()
    assert scientist.wait("toy__rollback", run_id, lambda task: None) == "success"
    assert toy.sql(moves)[-1] == (bad, earlier, "approver", "worse in depot A")
    assert "stolen" not in approver.page.title()

    again = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
    scientist.call("POST", "dags/toy__rollback/clearTaskInstances", json=again)
    wait_for_the_question(scientist, run_id, "toy__rollback")


def test_an_analyst_finds_where_quality_fell(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    analyst = log_in("analyst")
    steps = Clicks(analyst)
    steps.click(steps.frame.get_by_role("link", name="Predictions", exact=True))
    values = steps.frame.get_by_role("region", name="By depot")
    expect(values.get_by_role("columnheader")).to_contain_text(["Found", "Log loss", "Outcomes known"])
    steps.click(values.get_by_role("link", name="C", exact=True))
    expect(steps.frame.get_by_role("heading", name="Predictions: depot C")).to_be_visible()
    expect(steps.frame.get_by_role("figure").filter(has_text="Realised quality")).to_be_visible()
    analyst.page.wait_for_url("**only=depot*C*")
    analyst.show("segment")
    steps.click(steps.frame.get_by_role("button", name="All predictions"))
    expect(steps.frame.get_by_role("heading", name="Predictions", exact=True)).to_be_visible()


def test_a_dags_notes_lead_to_the_page_and_a_mark_of_the_board_to_the_evidence(
    airflow: Embedded, log_in: LogIn, toy: Toy
) -> None:
    engineer = log_in("engineer")
    engineer.open("dags/toy__daily")
    engineer.page.get_by_role("button", name="Dag Docs").click()
    # Airflow opens links of notes in a tab of their own, so here the browser only resolves the address.
    address = engineer.page.get_by_role("link", name="Board on the page Contrail").evaluate("link => link.href")
    engineer.page.goto(address)
    frame = engineer.page.frame_locator("iframe[title=Contrail]")
    mark = frame.locator('.event[data-decision="promoted"], .event[data-decision="taken back"]').last
    mark.hover()
    expect(frame.get_by_role("tooltip")).to_contain_text(re.compile("ersion 1"))
    engineer.shoot("mark")
    mark.click()
    card = frame.get_by_role("dialog")
    expect(card).to_contain_text("Version 1 became champion")
    card.get_by_role("link", name="Evidence of version 1").first.click()
    expect(frame.get_by_role("region", name="Version", exact=True)).to_contain_text("Passed.")


def test_an_engineer_finds_the_quarantined_rows_of_a_refused_day(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    day = "2024-03-06"
    lines = lines_of(toy, "parcels", day)
    depot = lines[0].split(",").index("depot")
    broken = lines[1].split(",")
    broken[depot] = EVIL
    mended = [landed_path(toy, "parcels", day, 2), landed_path(toy, "parcels", day, 3)]
    write_lines(toy, "parcels", day, [lines[0], ",".join(broken), *lines[2:]], revision=2)
    toy.run("ingest", day)
    toy.run("validate", day)
    mended[1].write_bytes(landed_path(toy, "parcels", day).read_bytes()[:400])
    with pytest.raises(FileRefusedError):
        toy.run("ingest", day)

    engineer = log_in("engineer")
    steps = Clicks(engineer)
    steps.click(steps.frame.get_by_role("link", name="Data"))
    steps.click(steps.frame.get_by_role("button", name="Kept aside"))
    refused = steps.frame.get_by_role("article").filter(has_text="Wed, Mar 6, 2024: parcels, truncated_gzip")
    steps.click(refused.get_by_role("link", name="This day's quarantine"))
    expect(steps.frame.get_by_role("button", name="All days")).to_be_visible()
    rule = steps.frame.get_by_role("group").filter(has_text="parcels: known_depot")
    steps.click(rule.get_by_text("parcels: known_depot"))
    for words in (EVIL, "2024-03-06.2.csv.gz, line 2"):
        expect(rule).to_contain_text(words)
    expect(engineer.page).to_have_url(re.compile("view=data.*part=aside.*first=2024-03-06"))
    engineer.shoot("quarantine")

    steps.click(steps.frame.get_by_role("button", name="Reports"))
    steps.click(steps.frame.get_by_role("region", name="Data docs").get_by_role("link").first)
    docs = steps.frame.frame_locator("iframe.report")
    expect(docs.get_by_role("heading", level=1)).to_be_visible()
    engineer.shoot("docs")
    steps.click(steps.frame.get_by_role("button", name="All reports"))
    steps.click(steps.frame.get_by_role("region", name="Drift").get_by_role("link").first)
    expect(steps.frame.frame_locator("iframe.report").get_by_role("heading", level=1)).to_be_visible()
    engineer.shoot("drift")
    assert "stolen" not in engineer.page.title()
    for path in mended:
        path.unlink()
