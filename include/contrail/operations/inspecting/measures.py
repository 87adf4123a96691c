"""What is measured of each feature without growing a tree: gain, SHAP values, shuffling, likeness, drift, missing values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from contrail.lake.datasets import PARTITION
from contrail.methods.feature_verdicts import Evidence, margin_of
from contrail.methods.feature_worth import Floats, permuted_sums
from contrail.methods.fit import importance_of
from contrail.methods.intervals import Interval
from contrail.methods.redundancy import clusters, likeness
from contrail.operations.inspecting.build_costs import BuildCosts
from contrail.operations.inspecting.subject import Sample, Subject, missing_share

REPEATS = 3
_SEED, _EXPLAINED = 0, 10_000  # rows whose contributions are computed


@dataclass(frozen=True)
class Measures:
    """Measures by the position of the feature, and the model's own loss by day on the rows."""

    usual: Floats
    loss: float
    loss_of_mean: float
    gains: Mapping[str, float]
    sizes: Floats
    shuffled: tuple[Interval, ...]
    alike: Floats
    clusters: tuple[tuple[str, ...], ...]
    missing: tuple[float, ...]
    drift: Mapping[str, tuple[int, int]]

    @property
    def margin(self) -> float:
        """The most that may be lost."""
        return margin_of(self.loss, self.loss_of_mean)

    def evidence(self, names: tuple[str, ...], costs: BuildCosts) -> dict[str, Evidence]:
        """What verdicts begin with."""
        of_cluster = {name: cluster for cluster in self.clusters for name in cluster}
        return {
            name: Evidence(
                name,
                self.shuffled[at],
                float(self.sizes[at]),
                costs.seconds(name),
                of_cluster.get(name, ()),
                self.gains[name],
            )
            for at, name in enumerate(names)
        }

    def partner(self, names: tuple[str, ...], at: int) -> tuple[str | None, float]:
        """The feature most like this one, and how much."""
        others = self.alike[at].copy()
        others[at] = 0.0
        best = int(others.argmax())
        return (names[best], float(others[best])) if others[best] > 0 else (None, 0.0)


def measures_of(subject: Subject, sample: Sample, progress: Callable[[str], None]) -> Measures:
    """Measure each feature on the rows."""
    package, judged, names = subject.package, sample.judged, subject.names
    predict = package.predict_matrix
    usual = judged.sums(predict(sample.matrix))
    mean = judged.sums(np.full(len(sample.labels), package.card.label_mean))
    progress(
        f"{len(sample.labels):,} rows of {len(sample.days)} days: SHAP values, and each feature shuffled {REPEATS} times"
    )
    explained = sample.matrix[:: max(1, -(-len(sample.matrix) // _EXPLAINED))]
    sizes = np.abs(package.contributions_matrix(explained)[:, : len(names)]).mean(axis=0).astype(np.float64)
    shuffled = [
        judged.added(usual, permuted_sums(judged, predict, sample.matrix, [at], REPEATS, _SEED))
        for at in range(len(names))
    ]
    alike = likeness(sample.matrix, [name in package.card.categories for name in package.card.features])
    gains = importance_of(package.booster, package.card.features)
    return Measures(
        usual=usual,
        loss=judged.loss(usual),
        loss_of_mean=judged.loss(mean),
        gains=dict(zip(names, gains.values(), strict=True)),
        sizes=sizes,
        shuffled=tuple(shuffled),
        alike=alike,
        clusters=tuple(tuple(names[at] for at in cluster) for cluster in clusters(alike)),
        missing=tuple(missing_share(sample.matrix)),
        drift=_drift(subject),
    )


def _drift(subject: Subject) -> dict[str, tuple[int, int]]:
    """Of each feature, its unusual days and the days on which its drift was measured, among those asked for."""
    found: dict[str, tuple[int, int]] = {}
    if not subject.lake.exists("drift"):
        return found
    rows = subject.lake.scan("drift", subject.partitions, ["feature", "unusual", PARTITION])
    for name, unusual in zip(rows["feature"].to_pylist(), rows["unusual"].to_pylist(), strict=True):
        bad, days = found.get(name, (0, 0))
        found[name] = (bad + bool(unusual), days + 1)
    return found
