"""What building features costs: a day is built without any group of features, with each group alone, and whole.

The pipeline's own code builds it in a scratch folder, on the engine of the stage. Nothing is published. Seconds belong to
a group, because what describes a key is computed together.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from statistics import median
from typing import Literal

from upath import UPath

from contrail.adapters.engine import forget_kept, session_of
from contrail.config.names import listed, quoted
from contrail.config.pipeline import Pipeline
from contrail.files import remove_folder
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.lake.parquet import parquet_files
from contrail.lake.sessions import session
from contrail.methods.feature_groups import Group, watched
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.features import build_from, check_entities, exceeds_memory, sources
from contrail.stages.options import FeaturesOptions
from contrail.stages.runner import new_run_id

VERB = "inspect-features"
REPEATS = 3
# The group of what a pipeline makes of a row itself, without describe().
OF_THE_ROW = "the row itself"


class GroupCost(Frozen):
    """What a group of features costs: the seconds that a day's build takes more with it than without any.

    ``seconds`` is the median of the repeats, between the least and the most.
    """

    name: str
    features: tuple[str, ...]
    seconds: float
    least_seconds: float
    most_seconds: float


class BuildCosts(Frozen):
    """The costs of a day, of the groups in the order in which they were built.

    ``whole_seconds`` and ``none_seconds`` are those of its build with all groups, and with none of them. ``unit`` says whose
    seconds: of processors where the engine runs in this process, else of a clock. Equal builds differ by
    ``noise_seconds`` at most; a group below that costs nothing that can be measured.
    """

    day: date
    repeats: int
    unit: Literal["processor seconds", "seconds"]
    whole_seconds: float
    none_seconds: float
    noise_seconds: float
    groups: tuple[GroupCost, ...]

    def of(self, feature: str) -> tuple[GroupCost, ...]:
        """The groups that a feature is made of."""
        return tuple(one for one in self.groups if feature in one.features)

    def seconds(self, feature: str) -> float:
        """What the groups of a feature cost together."""
        return sum(one.seconds for one in self.of(feature))


def build_costs(pipeline: Pipeline, lake: Lake, day: date, progress: Callable[[str], None]) -> BuildCosts:
    """Measure what building each group of features of a day costs.

    Raises:
        MissingInputError: when the day is not validated.
        SpecError, EngineError: as the stage features.
    """
    days = Partitions(day, day)
    check_entities(pipeline, lake, days)
    run = StageRun(VERB, pipeline, days, lake.settings, lake, new_run_id(), FeaturesOptions(), progress)
    with _built(run) as built:
        return costs_of(tuple(pipeline.spec.features.columns), day, built, progress, REPEATS, _unit(run))


def costs_of(
    names: tuple[str, ...],
    day: date,
    built: "Built",
    progress: Callable[[str], None],
    repeats: int,
    unit: Literal["processor seconds", "seconds"],
) -> BuildCosts:
    """Time builds, and see which features each group makes."""
    groups = built.groups()
    progress(f"building {day} with each of {len(groups)} groups of features alone, {repeats} times")
    # Round by round, so that what else the machine does meets every group alike.
    seconds: dict[object, list[float]] = {}
    digests: dict[object, Mapping[str, int]] = {}
    plans: dict[object, tuple[Collection[Group], Collection[str]]] = {
        "whole": ((), names),
        "none": (groups, names),
        "bare": (groups, ()),
        **{group: ([one for one in groups if one != group], names) for group in groups},
    }
    for _ in range(repeats):
        for key, (left_out, columns) in plans.items():
            taken, digests[key] = built.build(left_out, columns)
            seconds.setdefault(key, []).append(taken)
    made = features_of(names, groups, digests, lambda group: built.build([group], names)[1])
    of_groups = [_cost(_label(group, groups), made[group], seconds[group], seconds["none"]) for group in groups]
    own = tuple(name for name in names if not any(name in features for features in made.values()))
    of_groups += [_cost(OF_THE_ROW, own, seconds["none"], seconds["bare"])] if own else []
    noise = max(max(own) - min(own) for own in (seconds["none"], seconds["bare"]))
    return BuildCosts(
        day=day,
        repeats=repeats,
        unit=unit,
        whole_seconds=round(median(seconds["whole"]), 3),
        none_seconds=round(median(seconds["none"]), 3),
        noise_seconds=round(noise, 3),
        groups=tuple(of_groups),
    )


def features_of(
    names: tuple[str, ...],
    groups: Collection[Group],
    digests: Mapping[object, Mapping[str, int]],
    without: Callable[[Group], Mapping[str, int]],
) -> dict[Group, tuple[str, ...]]:
    """See which features each group makes: those that change when the group alone is there.

    A feature that needs two groups does not change with one of them. It changes when one of them is left out.
    """
    none, whole = digests["none"], digests["whole"]
    made = {group: [name for name in names if digests[group][name] != none[name]] for group in groups}
    known = {name for own in made.values() for name in own}
    joint = [name for name in names if name not in known and whole[name] != none[name]]
    for group in groups if joint else ():
        then = without(group)
        made[group] += [name for name in joint if then[name] != whole[name]]
    return {group: tuple(own) for group, own in made.items()}


def _label(group: Group, groups: Collection[Group]) -> str:
    """The key of a group, and its first column where a key has several groups."""
    alike = [one for one in groups if one.by == group.by]
    return group.name if len(alike) == 1 else f"{group.name}: {group.columns[0]} …"


def _cost(name: str, features: tuple[str, ...], taken: list[float], usual: list[float]) -> GroupCost:
    more = [one - other for one, other in zip(taken, usual, strict=True)]
    low, middle, high = (round(max(0.0, one), 3) for one in (min(more), median(more), max(more)))
    return GroupCost(name=name, features=features, seconds=middle, least_seconds=low, most_seconds=high)


@dataclass
class Built:
    """Builds of one day in a scratch folder."""

    run: StageRun[FeaturesOptions]
    tables: Mapping[str, object]

    def groups(self) -> tuple[Group, ...]:
        """The groups that the pipeline asks for. It is the first build, which nobody times."""
        with watched() as watcher:
            self._build(self.run)
        return tuple(watcher.groups)

    def build(self, left_out: Collection[Group], columns: Collection[str]) -> tuple[float, Mapping[str, int]]:
        """Build without groups, and only some features. Return the seconds and a digest of each feature."""
        spec = self.run.pipeline.spec
        wanted = {name: column for name, column in spec.features.columns.items() if name in columns}
        fewer = spec.model_copy(update={"features": spec.features.model_copy(update={"columns": wanted})})
        run = replace(self.run, pipeline=replace(self.run.pipeline, spec=fewer))
        clock = time.process_time if _unit(run) == "processor seconds" else time.monotonic
        with watched(left_out):
            started = clock()
            self._build(run)
            taken = clock() - started
        return taken, self._digests(tuple(wanted))

    def _build(self, run: StageRun[FeaturesOptions]) -> None:
        try:
            build_from(run, dict(self.tables), "built")  # type: ignore[arg-type]
        finally:
            forget_kept(session_of(run.settings))

    def _digests(self, names: tuple[str, ...]) -> Mapping[str, int]:
        if not names:
            return {}
        # Hashed twice: of the same value in all rows, once would leave nothing.
        keys = listed((PARTITION, *self.run.pipeline.spec.key))
        each = ", ".join(f"bit_xor(hash(hash({keys}, {quoted(name)})))" for name in names)
        files = sorted(str(path) for path in (self.run.staging / "built").glob("**/*.parquet"))
        with session(self.run.settings) as connection:
            connection.register("built", parquet_files(files))
            (found,) = connection.sql(f"SELECT {each} FROM built").fetchall()
        return dict(zip(names, found, strict=True))


@contextmanager
def _built(run: StageRun[FeaturesOptions]) -> Iterator[Built]:
    snapshots = {name: run.lake.snapshot_id(name) for name in (f"validated_{t}" for t in run.pipeline.spec.tables)}
    session_of(run.settings, sparing=exceeds_memory(run))
    try:
        yield Built(run, sources(run, snapshots))
    finally:
        remove_folder(UPath(run.staging))


def _unit(run: StageRun[FeaturesOptions]) -> Literal["processor seconds", "seconds"]:
    """Only an engine in this process spends this process's time."""
    return "processor seconds" if run.settings.engine.kind == "sail" else "seconds"
