from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest
from tests.judged import model_sums

from contrail.config.model_spec import GateSpec, SegmentFloor
from contrail.errors import SpecError
from contrail.methods.calibration import spread
from contrail.methods.checks import Check, passed
from contrail.methods.gates import (
    Evidence,
    ShadowDay,
    check_metrics,
    judge,
    worth_shadowing,
)

GATE = GateSpec(min_rows=100, bootstrap_samples=500, max_calibration_error=0.1)


@dataclass(frozen=True)
class MadeRows:
    """Rows, each with its day, label and depot, and what every model predicts of it."""

    days: np.ndarray
    labels: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray | None
    constant: np.ndarray
    rate_table: np.ndarray | None
    groups: dict[str, np.ndarray]
    integrity: tuple[str, ...] = ()
    shadow: tuple[ShadowDay, ...] = ()

    def evidence(self) -> Evidence:
        def sums(predictions, groups=None):
            found = (self.days, self.labels, predictions, groups, GATE.calibration_days)
            return None if predictions is None else model_sums("binary", *found)

        return Evidence(
            challenger=sums(self.challenger, self.groups),
            champion=sums(self.champion, self.groups),
            constant=sums(self.constant),
            rate_table=sums(self.rate_table),
            integrity=self.integrity,
            shadow=self.shadow,
        )


def judged(rows: MadeRows, gate: GateSpec) -> list[Check]:
    return judge(rows.evidence(), gate)


def made_evidence(days: int = 20, rows: int = 100, **changes) -> MadeRows:
    """Labels with a day effect; the challenger knows the truth, the rate table half of it, the champion nearly it."""
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(np.datetime64("2024-03-01"), np.datetime64("2024-03-01") + days), rows)
    truth = rng.normal(size=days * rows) + np.repeat(rng.normal(size=days), rows) - 1
    p = 1 / (1 + np.exp(-truth))
    labels = (rng.random(days * rows) < p).astype(float)
    mean = np.full(days * rows, labels.mean())
    evidence = MadeRows(
        days=day,
        labels=labels,
        challenger=p,
        champion=np.clip(p + rng.normal(0, 0.1, len(p)), 0.01, 0.99),
        constant=mean,
        rate_table=(p + mean) / 2,
        groups={"depot": np.array(["A", "B", "C"], object)[np.arange(len(p)) % 3]},
    )
    return replace(evidence, **changes)


def by_name(evidence: MadeRows, gate: GateSpec = GATE) -> dict:
    return {check.name: check for check in judged(evidence, gate)}


def test_a_better_model_passes_every_check():
    checks = judged(made_evidence(), GATE)
    assert passed(checks)
    assert [check.name for check in checks] == [
        "package_integrity",
        "enough_rows",
        "beats_champion",
        "regret_beside_champion",
        "beats_rate_table",
        "beats_constant",
        "calibration",
        "calibration_by_period",
    ]


def test_a_model_is_not_better_than_itself_and_not_worse():
    evidence = made_evidence()
    same = replace(evidence, champion=evidence.challenger)
    found = by_name(same)["beats_champion"]
    assert found.passed
    assert (found.interval.estimate, found.interval.low, found.interval.high) == (0, 0, 0)
    assert not by_name(same, GATE.model_copy(update={"min_improvement": 0.0001}))["beats_champion"].passed
    assert by_name(same, GATE.model_copy(update={"policy": "not_worse", "min_improvement": -0.001}))[
        "beats_champion"
    ].passed


def test_a_baseline_that_is_as_good_refuses():
    evidence = made_evidence()
    found = by_name(replace(evidence, rate_table=evidence.challenger))
    assert found["beats_rate_table"].passed is False
    assert found["beats_constant"].passed


def test_the_policy_says_whether_the_lower_end_decides_or_the_estimate():
    evidence = made_evidence()
    interval = by_name(evidence)["beats_champion"].interval
    assert interval.low < interval.estimate < interval.high
    between = GATE.model_copy(update={"min_improvement": (interval.low + interval.estimate) / 2})
    assert by_name(evidence, between.model_copy(update={"policy": "superior"}))["beats_champion"].passed is False
    assert by_name(evidence, between)["beats_champion"].passed


def test_a_challenger_a_little_better_on_few_days_passes_by_default_and_not_where_it_must_be_superior():
    evidence = made_evidence(days=10)
    rng = np.random.default_rng(4)
    little = replace(evidence, champion=np.clip(evidence.challenger + rng.normal(0, 0.01, 1000), 0.01, 0.99))
    turned = replace(little, challenger=little.champion, champion=little.challenger)

    def against_champion(rows: MadeRows, policy: str) -> dict[str, bool]:
        found = by_name(rows, GATE.model_copy(update={"policy": policy}))
        return {name: found[name].passed for name in ("beats_champion", "regret_beside_champion") if name in found}

    assert against_champion(little, "expected") == {"beats_champion": True, "regret_beside_champion": True}
    assert against_champion(little, "superior") == {"beats_champion": False}
    assert against_champion(turned, "expected") == {"beats_champion": False, "regret_beside_champion": True}


def test_a_share_is_of_the_improvement_over_the_training_mean():
    evidence = made_evidence()
    gate = GATE.model_copy(update={"policy": "not_worse", "margin_share": 0.2})
    found = by_name(evidence, gate)
    assert found["beats_champion"].bound == pytest.approx(-0.2 * found["beats_constant"].interval.estimate)
    regret = by_name(evidence)["regret_beside_champion"]
    assert regret.bound == pytest.approx(GATE.max_regret_share * found["beats_constant"].interval.estimate)
    days = shadow_days(*[(0.5 + 0.1 * found["beats_constant"].interval.estimate, 0.5)] * 7)
    assert by_name(replace(evidence, shadow=days), gate)["shadow"].passed
    assert by_name(replace(evidence, shadow=days))["shadow"].passed is False


def shadow_days(*pairs: tuple[float, float], rows: int = 100) -> tuple[ShadowDay, ...]:
    """Days with the challenger's and the champion's log loss."""
    return tuple(ShadowDay(date(2024, 4, day), rows, *pair) for day, pair in enumerate(pairs, start=1))


def test_shadow_is_a_check_once_there_are_enough_days():
    gate = GATE.model_copy(update={"min_shadow_days": 3})
    assert "shadow" not in by_name(made_evidence(), gate)
    early = by_name(made_evidence(shadow=shadow_days((0.6, 0.5), (0.6, 0.5))), gate)["shadow"]
    assert early.passed is None
    assert "skipped: 3 days are needed" in early.detail
    worse = by_name(made_evidence(shadow=shadow_days((0.6, 0.5), (0.6, 0.5), (0.4, 0.5))), gate)["shadow"]
    assert worse.passed is False
    assert worse.value == pytest.approx(-0.1 / 3)
    assert "not worse on 1 of 3 days" in worse.detail
    assert by_name(made_evidence(shadow=shadow_days((0.6, 0.5), (0.4, 0.5), (0.4, 0.5))), gate)["shadow"].passed
    patient = gate.model_copy(update={"policy": "not_worse", "min_improvement": -0.05})
    assert by_name(made_evidence(shadow=shadow_days(*[(0.54, 0.5)] * 3)), patient)["shadow"].passed


def test_in_shadow_a_higher_auc_is_better():
    gate = GATE.model_copy(update={"min_shadow_days": 1, "metric": "auc"})
    assert by_name(made_evidence(shadow=shadow_days((0.7, 0.6))), gate)["shadow"].passed
    assert by_name(made_evidence(shadow=shadow_days((0.6, 0.7))), gate)["shadow"].passed is False


def test_only_a_version_that_fails_against_the_champion_alone_is_worth_shadowing():
    def check(name: str, ok: bool | None) -> Check:
        return Check(name=name, title=name, passed=ok, detail="")

    sound = [check("enough_rows", True), check("beats_champion", False), check("calibration", None)]
    assert worth_shadowing(sound)
    assert worth_shadowing([*sound, check("regret_beside_champion", False)])
    assert not worth_shadowing([*sound, check("beats_constant", False)])
    assert not worth_shadowing([check("beats_champion", True)])


def test_no_champion_is_skipped_and_said_so():
    found = by_name(made_evidence(champion=None))["beats_champion"]
    assert found.passed is None
    assert "no champion" in found.detail
    assert passed([found])


def test_no_rate_table_is_skipped():
    assert by_name(made_evidence(rate_table=None))["beats_rate_table"].passed is None


def test_too_few_rows_or_days_refuse_at_once():
    few = judged(made_evidence(), GATE.model_copy(update={"min_rows": 5000}))
    assert [check.name for check in few if check.passed is False] == ["enough_rows"]
    assert len(few) == 2
    assert not passed(judged(made_evidence(days=4), GATE))


def test_labels_of_one_class_refuse_without_a_crash():
    evidence = made_evidence()
    assert not passed(judged(replace(evidence, labels=np.zeros_like(evidence.labels)), GATE))


def test_a_damaged_package_and_undefined_predictions_refuse():
    broken = replace(made_evidence(), integrity=("its label differs: x",))
    assert "its label differs" in by_name(broken)["package_integrity"].detail
    assert not passed(judged(broken, GATE))
    evidence = made_evidence()
    evidence.challenger[3] = np.nan
    found = by_name(evidence)
    assert found["package_integrity"].passed is False
    assert list(found) == ["package_integrity", "enough_rows"]


def test_calibration_is_bounded_in_label_units_where_the_spec_says_so():
    evidence = made_evidence()
    tilted = replace(evidence, challenger=np.clip(evidence.challenger + 0.15, 0, 0.999))
    found = by_name(tilted)["calibration"]
    assert (found.passed, found.bound) == (False, 0.1)
    relative = by_name(tilted, GATE.model_copy(update={"max_calibration_error": None}))["calibration"]
    assert relative.bound == pytest.approx(spread(evidence.labels, tilted.challenger))


@pytest.mark.parametrize("bound", [0.1, None])
@pytest.mark.parametrize("value", ["the rate of these labels", "another rate"])
def test_a_constant_fails_the_calibration_checks_however_near_it_is_to_the_rate(bound, value):
    evidence = made_evidence()
    rate = evidence.labels.mean() + (0.03 if value == "another rate" else 0)
    constant = replace(evidence, challenger=np.full(len(evidence.labels), rate))
    found = by_name(constant, GATE.model_copy(update={"max_calibration_error": bound}))
    assert found["calibration"].passed is False
    assert found["calibration_by_period"].passed is False


def test_errors_of_two_periods_that_cancel_pass_pooled_and_fail_by_period():
    evidence = made_evidence(days=28)
    late = evidence.days >= evidence.days.min() + 14
    # As many label more in the second half as are label less in the first, whatever the prediction.
    moved = np.clip(evidence.challenger + np.where(late, 0.12, -0.12), 0, 1)
    labels = (np.random.default_rng(3).random(len(moved)) < moved).astype(float)
    found = by_name(replace(evidence, labels=labels))
    assert found["calibration"].passed
    by_period = found["calibration_by_period"]
    assert by_period.passed is False
    assert by_period.value > 0.1 > found["calibration"].value
    assert "2024-03-15 to 2024-03-28: predicted" in by_period.detail or "2024-03-01 to 2024-03-14" in by_period.detail
    assert f"all days together {found['calibration'].value:.4f}" in by_period.detail


def test_a_calibrated_model_passes_by_period():
    found = by_name(made_evidence(days=28))["calibration_by_period"]
    assert found.passed
    assert found.title == "Predictions mean what they say in every 14 days"


def test_the_worst_group_is_held_against_its_floor_and_named():
    evidence = made_evidence()
    groups = evidence.groups["depot"]
    spoiled = np.where(groups == "B", 0.5, evidence.challenger)
    gate = GATE.model_copy(update={"segments": (SegmentFloor(feature="depot", metric="auc", floor=0.6),)})
    assert by_name(evidence, gate)["segment_depot_auc"].passed
    found = by_name(replace(evidence, challenger=spoiled), gate)["segment_depot_auc"]
    assert (found.passed, found.value, found.bound) == (False, 0.5, 0.6)
    assert "they are B 0.5000" in found.detail


def test_small_groups_are_not_judged():
    floor = SegmentFloor(feature="depot", metric="auc", floor=0.99, min_rows=5000)
    found = by_name(made_evidence(), GATE.model_copy(update={"segments": (floor,)}))["segment_depot_auc"]
    assert found.passed is None


def test_a_gate_must_measure_what_the_task_has():
    check_metrics("binary", GATE)
    check_metrics("regression", GateSpec(metric="rmse"))
    with pytest.raises(SpecError, match=r"gate\.metric is log_loss; for a regression task use rmse or mae"):
        check_metrics("regression", GATE)
    with pytest.raises(SpecError, match=r"gate\.segments is mae"):
        floor = SegmentFloor(feature="depot", metric="mae", floor=1.0)
        check_metrics("binary", GATE.model_copy(update={"segments": (floor,)}))
