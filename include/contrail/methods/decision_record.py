"""The record of a promotion decision: the judged version, the rules, the numbers and the verdict.

Its JSON is kept with the model version. ``contrail.methods.gates`` and ``contrail.methods.verdict`` make the decision.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from contrail.config.model_spec import GateSpec
from contrail.frozen import Frozen
from contrail.methods.calibration import Period
from contrail.methods.checks import Check
from contrail.methods.gates import Evidence, ShadowDay
from contrail.methods.intervals import Interval
from contrail.methods.metrics import METRICS, finite

Metrics = Mapping[str, float]
Verdict = Literal["pass", "waits", "refused"]

# The page shows this many groups, the largest first. The gate's own floors check all groups.
_SHOWN_GROUPS = 15
_SHOWN_ROWS = 20
# The tag of a version with its ``TrainingRequest`` as JSON.
REQUEST = "training_request"
_JUDGED_ON = re.compile(r"judged_on_(.+)_snapshot")


class DecisionWindow(Frozen):
    """The partitions on which both models were scored. ``days`` counts those with labelled rows.

    ``immature`` names those that were left out, because not all of their labels were known.
    """

    start: date
    end: date
    days: int
    rows: int
    immature: tuple[str, ...] = ()


class JudgedModel(Frozen):
    """A version and its training. ``training_window`` looks like ``2013-01-01..2013-08-31``.

    ``decides_by`` is its threshold with the reason, where the spec states costs.
    """

    version: str
    training_window: str
    training_rows: int
    rounds: int
    model_sha256: str
    decides_by: str | None = Field(default=None, exclude_if=lambda reason: reason is None)


class TrainingRequest(Frozen):
    """Who asked for a training and why, and the parameters that differ from the pipeline's."""

    person: str
    reason: str | None = None
    parameters: Mapping[str, Any] = {}

    @property
    def sentence(self) -> str:
        """The request in one sentence."""
        why = f": {self.reason}" if self.reason else ""
        changed = ", ".join(f"{name}={json.dumps(value)}" for name, value in self.parameters.items()) or "none"
        return f"The training was requested by {self.person}{why}. Changed parameters: {changed}."


class SegmentRow(Frozen):
    """One group of a segment feature, with the defined metrics of both models. Without a champion its are empty."""

    group: str
    rows: int
    label_mean: float
    challenger: Metrics
    champion: Metrics


class DecisionProvenance(Frozen):
    """The inputs of the decision.

    ``judged_on`` has the snapshot of each table that was read. In JSON each is a separate key,
    ``judged_on_<table>_snapshot``.
    """

    model: str
    model_sha256: str
    mlflow_run: str
    training_features_snapshot: int | None
    training_set_md5: str
    training_code_revision: str
    judged_on: Mapping[str, int | None]
    code_revision: str
    pipeline_hash: str
    lock_hash: str

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "judged_on" in values:
            return values
        found = {name: _JUDGED_ON.fullmatch(name) for name in values}
        judged_on = {match[1]: values[name] for name, match in found.items() if match}
        return {**{name: values[name] for name, match in found.items() if not match}, "judged_on": judged_on}

    @model_serializer(mode="wrap")
    def _spread(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        spread: dict[str, Any] = {}
        for name, value in handler(self).items():
            spread |= {f"judged_on_{t}_snapshot": s for t, s in value.items()} if name == "judged_on" else {name: value}
        return spread


class DecisionRecord(Frozen):
    """One decision on one version.

    ``decided_at`` is ISO 8601 in UTC. ``person`` requested the decision, with their ``reason``. ``request`` says who asked
    for the training; it is None for a version that does not tell. ``metrics`` has the defined metrics of each scored
    model, ``intervals`` the same with their intervals over days. ``calibration`` is the challenger's by period. With
    ``in_shadow`` the refused version becomes challenger. ``segments`` has the largest groups of each segment feature.
    ``weighed`` says what the gate's policy weighed. A record of an earlier version of Contrail has no such sentence, no
    intervals and no periods.
    """

    format: Literal[1] = 1
    pipeline: str
    title: str
    version: str
    verdict: Verdict
    in_shadow: bool
    summary: str
    weighed: str | None = Field(default=None, exclude_if=lambda sentence: sentence is None)
    reasons: tuple[str, ...]
    decided_at: str
    run_id: str
    person: str
    reason: str | None
    request: TrainingRequest | None = None
    window: DecisionWindow
    gate: GateSpec
    challenger: JudgedModel
    champion: JudgedModel | None
    checks: tuple[Check, ...]
    metric_names: tuple[str, ...]
    metrics: Mapping[str, Metrics]
    intervals: Mapping[str, Mapping[str, Interval]] = {}
    calibration: tuple[Period, ...] = ()
    shadow: tuple[ShadowDay, ...]
    segments: Mapping[str, tuple[SegmentRow, ...]]
    provenance: DecisionProvenance

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, values: Any) -> Any:
        """Name the policy by which a record from before there were policies was decided."""
        gate = values.get("gate") if isinstance(values, Mapping) else None
        if isinstance(gate, Mapping) and "policy" not in gate:
            policy = "not_worse" if gate.get("min_improvement", 0) < 0 else "superior"
            return {**values, "gate": {**gate, "policy": policy}}
        return values


def segment_rows(evidence: Evidence, feature: str) -> tuple[SegmentRow, ...]:
    """Return the largest groups of a feature, with both models' metrics."""
    names = METRICS[evidence.task]
    ours = evidence.challenger.groups[feature].metrics(_SHOWN_ROWS)
    theirs = evidence.champion.groups[feature].metrics(_SHOWN_ROWS) if evidence.champion else {}
    return tuple(
        SegmentRow(
            group=group,
            rows=int(own["rows"]),
            label_mean=own["label_mean"],
            challenger=finite({name: own[name] for name in names}),
            champion=finite({name: theirs[group][name] for name in names}) if theirs else {},
        )
        for group, own in list(ours.items())[:_SHOWN_GROUPS]
    )
