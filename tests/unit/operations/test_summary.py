"""What the summary tells of a pipeline's quality beside the pooled numbers."""

import io
import re
from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console

from contrail.methods.calibration import Period
from contrail.methods.flagged import UsualShare
from contrail.methods.intervals import Interval
from contrail.operations.covered import Coverage, Covered
from contrail.operations.decided import Decided
from contrail.operations.realised import Flagged, Realised
from contrail.operations.summary import Extent, Summary, UnusualDays, print_summary

INTERVAL = Interval(estimate=0.08, low=0.04, high=0.12, confidence=0.95)
METRICS = {"auc": 0.7, "log_loss": 0.5, "brier": 0.2, "calibration_error": 0.02}


def month(number: int, error: float) -> Period:
    first = date(2024, number, 1)
    return Period(
        start=first, end=first.replace(day=28), days=28, rows=100, label_mean=0.3, prediction_mean=0.2,
        calibration_error=error, interval=INTERVAL,
    )  # fmt: skip


SUMMARY = Summary(
    pipeline="toy",
    title="Late parcels",
    landed={},
    quarantined={},
    refused={},
    unusual=UnusualDays(0),
    features=Extent(0, []),
    scored=Extent(0, []),
    champion=None,
    realised=Realised(
        window="2024-10-01..2024-12-28",
        immature=("2024-12-29",),
        rows=300,
        metrics={"champion": METRICS, "constant": METRICS},
        intervals={"champion": {"log_loss": INTERVAL}, "constant": {}},
        months=(month(10, 0.01), month(12, 0.08), month(11, 0.02)),
    ),
    flagged=Flagged(date(2024, 12, 29), 0.016, UsualShare(threshold=0.35, low=0.02, high=0.4)),
    decided=None,
    covered=None,
    before_labels=None,
    drift=None,
    reports="reports",
)


def printed(summary: Summary) -> str:
    file = io.StringIO()
    print_summary(summary, Console(file=file, width=160))
    return file.getvalue()


def test_a_metric_has_its_interval_beside_it():
    text = printed(SUMMARY)
    assert "0.5000 [0.0400, 0.1200]" in text
    assert "In brackets: the 95% interval over days" in text


def test_the_worst_month_stands_beside_the_pooled_number():
    assert (
        "Worst month   December: calibration error 0.0800 [0.0400, 0.1200]; predicted 0.2000, found 0.3000"
        in printed(SUMMARY)
    )
    alone = replace(SUMMARY, realised=replace(SUMMARY.realised, months=SUMMARY.realised.months[:1]))
    assert "Worst month" not in printed(alone)


def test_days_that_are_not_measured_are_named():
    assert "Not measured  2024-12-29: not all outcomes are known yet" in printed(SUMMARY)


@pytest.mark.parametrize(("share", "unusual"), [(0.016, True), (0.1, False), (0.5, True)])
def test_a_share_flagged_outside_its_usual_range_is_told(share, unusual):
    text = printed(replace(SUMMARY, flagged=replace(SUMMARY.flagged, share=share)))
    assert f"{share:.1%} of the predictions in the 28 days to 2024-12-29" in text
    assert ("unusual: usually 2.0% to 40.0%" in text) == unusual


def test_what_decisions_were_worth_is_told_with_the_reason_of_the_threshold():
    assert "Decisions" not in printed(SUMMARY)
    interval = Interval(estimate=812, low=600, high=1010.5, confidence=0.95)
    reason = "threshold 0.31 because a miss costs 4 EUR and a false alarm 1.8 EUR"
    worth = Decided(92, 790, 812, interval, 0.61, "EUR", reason)
    text = " ".join(printed(replace(SUMMARY, decided=worth)).split())
    assert (
        "saved 812 EUR a day [600, 1,010.5] beside flagging none, 790 expected, on 92 days; a row costs 0.61 EUR"
        in text
    )
    assert reason in text


def test_unusual_days_are_counted_and_the_newest_is_told():
    assert re.search(r"Unusual +none", printed(SUMMARY))
    unusual = UnusualDays(2, "2024-12-27", ("parcels: rows is 3, usually 8 to 12", "depots: rows [x]"))
    text = printed(replace(SUMMARY, unusual=unusual))
    assert "2 days  the newest 2024-12-27: parcels: rows is 3, usually 8 to 12 | depots: rows [x]" in text


def test_it_is_plain_json_too():
    found = SUMMARY.as_dict()
    assert found["realised"]["intervals"]["champion"]["log_loss"] == INTERVAL.model_dump()
    assert found["flagged"]["usual"] == {"threshold": 0.35, "low": 0.02, "high": 0.4}
    assert found["realised"]["months"][1]["start"] == "2024-12-01"


def test_the_coverage_of_intervals_is_told_by_quarter():
    quarter = Coverage("2024 Q4", 0.93, None, 510.0)
    whole = Coverage("all", 0.9, Interval(estimate=0.9, low=0.88, high=0.921, confidence=0.95), 520.5)
    text = " ".join(printed(replace(SUMMARY, covered=Covered(0.9, whole, (quarter,)))).split())
    wanted = "90.0% [88.0%, 92.1%] of the labels lie within, where 90% is wanted; 520.5 wide on average. 2024 Q4 93.0%"
    assert wanted in text


def test_predictions_without_any_estimate_name_the_command_that_makes_them():
    assert "Before labels" not in printed(SUMMARY)
    text = printed(replace(SUMMARY, scored=Extent(9, ["2024-01-01..2024-01-03", "2024-01-06"])))
    assert "contrail performance -p toy --from 2024-01-01 --to 2024-01-06" in " ".join(text.split())


def test_titles_rules_and_places_are_printed_as_they_are() -> None:
    hostile = replace(
        SUMMARY, title="Sales [eu], x [/y]", quarantined={"amount [eur]": 3}, refused={"x [/y]": 1}, reports="/home/[me]/r"
    )  # fmt: skip
    said = printed(hostile)
    for text in ("Sales [eu], x [/y]", "amount [eur] 3", "x [/y] 1", "/home/[me]/r"):
        assert text in said
