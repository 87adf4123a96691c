from dataclasses import replace
from datetime import date, timedelta

import pytest

from contrail.config.model_spec import RetrainSpec
from contrail.methods.governor import Decision, RetrainEvidence, Training, decide

DAY = date(2024, 6, 20)
SPEC = RetrainSpec(
    drift_days=3, drift_of_days=5, performance_days=4, performance_margin=0.02, min_label_coverage=0.8,
    cooldown_days=28, monthly_trainings=2,
)  # fmt: skip


def last(*values, end: date = DAY) -> dict:
    """Values by day; the last is of ``end``."""
    return {end - timedelta(days=back): value for back, value in enumerate(reversed(values))}


QUIET = RetrainEvidence(
    day=DAY,
    champion="3",
    drift=last("ok", "ok", "ok", "ok", "ok"),
    label_drift=last("ok", "ok", "ok", "ok", "ok"),
    improvements=last(0.06, 0.05, 0.04, 0.05),
    reference=0.05,
    labelled=95,
    rows=100,
    trainings=(Training(date(2024, 4, 1), "version 3"),),
)
DRIFT = replace(QUIET, drift=last("ok", "watch", "drift", "drift", "drift"))


def decided(**changes) -> Decision:
    return decide(replace(DRIFT, **changes), SPEC)


def test_nothing_asks_on_a_quiet_day_and_it_says_how_far_from_asking_it_is():
    found = decide(QUIET, SPEC)
    assert (found.decision, found.trigger) == ("hold", None)
    assert found.reasons == (
        "drift on 0 of the last 5 days; 3 trigger a training",
        "label drift on 0 of the last 5 days; 3 trigger a training",
        "the champion's improvement over the baseline is 0.05 in the median of 4 days (0.05 at its gate); "
        "below 0.03 triggers a training",
    )


def test_drift_must_last():
    assert decide(replace(QUIET, drift=last("ok", "ok", "ok", "ok", "drift")), SPEC).decision == "hold"
    assert decide(replace(QUIET, drift=last("ok", "ok", "ok", "drift", "drift")), SPEC).decision == "hold"
    found = decide(DRIFT, SPEC)
    assert (found.decision, found.trigger) == ("retrain", "drift")
    assert found.reasons == ("drift on 3 of the last 5 days; 3 trigger a training",)


def test_drift_of_the_label_asks_by_itself_and_must_last():
    lasting = last("ok", "ok", "drift", "drift", "drift")
    found = decide(replace(QUIET, label_drift=lasting), SPEC)
    assert (found.decision, found.trigger) == ("retrain", "label-drift")
    assert found.reasons == ("label drift on 3 of the last 5 days; 3 trigger a training",)
    short = last("ok", "ok", "ok", "drift", "drift")
    assert decide(replace(QUIET, label_drift=short), SPEC).decision == "hold"
    assert decide(replace(QUIET, label_drift=short, drift=short), SPEC).decision == "hold", "they do not add up"
    both = decide(replace(DRIFT, label_drift=lasting), SPEC)
    assert (both.trigger, len(both.reasons)) == ("drift", 2)


def test_watched_days_are_not_drift():
    assert decide(replace(QUIET, drift=last("watch", "watch", "watch", "watch", "watch")), SPEC).decision == "hold"


def test_decay_is_measured_from_the_gate():
    found = decide(replace(QUIET, improvements=last(0.02, 0.03, 0.029, 0.02)), SPEC)
    assert (found.decision, found.trigger) == ("retrain", "performance")
    assert "0.0245 in the median of 4 days (0.05 at its gate)" in found.reasons[0]
    assert decide(replace(QUIET, improvements=last(0.031, 0.02, 0.031, 0.031)), SPEC).decision == "hold"


def test_without_a_gate_on_record_a_model_must_be_worse_than_the_baseline_by_the_margin():
    worse, little = last(-0.03, -0.03, -0.03, -0.03), last(-0.01, -0.01, -0.01, -0.01)
    assert decide(replace(QUIET, reference=None, improvements=worse), SPEC).trigger == "performance"
    assert decide(replace(QUIET, reference=None, improvements=little), SPEC).decision == "hold"


def test_one_day_that_nobody_could_predict_is_not_decay():
    assert decide(replace(QUIET, improvements=last(0.05, 0.05, 0.05, -5.0)), SPEC).decision == "hold"


def test_a_day_that_is_not_measured_does_not_silence_the_others():
    found = decide(replace(QUIET, improvements=last(0.0, 0.01, 0.01)), SPEC)
    assert (found.decision, found.trigger) == ("retrain", "performance")
    assert "0.01 in the median of 3 days" in found.reasons[0]


def test_too_few_measured_days_are_no_decay():
    found = decide(replace(QUIET, improvements=last(-1.0, -1.0)), SPEC)
    assert found.decision == "hold"
    assert "performance is measured on 2 of the last 4 days; 3 are needed" in found.reasons


def test_performance_never_asks_without_a_margin():
    spec = SPEC.model_copy(update={"performance_margin": None})
    assert decide(replace(QUIET, improvements=last(-1.0, -1.0, -1.0, -1.0)), spec).decision == "hold"


@pytest.mark.parametrize(
    ("trained", "reason"),
    [
        (
            DAY - timedelta(days=27),
            "version 4 is as of 2024-05-24; the cool-down of 28 days ends on 2024-06-21",
        ),
        (DAY, "version 4 is as of 2024-06-20; the cool-down of 28 days ends on 2024-07-18"),
        (DAY + timedelta(days=5), "version 4 is as of 2024-06-25, after this day"),
    ],
)
def test_a_cool_down_refuses_in_days_of_partitions(trained: date, reason: str):
    found = decided(trainings=(Training(date(2024, 3, 1), "version 3"), Training(trained, "version 4")))
    assert (found.decision, found.trigger) == ("refused", "drift")
    assert found.reasons[0].startswith("drift on 3")
    assert reason in found.reasons[1]


def test_after_the_cool_down_it_is_allowed_again():
    assert decided(trainings=(Training(DAY - timedelta(days=28), "version 4"),)).decision == "retrain"
    assert decided(trainings=()).decision == "retrain"


def test_missing_labels_refuse():
    found = decided(labelled=79)
    assert found.decision == "refused"
    assert found.reasons[1] == "labels are known for 79.0% of 100 predictions; 80.0% are needed"
    assert decided(labelled=80).decision == "retrain"
    assert "no label of the last 4 days is measured" in decided(labelled=0, rows=0).reasons[1]


def test_the_months_budget_refuses():
    spec = SPEC.model_copy(update={"cooldown_days": 0})
    trainings = tuple(Training(date(2024, *day), "version") for day in ((5, 31), (6, 1), (6, 2)))
    found = decide(replace(DRIFT, trainings=trainings), spec)
    assert found.decision == "refused"
    assert found.reasons[1:] == ("2 trainings in 2024-06 already; the month's budget is 2",)
    assert decide(replace(DRIFT, trainings=trainings[:2]), spec).decision == "retrain"
    a_year_ago = tuple(Training(date(2023, 6, day), "version") for day in (1, 2))
    assert decide(replace(DRIFT, trainings=a_year_ago), spec).decision == "retrain"


def test_a_person_asks_and_is_refused_for_every_reason_at_once():
    asked = replace(QUIET, asked="by-hand", reason="new carrier")
    found = decide(asked, SPEC)
    assert (found.decision, found.trigger) == ("retrain", "by-hand")
    assert found.reasons == ("a person asks for a training: new carrier",)
    trainings = (Training(DAY, "version 4"), Training(DAY, "version 5"))
    found = decide(replace(asked, labelled=0, trainings=trainings), SPEC)
    assert found.decision == "refused"
    assert len(found.reasons) == 4


def test_a_person_may_insist_but_not_over_the_budget():
    insists = replace(QUIET, asked="by-hand", reason="new carrier", insist=True, labelled=0)
    found = decide(replace(insists, trainings=(Training(DAY, "version 4"),)), SPEC)
    assert (found.decision, found.trigger) == ("retrain", "by-hand")
    assert found.reasons[1].startswith("in spite of this: version 4 is as of 2024-06-20; the cool-down")
    assert found.reasons[2].startswith("in spite of this: labels are known for 0.0%")
    found = decide(replace(insists, trainings=(Training(DAY, "version 4"), Training(DAY, "version 5"))), SPEC)
    assert found.decision == "refused"
    assert found.reasons[3] == "2 trainings in 2024-06 already; the month's budget is 2"


def test_the_schedule_asks_and_obeys_the_same_refusals():
    asked = replace(QUIET, asked="schedule")
    found = decide(asked, SPEC)
    assert found == Decision("retrain", "schedule", ("the schedule asks for a training",))
    assert decide(replace(asked, trainings=(Training(DAY, "version 4"),)), SPEC).decision == "refused"
    assert decide(replace(asked, labelled=0), SPEC).decision == "refused"
    assert decide(asked, SPEC.model_copy(update={"monthly_trainings": 0})).decision == "refused"


@pytest.mark.parametrize("asked", ["schedule", "by-hand"])
def test_nothing_refuses_a_first_training_that_is_asked_for(asked: str):
    first = replace(QUIET, champion=None, asked=asked, labelled=0, rows=0, trainings=(Training(DAY, "version 1"),))
    found = decide(first, SPEC)
    assert (found.decision, found.trigger) == ("retrain", asked)
    assert found.reasons[1] == "there is no champion yet: nothing refuses a first training"


def test_without_a_champion_there_is_nothing_to_replace():
    found = decided(champion=None)
    assert found.decision == "refused"
    assert "there is no champion" in found.reasons[1]
