from contrail.methods.checks import Check
from contrail.methods.gates import approval_check
from contrail.methods.verdict import judgement_of

WON = Check(name="beats_champion", title="Better than the champion", passed=True, value=0.1, bound=0.0, detail="won")
LOST = WON.model_copy(update={"passed": False, "value": -0.1234567, "detail": "lost"})
BROKEN = Check(name="package_integrity", title="The package is whole", passed=False, detail="broken")


def test_without_a_failed_check_the_version_takes_the_place_of_the_champion():
    found = judgement_of([WON], "2", "1", may_shadow=True)
    assert (found.verdict, found.in_shadow, found.reasons) == ("pass", False, ())
    skipped = WON.model_copy(update={"passed": None})
    assert judgement_of([skipped], "2", "1", may_shadow=True).verdict == "pass", "only an approver is waited for"
    assert found.summary == "It becomes champion in place of version 1; every check passed."
    first = judgement_of([WON], "2", None, may_shadow=False)
    assert first.summary == "It becomes champion; every check passed."


def test_a_pass_without_an_answer_waits_unless_something_else_failed():
    awaited = approval_check(None, "", "")
    assert judgement_of([WON, awaited], "2", "1", may_shadow=True).verdict == "waits"
    assert judgement_of([LOST, awaited], "2", "1", may_shadow=True).verdict == "refused"
    assert approval_check(None, "", "", failed=True).detail == "nobody is asked: the gate refused"


def test_a_refusal_has_each_failed_check_with_its_numbers():
    found = judgement_of([LOST, BROKEN], "2", None, may_shadow=False)
    assert found.summary == "2 of 2 checks failed. There is still no champion."
    assert found.reasons == (
        "Better than the champion: -0.1235 where ≥ 0 is needed (lost)",
        "The package is whole: broken",
    )


def test_only_a_sound_version_is_kept_in_shadow_and_only_where_it_may_be():
    kept = judgement_of([LOST], "2", "1", may_shadow=True)
    assert kept.in_shadow
    assert kept.summary.endswith("Version 1 stays champion. Version 2 is scored beside it, unseen by analysts.")
    assert not judgement_of([LOST, BROKEN], "2", "1", may_shadow=True).in_shadow
    assert not judgement_of([LOST], "2", "1", may_shadow=False).in_shadow
