"""For each feature of a model: what it brings on days after the training, what it costs, and whether it could go.

Nothing is published. What was measured of the champion is kept, for the score card to cite.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import date
from typing import Any

from contrail.config.pipeline import Pipeline
from contrail.config.problems import hint
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.methods.feature_verdicts import Drop
from contrail.methods.feature_worth import pooled_spread
from contrail.methods.intervals import Interval
from contrail.operations.inspecting.build_costs import BuildCosts, build_costs
from contrail.operations.inspecting.done import Done
from contrail.operations.inspecting.measures import REPEATS, Measures, measures_of
from contrail.operations.inspecting.refits import Refits
from contrail.operations.inspecting.results import InspectedFeature, Inspection
from contrail.operations.inspecting.subject import (
    MOST_ROWS,
    Sample,
    Subject,
    Trained,
    sample_of,
    subject_of,
    trained_rows,
)
from contrail.operations.inspecting.verdicts import Verdicts, verdicts
from contrail.operations.kept_checks import BENEFITS, COSTS, keep
from contrail.stages.base import silent

_TOGETHER = 5  # seeds of trees without all that could go


class InspectOptions(Frozen):
    """What is asked. ``drop`` are features to try alone; ``again`` forgets what earlier calls have done."""

    model: str = "champion"
    first: date | None = None
    last: date | None = None
    drop: tuple[str, ...] = ()
    thorough: bool = False
    again: bool = False
    rows: int = MOST_ROWS

    @property
    def seeds(self) -> int:
        """How many seeds there are of trees without a feature."""
        return 4 if self.thorough else 2


def inspect_features(
    pipeline: Pipeline, lake: Lake, options: InspectOptions, progress: Callable[[str], None] = silent
) -> Inspection:
    """Inspect the features of a model version.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        options: Which model, which days, and how thoroughly.
        progress: Takes a line for a person.

    Raises:
        MissingInputError: when there is no such model, too few labelled days after its training, or no training set.
        DataError: when days are asked for that the model may have seen.
        SpecError: for a feature that it does not have, or a model that does not fit the pipeline.
    """
    subject = subject_of(pipeline, lake, options.model, options.first, options.last)
    _check_names(subject, options.drop)
    progress(f"version {subject.model.version}, {subject.partitions}: reading labelled rows")
    sample = sample_of(subject, options.rows)
    done = Done.read(subject, sample, options.again)
    costs = done.parts.costs
    if costs is None:
        costs = build_costs(pipeline, lake, sample.days[-1], progress)
        done.keep_costs(costs)
    measures = measures_of(subject, sample, progress)
    with ExitStack() as stack:
        refits = _refits(subject, sample, done, stack, progress)
        losses = _Told(refits, options.seeds, progress)
        evidence = measures.evidence(subject.names, costs)
        verdict = verdicts(evidence, losses, measures.margin, options.drop, options.thorough)
    shares = done.parts.missing_trained
    features = [_feature(subject, measures, costs, verdict, shares[at], at) for at in range(len(subject.names))]
    found = Inspection(
        **_judged_by(subject, sample, measures),
        features=tuple(features),
        tried=verdict.tried,
        drop=verdict.drop,
        together=verdict.together,
        saved_seconds=_saved(costs, verdict.drop),
        costs=costs,
        left=verdict.left,
        seeds=options.seeds,
        together_seeds=_TOGETHER,
        seed_noise=losses.spread,
        refits=refits.count,
        refit_seconds=round(refits.seconds, 1),
        thorough=options.thorough,
    )
    if subject.is_champion:
        _keep(pipeline, lake, found)
    return found


def _check_names(subject: Subject, names: Iterable[str]) -> None:
    for name in names:
        if name not in subject.names:
            raise SpecError(
                f"--drop {name}: version {subject.model.version} of {subject.pipeline.name} has no such feature; "
                f"{hint(name, list(subject.names), 'its features')}"
            )


def _refits(subject: Subject, sample: Sample, done: Done, stack: ExitStack, progress: Callable[[str], None]) -> Refits:
    """Trees of this subject. The training set is read when the first of them must grow."""
    held = list[Trained]()

    def trained() -> Trained:
        if not held:
            progress("reading the training set")
            held.append(stack.enter_context(trained_rows(subject)))
        return held[0]

    if not done.parts.missing_trained:
        done.keep_missing(trained().missing_share())
    return Refits(subject, sample, trained, done.parts.refits, done.keep_refits)


class _Told:
    """The losses of refits, told to a person as they come."""

    def __init__(self, refits: Refits, seeds: int, progress: Callable[[str], None]) -> None:
        self.spread = 0.0
        self._refits, self._seeds, self._progress = refits, seeds, progress

    def grow(self, drops: Sequence[Drop]) -> None:
        differences = []
        for number, drop in enumerate(drops, start=1):
            before = self._refits.grown
            differences.append(self._refits.differences(drop, self._seeds))
            how = "trees" if self._refits.grown > before else "kept:"
            loss = sum(differences[-1]) / self._seeds
            self._progress(f"{how} without {_few(drop)}: loss {loss:+.5f} ({number} of {len(drops)})")
        self.spread = pooled_spread(differences)

    def added(self, drop: Drop) -> Interval:
        return self._refits.added(drop, self._seeds, self.spread)

    def together(self, drop: Drop) -> Interval:
        self._progress(f"trees without {_few(drop)}, {_TOGETHER} seeds")
        return self._refits.added(drop, _TOGETHER, self.spread)


def _few(names: Drop) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _feature(
    subject: Subject, measures: Measures, costs: BuildCosts, verdict: Verdicts, missing_trained: float, at: int
) -> InspectedFeature:
    name, names = subject.names[at], subject.names
    partner, alike = measures.partner(names, at)
    evidence = measures.evidence(names, costs)[name]
    unusual, measured = measures.drift.get(name, (0, 0))
    said, because = verdict.of_feature(evidence, measures.margin)
    return InspectedFeature(
        name=name,
        kind="category" if subject.package.card.features[at] in subject.package.card.categories else "number",
        gain=measures.gains[name],
        size=evidence.size,
        shuffled=evidence.shuffled,
        without=verdict.alone(name),
        groups=tuple(one.name for one in costs.of(name)),
        seconds=round(evidence.seconds, 3),
        unusual_days=unusual,
        measured_days=measured,
        missing_trained=missing_trained,
        missing=measures.missing[at],
        partner=partner,
        likeness=alike,
        cluster=evidence.cluster,
        verdict=said,
        because=because,
    )


def _judged_by(subject: Subject, sample: Sample, measures: Measures) -> dict[str, Any]:
    """The fields of an inspection that say what was looked at, and by which loss."""
    return {
        "pipeline": subject.pipeline.name,
        "version": subject.model.version,
        "is_champion": subject.is_champion,
        "partitions": str(subject.partitions),
        "days": len(sample.days),
        "rows": len(sample.labels),
        "every": sample.every,
        "trained_rows": subject.record.rows,
        "trained_every": subject.trained_every,
        "metric": sample.judged.metric,
        "loss": measures.loss,
        "loss_of_mean": measures.loss_of_mean,
        "margin": measures.margin,
        "repeats": REPEATS,
    }


def _saved(costs: BuildCosts, drop: Drop) -> float:
    """Seconds of the groups that nothing needs any more. A group with one feature left costs about what it did."""
    gone = [one.seconds for one in costs.groups if one.features and {*one.features} <= {*drop}]
    return round(sum(gone), 3)


def _keep(pipeline: Pipeline, lake: Lake, found: Inspection) -> None:
    """Keep what the score card cites: what each feature brings, and what its group costs."""
    brings = {one.name: one.shuffled.estimate for one in found.features}
    keep(
        pipeline, lake.settings, BENEFITS,
        passed=not found.drop, says=f"{found.sentence} ({found.partitions})", version=found.version, numbers=brings,
    )  # fmt: skip
    unit = "processor seconds of its group" if found.costs.unit == "processor seconds" else "seconds of its group"
    keep(
        pipeline, lake.settings, COSTS,
        passed=True, says=f"{unit} in a build of {found.day}", version=found.version,
        numbers={one.name: one.seconds for one in found.features},
    )  # fmt: skip
