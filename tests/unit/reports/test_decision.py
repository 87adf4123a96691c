from datetime import date

import pytest
from tests.unit.methods.test_decision_record import RECORD as KEPT
from tests.unit.methods.test_decision_record import record_of_before

from contrail.config.model_spec import GateSpec
from contrail.methods.checks import Check
from contrail.methods.decision_record import DecisionRecord, SegmentRow
from contrail.methods.gates import ShadowDay
from contrail.methods.improvement import Interval
from contrail.reports.decision import decision_text, render_decision, strip

CHECK = Check(
    name="beats_champion",
    title="Better than the champion",
    passed=True,
    value=0.01,
    comparison=">=",
    bound=0.0,
    interval=Interval(estimate=0.02, low=0.01, high=0.03, confidence=0.95),
    detail="log loss better by 0.02",
)
SKIPPED = Check(name="other", title="Better than the champion", passed=None, detail="log loss better by 0.02")
RECORD = KEPT.model_copy(
    update={
        "title": "Late <b>parcels</b>",
        "reason": "new <depot>",
        "gate": GateSpec(bootstrap_samples=200),
        "checks": (CHECK, SKIPPED),
        "metrics": {"challenger": {"auc": 0.7}, "constant": {}},
        "shadow": (),
        "segments": {"depot": (SegmentRow(group="A", rows=5, label_mean=0.2, challenger={"auc": 0.6}, champion={}),)},
    }
)


def record_with(**changes) -> DecisionRecord:
    return RECORD.model_copy(update=changes)


def test_the_verdict_comes_first_and_text_is_escaped():
    page = render_decision(RECORD)
    body = page[page.index("<main>") :]
    assert body.index("Passed: Late &lt;b&gt;parcels&lt;/b&gt;, version 7") < body.index("Checks")
    assert "<b>parcels</b>" not in page


def test_a_refusal_lists_its_reasons_and_the_champion():
    page = render_decision(
        record_with(
            verdict="refused",
            reasons=("Better than the champion: -0.1 where ≥ 0 is needed",),
            champion=RECORD.challenger.model_copy(update={"version": "6"}),
        )
    )
    assert "Refused: " in page
    assert "<li>Better than the champion: -0.1 where ≥ 0 is needed</li>" in page
    assert "version 6" in page


def test_one_sentence_says_what_the_policy_weighed():
    said = "Policy expected: it weighs an expected gain of 0.001, and agrees."
    page, text = (show(record_with(weighed=said)) for show in (render_decision, decision_text))
    assert f"<p>{said}</p>" in page
    assert f"\n\n{said}\n\n" in text
    assert "the dot, which is the estimate, must reach it" in page


def test_a_record_from_before_there_were_policies_is_shown():
    old = record_of_before().model_copy(update={"checks": (CHECK,)})
    page = render_decision(old)
    assert "Passed: Late parcels, version 7" in page
    assert "Policy superior" not in page
    assert "The lower end must reach it." in page
    assert "Policy superior" not in decision_text(old)


def test_what_is_not_known_is_a_dash_and_what_was_skipped_is_said_so():
    page = render_decision(RECORD)
    assert "– skipped" in page
    assert page.count("<svg") == 1
    assert '<td class="n">–</td>' in page


def test_who_asked_and_why_is_said():
    assert "by run r1, requested by ann: new &lt;depot&gt;." in render_decision(RECORD)
    assert "requested by pipeline." in render_decision(record_with(person="pipeline", reason=None))


def test_days_in_shadow_are_shown_when_there_are_any():
    page = render_decision(record_with(shadow=(ShadowDay(date(2024, 3, 1), 1234, 0.4321, 0.4567),)))
    assert all(text in page for text in ("In shadow, 1 days", "2024-03-01", "1,234", "0.4321", "0.4567"))
    assert "In shadow" not in render_decision(RECORD)


def test_a_record_that_lacks_something_is_not_rendered_half():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render_decision(record_with(window=None))


def test_marks_on_the_strip_keep_their_order_and_stay_inside():
    at = strip(CHECK)
    assert 0 < at["zero"] == at["bound"] < at["low"] < at["estimate"] < at["high"] < 100
    assert at["estimate"] - at["low"] == pytest.approx(at["high"] - at["estimate"], abs=0.02)


def test_an_interval_of_no_width_is_drawn():
    same = CHECK.model_copy(update={"interval": Interval(estimate=0.0, low=0.0, high=0.0, confidence=0.95)})
    assert set(strip(same).values()) == {strip(same)["zero"]}


def test_the_provenance_names_each_table_that_rows_were_read_from():
    page = render_decision(RECORD)
    assert '<td class="soft">judged on features snapshot</td><td><code>2</code></td>' in page
