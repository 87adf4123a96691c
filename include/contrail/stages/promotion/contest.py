"""Who is judged against whom, and whether the rows of the range may judge them."""

from dataclasses import dataclass
from datetime import timedelta

from contrail.adapters import registry
from contrail.adapters.registry import CHAMPION, RegisteredModel, VersionInfo
from contrail.errors import DataError, MissingInputError
from contrail.lake.model_history import read_moves
from contrail.methods.splits import out_of_time_window
from contrail.partitions import as_ranges
from contrail.stages.base import StageRun
from contrail.stages.champion import missing_champion
from contrail.stages.options import PromoteOptions


@dataclass(frozen=True)
class Contest:
    """Who is judged against whom; no incumbent when the registry has no champion, or one that cannot be read.

    ``again``: the challenger is champion already, and is judged against the champion that it replaced. ``unread`` is
    the version of a champion that cannot be read, and ``why_unread`` says why.
    """

    challenger: RegisteredModel
    entry: VersionInfo
    incumbent: RegisteredModel | None
    again: bool = False
    unread: str | None = None
    why_unread: str = ""

    @property
    def models(self) -> list[RegisteredModel]:
        """The challenger and, where there is one, the incumbent."""
        return [self.challenger, *([self.incumbent] if self.incumbent else [])]

    @property
    def against(self) -> str | None:
        """The champion's version, whether it can be read or not."""
        return self.incumbent.version if self.incumbent else self.unread


def contest_of(run: StageRun[PromoteOptions]) -> Contest:
    """The version that the options name, against the champion.

    Raises:
        MissingInputError: when there is no such model.
    """
    name, settings = run.pipeline.name, run.settings
    challenger = registry.resolve(settings, name, run.options.model)
    entry = registry.describe_version(settings, name, challenger.version)
    champion = registry.alias_version(settings, name, CHAMPION)
    again = champion == challenger.version
    if again:
        # The version passed before. Compare it with the same version as then.
        champion = entry.tags.get("decision_against") or None
    if champion is None:
        return Contest(challenger, entry, None, again, why_unread="" if again else _why_gone(run))
    try:
        return Contest(challenger, entry, registry.resolve(settings, name, champion), again)
    except (DataError, MissingInputError) as error:
        # A champion that is damaged or gone must not be the last one there ever was.
        return Contest(challenger, entry, None, again, champion, f"the champion cannot be read: {error}")


def _why_gone(run: StageRun[PromoteOptions]) -> str:
    moves = read_moves(run.lake, CHAMPION)
    gone = missing_champion(run.settings, run.pipeline.name, moves)
    return f"the champion, version {moves[-1].version_after}, is gone from the registry" if gone else ""


def check_out_of_time(run: StageRun[PromoteOptions], contest: Contest) -> None:
    """Refuse to judge a model on rows that it has seen.

    Raises:
        DataError: naming the first partition that may judge.
    """
    spec = run.pipeline.spec
    for model in contest.models:
        training = model.package.card.training
        earliest = out_of_time_window(training.end, training.embargo_days, spec.gate.window_days)
        if run.partitions.start < earliest.start:
            raise DataError(
                f"{model.name} version {model.version} was trained on {training.partitions} with an embargo of "
                f"{training.embargo_days} days. It may have seen {run.partitions}, so these rows cannot judge it. "
                f"Nothing was decided. Judge on partitions from {earliest.start}, for example: contrail "
                f"promote --pipeline {spec.name} --from {earliest.start} --to {earliest.end}"
            )


def check_inputs(run: StageRun[PromoteOptions]) -> None:
    """Check that every day with entities has features, and that the label's table reaches the last day.

    Raises:
        MissingInputError: naming what is missing and what to run.
    """
    spec, name = run.pipeline.spec, run.pipeline.name
    entities = run.lake.partitions(f"validated_{spec.entities}", run.partitions)
    features = run.lake.partitions("features", run.partitions)
    missing = [day for day in entities if day not in features]
    if missing or not features:
        ranges = ", ".join(str(days) for days in as_ranges(missing or run.partitions))
        raise MissingInputError(
            f"{name}: no features for {ranges}. Nothing was decided. Run: contrail features --pipeline {name} "
            f"--from {run.partitions.start} --to {run.partitions.end}"
        )
    labels = run.lake.ends(f"validated_{spec.label.table}")
    if labels is None or labels.end < run.partitions.end:
        raise MissingInputError(
            f"{name}: labels come from validated_{spec.label.table}, whose last partition is {labels.end if labels else 'none'}; "
            f"{run.partitions.end} is not labelled yet. Nothing was decided. Validate {spec.label.table} up to "
            f"{run.partitions.end + timedelta(days=spec.label.mature_after_days)}, or end the range earlier."
        )
