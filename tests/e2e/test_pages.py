"""What people see of a running Airflow in a real browser: the form, the approval, and why a day stopped."""

import json
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from contrail.config.settings import settings
from contrail.config.training_windows import training_windows
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.local.main_job import make_plan
from tests.conftest import Toy
from tests.e2e.conftest import Person, wait_for_the_question
from tests.landed import landed_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]
LogIn = Callable[[str], Person]
expect.set_options(timeout=120_000)  # a task's log is there when the task has run


def test_a_scientist_asks_for_a_backfill_in_the_form_and_reads_its_plan(log_in: LogIn) -> None:
    scientist = log_in("scientist")
    form = scientist.open_form("toy__backfill")
    expect(form).to_contain_text("The pipeline's first day is 2024-01-01.")
    form.locator("[name=element_from]").fill("2024-02-26")
    form.locator("[name=element_to]").fill("2024-03-01")
    form.locator("label:has([name=element_dry_run])").click()
    scientist.shoot("form")
    form.get_by_role("button", name="Trigger", exact=True).click()
    log = scientist.open_log("plan", "Success")
    expect(log).to_contain_text("Plan: toy 2024-02-26..2024-03-01 (5 partitions)")
    expect(log).to_contain_text("model: version 1 for 2024-02-26..2024-03-01")
    expect(log).to_contain_text("Every partition already holds exactly this result: there is nothing to do.")
    scientist.shoot("plan")


def test_a_training_started_from_the_form_runs_its_tasks(airflow: Embedded, log_in: LogIn) -> None:
    scientist = log_in("scientist")
    run = press_trigger(scientist, "toy__train")
    api = airflow.api("scientist")
    assert api.wait("toy__train", run, lambda task: None) == "success"
    states = {task["task_id"]: task["state"] for task in api.tasks("toy__train", run)}
    assert states.pop("govern") == "success"
    assert set(states.values()) == {"skipped"}, "the governor refused, as the pipeline has no days after its last"
    page = scientist.page
    scientist.open(f"dags/toy__train/runs/{run}")
    expect(page.get_by_text("govern 2024-03-11: refused").first).to_be_visible()
    scientist.shoot("note")


def test_wrong_parameters_cannot_be_sent_by_the_form(log_in: LogIn) -> None:
    scientist = log_in("scientist")
    form = scientist.open_form("toy__train")
    send = form.get_by_role("button", name="Trigger", exact=True)
    expect(form).to_contain_text("Empty: those of the pipeline, which are max_depth=3 eta=0.2.")
    expect(send).to_be_enabled()
    form.locator("[name=element_set]").fill('{"max_depth": 8')
    scientist.shoot("wrong")
    send.click()
    expect(scientist.page.get_by_text("does not match").first).to_be_visible()


def test_a_day_started_from_the_form_goes_on_to_its_scores(airflow: Embedded, log_in: LogIn) -> None:
    api = airflow.api("engineer")
    scored = api.call("GET", "dags/toy__score/dagRuns")["total_entries"]
    engineer = log_in("engineer")
    run = press_trigger(engineer, "toy__daily", day="2024-03-09")
    assert api.wait("toy__daily", run, lambda task: None) == "success"
    end = time.monotonic() + 60
    while api.call("GET", "dags/toy__score/dagRuns")["total_entries"] == scored:
        assert time.monotonic() < end, "no run of toy__score came"
        time.sleep(1)
    newest = api.call("GET", "dags/toy__score/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]
    assert newest["partition_key"] == "2024-03-09"
    assert api.wait("toy__score", newest["dag_run_id"], lambda task: None) == "success"
    engineer.open(f"dags/toy__daily/runs/{run}")
    expect(engineer.page.get_by_text("features 2024-03-09: 60 rows").first).to_be_visible()
    engineer.shoot("note")


def press_trigger(person: Person, dag_id: str, **given: str) -> str:
    """Open the form of a DAG, fill it in, and press its button; the run that it started."""
    form = person.open_form(dag_id)
    for name, value in given.items():
        form.locator(f"[name=element_{name}]").fill(value)
    person.shoot(dag_id)
    with person.page.expect_response(
        lambda answer: answer.url.endswith("/dagRuns") and answer.request.method == "POST"
    ) as sent:
        form.get_by_role("button", name="Trigger", exact=True).click()
    return str(sent.value.json()["dag_run_id"])


def test_an_engineer_finds_why_a_day_stopped(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    whole = landed_path(toy, "parcels", "2024-03-10").read_bytes()
    landed_path(toy, "parcels", "2024-03-10", revision=2).write_bytes(whole[:400])
    api = airflow.api("engineer")
    day = {"logical_date": None, "partition_key": "2024-03-10"}
    run_id = api.call("POST", "dags/toy__daily/dagRuns", json=day)["dag_run_id"]
    assert api.wait("toy__daily", run_id, lambda task: None) == "failed"

    engineer = log_in("engineer")
    page = engineer.page
    engineer.open("dags")
    page.get_by_role("link", name="toy__daily", exact=True).click()
    page.get_by_test_id("stat").filter(has_text="Latest Run").get_by_role("link").first.click()
    log = engineer.open_log("ingest", "Failed")
    expect(log).to_contain_text("parcels 2024-03-10: truncated_gzip: the gzip stream ends too early, after 400 bytes")
    expect(log).to_contain_text("parcels/2024-03-10.2.csv.gz")
    expect(log).to_contain_text("contrail ingest -p toy --from 2024-03-10 --to 2024-03-10")
    expect(log).to_contain_text("What to do: mend what is named above, then clear the task")
    expect(log).not_to_contain_text("Traceback")
    expect(log).not_to_contain_text("task_runner.py")
    assert log.evaluate("list => list.scrollWidth <= list.clientWidth"), "a line of the log runs off the page"
    engineer.shoot("failure")

    lines = (settings().home_path / "notifications.jsonl").read_text().splitlines()
    (told,) = [line for line in map(json.loads, lines) if line["where"] == "toy ingest 2024-03-10"]
    assert told["kind"] == "refusal"
    assert told["happened"].startswith("✗ FileRefusedError: 1 landed file refused")
    page.goto(told["link"])
    expect(log).to_contain_text("truncated_gzip")


def test_an_approver_reads_the_decision_record_and_approves(airflow: Embedded, log_in: LogIn, toy: Toy) -> None:
    scientist = airflow.api("scientist")
    as_of = make_plan(toy.pipeline).windows.gate.end + timedelta(days=1)
    asked = {"as_of": str(as_of), "approval": True, "why": "a second opinion"}
    refused = scientist.trigger("toy__train", asked)
    assert scientist.wait("toy__train", refused, lambda task: None) == "success"
    states = {task["task_id"]: task["state"] for task in scientist.tasks("toy__train", refused)}
    assert states.pop("govern") == "success"
    assert set(states.values()) == {"skipped"}
    run_id = scientist.trigger("toy__train", {**asked, "insist": True})
    wait_for_the_question(scientist, run_id)

    approver = log_in("approver")
    page = approver.page
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Required Actions").click()
    page.get_by_role("link", name="Late parcels: may version 2 become champion?").click()
    window = training_windows(toy.spec, as_of).gate
    for words in (
        "Late parcels, version 2. It passed every other check and waits for an approver, "
        "who may make it champion in place of version 1.",
        f"Judged on {window.start} to {window.end}, 840 rows with known outcomes.",
        "Better than the champion",
        "log loss better by",
    ):
        expect(page.get_by_text(words).first).to_be_visible()
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    expect(page.get_by_text("Both buttons wait for it.")).to_be_visible()
    approver.shoot("question")
    page.locator("[name=element_reason]").fill("looks right")
    approve.click()
    expect(page.get_by_text("response successful")).to_be_visible()
    approver.shoot("answered")

    assert scientist.wait("toy__train", run_id, lambda task: None) == "success"
    moves = "SELECT version_before, version_after, person, reason, moved_at > scored_at FROM model_history, "
    moves += "(SELECT max(scored_at) AS scored_at FROM predictions) WHERE alias = 'champion' ORDER BY moved_at"
    assert toy.sql(moves)[-1] == ("1", "2", "approver", "looks right", True)
    asked_by_hand = f"SELECT training, decision, person FROM governor WHERE training IN ('{refused}', '{run_id}')"
    assert toy.sql(f"{asked_by_hand} ORDER BY decided_at") == [
        (refused, "refused", "scientist"),
        (run_id, "retrain", "scientist"),
    ]
    approver.open("required_actions?response_received=true")
    row = page.get_by_role("row").filter(has_text="Late parcels: may version 2 become champion?")
    expect(row).to_contain_text("approver")
    approver.shoot("answers")
