"""The gate's checks of what decisions cost: beside the champion's, and beside flagging every row, or none.

They refuse only a candidate that is surely dearer. That it is better is for the gate's metric to show.
"""

from contrail.config.model_spec import CostSpec, GateSpec
from contrail.methods.block_sums import BlockSums
from contrail.methods.checks import Check, passed
from contrail.methods.gates import DEARER, Evidence
from contrail.methods.intervals import day_weights, interval_of

_BASELINE = "cost_beside_constant"


def cost_checks(evidence: Evidence, gate: GateSpec, costs: CostSpec | None, checks: list[Check]) -> list[Check]:
    """Compare the cost per row, each model at its own threshold. There are none without costs, or without usable rows.

    Args:
        evidence: What every model predicted.
        gate: Gives the resamples and the confidence of the intervals.
        costs: Those of the spec.
        checks: What was checked before. The first two say whether the rows can be used.
    """
    if costs is None or not passed(checks[:2]):
        return []
    title = "Its decisions cost no more than the champion's"
    if evidence.champion is None:
        beside = Check(name=DEARER, title=title, passed=None, detail=f"skipped: {evidence.no_champion}")
    else:
        beside = _check(evidence, gate, costs, evidence.champion.days, DEARER, title)
    alike = "Its decisions cost no more than deciding every row alike"
    return [beside, _check(evidence, gate, costs, evidence.constant.days, _BASELINE, alike)]


def _check(evidence: Evidence, gate: GateSpec, costs: CostSpec, other: BlockSums, name: str, title: str) -> Check:
    weights = day_weights(evidence.days, gate.bootstrap_samples)
    own, theirs = evidence.challenger.days.cost(weights), other.cost(weights)
    saving = interval_of(theirs - own, gate.confidence)
    return Check(
        name=name,
        title=title,
        passed=saving.high >= 0,
        value=saving.high,
        bound=0.0,
        interval=saving,
        detail=f"a row costs {costs.amount(float(own[0]))} beside {costs.amount(float(theirs[0]))}; {saving.confidence:.0%} "
        f"interval of the saving {saving.low:.4f} to {saving.high:.4f}; its upper end counts",
    )
