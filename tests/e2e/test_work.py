"""The scientist's job on the page Contrail: fourteen days with another model, and what it changes for readers.

It runs after the other modules, since it gives days to another version.
"""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from contrail_airflow.local.main_job import make_plan
from tests.conftest import Toy
from tests.e2e.conftest import Person
from tests.e2e.test_views import Clicks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("airflow")]
LogIn = Callable[[str], Person]
FIRST, LAST = "2024-02-20", "2024-03-04"
expect.set_options(timeout=120_000)


def test_a_scientist_backfills_fourteen_days_with_another_model_and_reads_the_difference(
    log_in: LogIn, toy: Toy
) -> None:
    windows = make_plan(toy.pipeline).windows
    trained = toy.run("train", str(windows.train.start), str(windows.train.end), params={"max_depth": 1, "rounds": 5})
    version = str(trained.details.model_version)

    scientist = log_in("scientist")
    steps = Clicks(scientist)
    steps.click(steps.frame.get_by_role("button", name="Backfill …", exact=True))
    plan = steps.frame.get_by_role("region", name="Backfill")
    plan.get_by_label("First day").fill(FIRST)
    plan.get_by_label("Last day").fill(LAST)
    steps.click(plan.get_by_role("checkbox", name="Features"))
    plan.get_by_label("Model").select_option(label=f"Version {version}")
    expect(plan.get_by_text(re.compile(r"How scores would shift: on \d+ days? tried, .* would change"))).to_be_visible()
    scientist.show("plan-of-fourteen-days")
    steps.click(plan.get_by_role("button", name="Start this backfill of 14 days"))
    steps.click(plan.get_by_role("link", name="Read the difference"))

    report = steps.frame.frame_locator("iframe.report")
    expect(report.get_by_text(f"Backfill of Late parcels, {FIRST} to {LAST}")).to_be_visible()
    expect(report.get_by_text(re.compile("(better|worse) on .* rows with known outcomes: log loss"))).to_be_visible()
    scientist.show("difference")
    by_version = f"SELECT DISTINCT model_version FROM predictions WHERE partition_date BETWEEN '{FIRST}' AND '{LAST}'"
    assert toy.sql(by_version) == [(version,)]
