"""Infrastructure: can a model be made again, tested, judged before it serves, followed step by step, and taken back?"""

from collections.abc import Iterator

from contrail.adapters import data_versions
from contrail.lake.model_history import CHAMPION
from contrail.operations.kept_checks import REPRODUCED
from contrail.operations.rollback_model import plan_rollback
from contrail.operations.score_card.claims import Claim, RubricTest
from contrail.operations.score_card.state import State

NAME = "Infrastructure"
_RUNS_A_CHAIN = ("validate", "features", "score", "drift", "performance")


def reproducible(state: State) -> Iterator[Claim]:
    """What the champion's training read is still there, and somebody has trained it again to the same bytes."""
    training = state.records.card.training
    kept = any(one.snapshot == training.feature_snapshot for one in state.history("features"))
    yield state.ran(
        "half", kept,
        f"the snapshot of features that version {state.version} learned from is {'kept' if kept else 'gone'}",
        f"contrail train -p {state.spec.name}", f"features, snapshot {training.feature_snapshot}",
    )  # fmt: skip
    md5 = training.training_set_md5
    there = data_versions.kept(state.settings, md5) is not None
    yield state.ran(
        "half", there,
        f"DVC {'has' if there else 'no longer has'} the rows that it learned from", f"contrail train -p {state.spec.name}",
        f"training set, MD5 {md5}",
    )  # fmt: skip
    again, equal = "tests/unit/stages/test_train.py", "test_the_same_rows_give_the_same_bytes"
    yield state.repository.test(again, "half", "CI trains twice on the same rows, to the same bytes", equal)
    record, wrong = state.kept(REPRODUCED), f"nobody has recorded that version {state.version} was trained again"
    if record:
        wrong = (
            f"version {record.version} was trained again, not version {state.version}" if record.version != state.version
            else "" if record.passed
            else record.says
        )  # fmt: skip
    yield state.cited(
        "whole", not wrong, wrong or (record.says if record else ""),
        f"contrail reproduce -p {state.spec.name} {state.version}",
        state.link_of(REPRODUCED) if record else "", record.checked_at.isoformat() if record else "",
    )  # fmt: skip


def definition_tested(state: State) -> Iterator[Claim]:
    """The definition runs on empty tables, and XGBoost knows its parameters; CI does the same."""
    problems, name = state.checked.problems, state.spec.name
    yield state.ran(
        "half", not problems,
        f"{len(problems)} problems, the first: {problems[0]}" if problems
        else "features build on empty tables, contracts load, XGBoost knows each parameter",
        "mend what contrail check finds", f"contrail check -p {name} --thorough",
    )  # fmt: skip
    yield state.repository.ci_makes("check", "whole", "CI checks each pipeline's definition so", "contrail check")


def chain_tested(state: State) -> Iterator[Claim]:
    """CI runs a whole chain, and this pipeline's own chain has run through."""
    chain = "tests/integration/test_chain.py"
    yield state.repository.test(chain, "half", "CI runs the chain from landed files to quality, on a small pipeline")
    day, made = state.newest_mature, []
    for stage in _RUNS_A_CHAIN:
        table = state.spec.entities if stage == "validate" else ""
        standing = state.staleness.own(stage, day, table)
        made.append((stage, "" if standing.state == "ok" else standing.why or standing.state))
    broken = [f"{stage}: {why}" for stage, why in made if why]
    commit = state.commit("performance", day)
    yield state.cited(
        "whole", not broken,
        f"the chain of {day} is not whole: {'; '.join(broken)}" if broken
        else f"{', '.join(_RUNS_A_CHAIN)} of {day} fit together, and are as they would be made now",
        f"contrail backfill -p {state.spec.name} --from {day} --to {day}",
        f"contrail status -p {state.spec.name} --from {day}", commit.committed_at if commit else "",
    )  # fmt: skip


def judged_before(state: State) -> Iterator[Claim]:
    """The gate passed the champion before it served; so it did every champion."""
    decision, move = state.decision, state.made_champion
    passed = decision.verdict == "pass" and decision.decided_at[:19] <= move.moved_at.isoformat()[:19]
    failed, judged = [one.title for one in decision.checks if one.passed is False], decision.window
    yield state.cited(
        "half", passed and not failed,
        f"the gate passed version {state.version} on {judged.rows:,} rows of {judged.days} days, before it served"
        if passed and not failed
        else f"failed: {', '.join(failed)}" if failed
        else f"version {state.version} served before its gate had passed it",
        f"contrail promote -p {state.spec.name} --model {state.version}", state.decided_in, decision.decided_at,
    )  # fmt: skip
    moves = [one for one in state.records.moves if one.alias == CHAMPION]
    known = {one.version_after for one in moves if one.improvement is not None}
    bare = sorted({one.version_after for one in moves} - known)
    after = judged.start > state.records.card.training.end
    yield state.cited(
        "whole", not bare and after,
        f"champion without a gate: version {', '.join(bare)}" if bare
        else f"each champion so far passed a gate ({len(moves)}), this one on days after its training" if after
        else f"version {state.version} was judged on days of its own training",
        f"contrail promote -p {state.spec.name}", f"contrail champions -p {state.spec.name}", move.moved_at.isoformat(),
    )  # fmt: skip


def debuggable(state: State) -> Iterator[Claim]:
    """Single predictions come out again, step by step."""
    found = state.again
    yield state.ran(
        "half", found.rows > 0 and found.same == found.rows,
        f"{found.same} of {found.rows} random predictions of {state.recent} came out again, score and reasons, to the last bit",
        f"contrail why KEY -p {state.spec.name} says what differs", f"contrail why -p {state.spec.name} --sample {found.rows}",
    )  # fmt: skip
    tested = "tests/unit/operations/test_why.py"
    yield state.repository.test(tested, "whole", "CI follows a prediction back to its landed rows")


def canaried(state: State) -> Iterator[Claim]:
    """The version predicted real rows before it served; better, beside the champion for days."""
    check = state.gate_check("package_integrity")
    yield state.cited(
        "half", bool(check and check.passed) and state.decision.window.rows > 0,
        f"before it served, its package was loaded and predicted {state.decision.window.rows:,} real rows"
        if check and check.passed
        else "nobody tried its package before it served",
        f"contrail promote -p {state.spec.name} --model {state.version}", state.decided_in, state.decision.decided_at,
    )  # fmt: skip
    days, wanted = len(state.decision.shadow), state.spec.gate.min_shadow_days
    yield state.cited(
        "whole", days >= wanted,
        f"it predicted {days} days in shadow, beside the champion" if days
        else "it did not predict in shadow before it served" + ("" if state.decision.champion else ": there was no champion"),
        "set gate.shadow: a version is then compared beside the champion first", state.decided_in, state.decision.decided_at,
    )  # fmt: skip


def taken_back(state: State) -> Iterator[Claim]:
    """CI takes champions back, and this one could be taken back now."""
    tested = "tests/unit/operations/test_rollback_model.py"
    yield state.repository.test(tested, "half", "CI takes champions back, also after a stop half-way")
    plan = plan_rollback(state.pipeline, state.lake) if len(_champions(state)) > 1 else None
    yield state.ran(
        "whole", plan is not None,
        f"version {plan.to} can take over: {sum(plan.scored.values()):,} rows of {len(plan.scored)} days would be scored again"
        if plan
        else f"version {state.version} is the only champion there was: no other can take over",
        "promote a second version", f"contrail rollback-model -p {state.spec.name} --reason WHY --dry-run",
    )  # fmt: skip


def _champions(state: State) -> set[str]:
    return {one.version_after for one in state.records.moves if one.alias == CHAMPION}


TESTS = (
    RubricTest(
        "3.1", "Training again", "Does the same training give the same model?",
        "What the champion learned from is kept, and CI trains twice to the same bytes.",
        "The champion itself was trained again to the same bytes.", reproducible,
    ),
    RubricTest(
        "3.2", "Tests of the definition", "Is a model's definition tested without training it?",
        "contrail check --thorough finds nothing.", "CI does the same.", definition_tested,
    ),
    RubricTest(
        "3.3", "Tests of the chain", "Is the whole chain tested together?",
        "CI runs a small one.", "This pipeline's own newest chain is whole.", chain_tested,
    ),
    RubricTest(
        "3.4", "Judged before it serves", "Is each model's quality judged before people see it?",
        "The gate passed the champion before it served.", "So it did every champion, on days after the training.",
        judged_before,
    ),
    RubricTest(
        "3.5", "Step by step", "Can one prediction be followed?",
        "Random predictions come out again now.", "CI follows one to its landed rows.", debuggable,
    ),
    RubricTest(
        "3.6", "Tried before it serves", "Does a model predict in small before it serves?",
        "Before it served, the champion's package predicted real rows.", "It predicted days in shadow.", canaried,
    ),
    RubricTest(
        "3.7", "Taken back", "Can a model be taken back quickly?",
        "CI takes champions back.", "The champion can be taken back now.", taken_back,
    ),
)  # fmt: skip
