"""Whether trainings keep the order of time: their split, the rows that judged them, and the categories that they know."""

from collections.abc import Iterator

import duckdb
import numpy as np

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, RegisteredModel, VersionInfo
from contrail.config.names import listed, quoted
from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError
from contrail.lake.lake import Lake
from contrail.methods.splits import Split, split_window
from contrail.operations.leaks.findings import LEAK, WARNING, Finding, Told, not_checked, told
from contrail.partitions import Partitions

_ROWS_A_DAY = 4
_SHOWN = 5


def of_split(lake: Lake, spec: PipelineSpec) -> Told:
    """Check the split that a training makes, and that each judged version was judged on later rows."""
    window = _window(spec)
    findings = [*_of_split(spec, split_window(window, spec.train.validation_days, spec.train.embargo_days), window)]
    judged = [one for one in registry.versions(lake.settings, spec.name) if "decision_window" in one.tags]
    findings += [found for one in judged for found in _of_decision(one)]
    return told(f"A training of {len(window)} days, and {len(judged)} decisions on versions.", findings)


def _window(spec: PipelineSpec) -> Partitions:
    """A training window of the spec's length."""
    first = spec.first_partition
    days = max(spec.train.window_days, spec.train.validation_days + spec.train.embargo_days + 1)
    return Partitions(first, Partitions(first, first).shift(days - 1).end)


def _of_split(spec: PipelineSpec, split: Split, window: Partitions) -> Iterator[Finding]:
    """Ask the split that the stage train uses for its rows, and look at their days."""
    days = np.repeat(np.array(list(window), "datetime64[D]"), _ROWS_A_DAY)
    fit, check = (days[rows] for rows in split.masks(days))
    mixed = int((check <= fit.max()).sum()) if len(fit) and len(check) else 0
    if mixed:
        says = (
            f"{mixed:,} of {len(check):,} rows for validation are not after the last row for fitting, {fit.max()}: "
            "the split is not one of time"
        )
        yield Finding(check="split", level=LEAK, subject="train", says=says, rows=mixed)
    if spec.train.embargo_days < spec.label.mature_after_days:
        says = (
            f"train.embargo_days is {spec.train.embargo_days}, and labels arrive until {spec.label.mature_after_days} days "
            "after their day: labels of the last days for fitting became known within the validation"
        )
        yield Finding(check="split", level=WARNING, subject="train", says=says)


def _of_decision(version: VersionInfo) -> Iterator[Finding]:
    trained, judged = (version.tags.get(name) for name in ("training_window", "decision_window"))
    if trained and judged and Partitions.from_text(judged).start <= Partitions.from_text(trained).end:
        says = f"was trained on {trained} and judged on {judged}: it had seen these rows"
        yield Finding(check="split", level=LEAK, subject=f"version {version.version}", says=says)


def of_encoding(connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec) -> Told:
    """Check that champion and challenger know no category that occurs after their training only."""
    names = spec.features.categories
    models = list(_models(lake, spec.name)) if names else []
    if not models:
        return not_checked("There is no champion yet." if names else "No feature is a category.")
    findings = [found for model in models for found in _of_categories(connection, lake, spec, model)]
    return told(f"Categories of {', '.join(f'version {model.version}' for model in models)}.", findings)


def _models(lake: Lake, name: str) -> Iterator[RegisteredModel]:
    for version in sorted(
        {found for alias in (CHAMPION, CHALLENGER) if (found := registry.alias_version(lake.settings, name, alias))}
    ):
        yield registry.resolve(lake.settings, name, version)


def _of_categories(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, model: RegisteredModel
) -> Iterator[Finding]:
    training, categories = model.package.card.training, model.package.card.categories
    names = [name for name in categories if name in spec.features.columns]
    if not names:
        return
    view = f"trained_{model.version}"
    try:
        lake.view(connection, view, "features", training.partitions, names, training.feature_snapshot)
    except MissingInputError:  # its snapshot has expired
        lake.view(connection, view, "features", training.partitions, names)
    lists = ", ".join(f"list(DISTINCT {quoted(name)})" for name in names)
    (found,) = connection.sql(f"SELECT {lists} FROM {view}").fetchall()
    for name, seen in zip(names, found, strict=True):
        if later := sorted(set(categories[name]) - set(seen or ())):
            shown = listed(later[:_SHOWN]) if name not in spec.personal else f"{len(later)} values"
            says = (
                f"version {model.version} knows {shown}, which its training of {training.partitions} did not have: its "
                "encoding was fitted on other rows"
            )
            yield Finding(check="encoding", level=LEAK, subject=name, says=says, rows=len(later))
