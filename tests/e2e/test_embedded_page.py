"""The page Contrail in a real Airflow and a real browser: each desk's way from a question to its answer.

It runs after ``test_embedded_airflow``, which wants an Airflow that nobody has used, and before what makes other versions.
"""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, expect

from contrail_airflow.local.embedded import Embedded
from tests.conftest import Toy
from tests.e2e.conftest import Person
from tests.landed import landed_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]
LogIn = Callable[[str], Person]
expect.set_options(timeout=120_000)


def open_page(person: Person, query: str = "") -> FrameLocator:
    """Go to the page by its address within Airflow, as from a link that somebody sent."""
    person.open(f"plugin/contrail/contrail/?pipeline=toy&view=board{query}")
    frame = person.page.frame_locator("iframe[title=Contrail]")
    expect(frame.get_by_role("grid")).to_be_visible()
    return frame


def test_the_page_is_in_airflows_navigation_and_its_address_can_be_sent(log_in: LogIn) -> None:
    analyst = log_in("analyst")
    page = analyst.page
    page.get_by_role("link", name="Contrail", exact=True).first.click()
    frame = page.frame_locator("iframe[title=Contrail]")
    expect(frame.get_by_role("grid")).to_be_visible()
    expect(frame.get_by_role("heading", name="Late parcels")).to_be_visible()
    expect(frame.get_by_role("button", name="Backfill …", exact=True)).to_have_count(0)
    analyst.show("board")
    frame.get_by_role("button", name="Month").click()
    expect(page).to_have_url(re.compile("/plugin/contrail/contrail/.*span=31"))
    page.reload()
    expect(frame.get_by_role("button", name="Month")).to_have_attribute("aria-pressed", "true")


def test_a_scientist_drags_over_days_reads_the_plan_and_starts_the_backfill(airflow: Embedded, log_in: LogIn) -> None:
    scientist = log_in("scientist")
    frame = open_page(scientist, "&until=2024-03-05&span=31")
    first, last = (frame.locator(f'[data-at="{column}/3"]') for column in (21, 26))
    first.drag_to(last)
    plan = frame.get_by_role("region", name="Backfill")
    expect(plan).to_contain_text("There is nothing to do.")
    plan.get_by_role("checkbox", name="Drift").check()
    plan.get_by_role("checkbox", name="Features").uncheck()
    plan.get_by_role("checkbox", name="Score").uncheck()
    start = plan.get_by_role("button", name="Start this backfill of 6 days")
    expect(start).to_be_visible()
    scientist.shoot("plan")
    with scientist.page.expect_response(lambda answer: answer.url.endswith("/dagRuns")) as sent:
        start.click()
    run = sent.value.json()
    assert run["triggering_user_name"] == "scientist"
    assert (run["conf"]["from"], run["conf"]["to"], run["conf"]["stages"]) == ("2024-02-25", "2024-03-01", ["drift"])
    plan.get_by_role("link", name="Open the run in Airflow").click()
    expect(scientist.page).to_have_url(re.compile("/dags/toy__backfill/runs/"))
    assert airflow.api().wait("toy__backfill", run["dag_run_id"], lambda task: None) == "success"


def test_an_engineer_finds_on_the_board_why_a_day_stopped(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    whole = landed_path(toy, "parcels", "2024-03-08").read_bytes()
    broken = landed_path(toy, "parcels", "2024-03-08", revision=2)
    broken.write_bytes(whole[:400])
    api = airflow.api("engineer")
    run_id = api.trigger("toy__daily", {"day": "2024-03-08"})
    assert api.wait("toy__daily", run_id, lambda task: None) == "failed"

    engineer = log_in("engineer")
    frame = open_page(engineer)
    frame.get_by_role("button", name="Ingest refused: parcels: truncated_gzip").click()
    card = frame.get_by_role("dialog")
    for words in ("Refused", "the gzip stream ends too early, after 400 bytes", "2024-03-08.2.csv.gz", "What to do"):
        expect(card).to_contain_text(words)
    engineer.shoot("card")
    card.get_by_role("link", name="Log in Airflow").click()
    expect(engineer.page.get_by_test_id("virtualized-list")).to_contain_text("truncated_gzip")
    broken.unlink()
    assert api.wait("toy__daily", api.trigger("toy__daily", {"day": "2024-03-08"}), lambda task: None) == "success"


def test_the_tab_of_a_run_opens_the_board_at_its_day(airflow: Embedded, log_in: LogIn) -> None:
    run = next(run for run in airflow.api().runs("toy__score") if run["partition_key"])
    scientist = log_in("scientist")
    scientist.open(f"dags/toy__score/runs/{run['dag_run_id']}/plugin/contrail-run")
    frame = scientist.page.frame_locator("iframe[title=Contrail]")
    expect(frame.get_by_role("grid")).to_be_visible()
    expect(frame.get_by_role("button", name="Month")).to_have_attribute("aria-pressed", "true")
    expect(frame.locator(".choice")).to_be_visible()
    scientist.shoot("tab")


def test_an_analyst_asks_why_a_score_is_what_it_is_and_what_would_change_it(log_in: LogIn) -> None:
    analyst = log_in("analyst")
    analyst.open("plugin/contrail/contrail/?pipeline=toy&view=one&day=2024-03-05")
    frame = analyst.page.frame_locator("iframe[title=Contrail]")
    frame.get_by_role("button", name="Explain").first.click()
    expect(frame.get_by_text("the same score and the same reasons, to the last bit")).to_be_visible()
    expect(frame.get_by_role("region", name="Receipt")).to_contain_text("version 1, trained on")
    weight = frame.get_by_label(re.compile("^weight"))
    weight.fill("9.5")
    weight.blur()
    expect(frame.locator("dl.tiles")).to_contain_text("With your changes")
    expect(analyst.page).to_have_url(re.compile("view=one.*changes="))
    analyst.show("one")
    frame.get_by_role("button", name="Take the changes back").click()
    expect(frame.locator("dl.tiles")).not_to_contain_text("With your changes")
