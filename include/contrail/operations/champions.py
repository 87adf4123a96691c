"""Answers about champions: the version of a day, and the days that would judge a new version.

Moving the alias belongs to the stages.
"""

from datetime import UTC, date, datetime, time, timedelta

from contrail.adapters.registry import CHAMPION, alias_version
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.config.training_windows import TrainingWindows, training_windows
from contrail.errors import MissingInputError, SpecError
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove, at_clock, in_effect, read_moves
from contrail.stages.champion import missing_champion


def champion_moves(lake: Lake) -> list[AliasMove]:
    """Every move of the alias ``champion``, oldest first."""
    return read_moves(lake, CHAMPION)


def champion_of(name: str, moves: list[AliasMove], on: str, clock: bool = False) -> AliasMove:
    """The move that made the champion of a partition, or, with ``clock``, of the end of a calendar day (UTC).

    Raises:
        SpecError: if ``on`` is not a date.
        MissingInputError: if there was none; the message names the first.
    """
    try:
        day = date.fromisoformat(on)
    except ValueError as error:
        raise SpecError(f"--on {on}: not a date. Write it as YYYY-MM-DD, for example 2013-11-01.") from error
    found = at_clock(moves, datetime.combine(day, time.max, UTC)) if clock else in_effect(moves, day)
    if found is None:
        raise MissingInputError(f"pipeline '{name}' had no champion {_asked(day, clock)}: {_first(moves, name, clock)}")
    return found


def _asked(day: date, clock: bool) -> str:
    return f"at the end of {day} (UTC)" if clock else f"for partition {day}"


def _first(moves: list[AliasMove], name: str, clock: bool) -> str:
    if not moves:
        return f"no move is recorded. Run: contrail promote --pipeline {name}"
    first = moves[0] if clock else min(moves, key=lambda move: move.effective_from)
    return (
        f"the first was version {first.version_after}, for partitions from {first.effective_from}, made champion at "
        f"{first.moved_at:%Y-%m-%d %H:%M} UTC"
    )


def moved_elsewhere(name: str, moves: list[AliasMove]) -> str | None:
    """A warning when somebody moved the alias in MLflow itself, which leaves no record; None otherwise."""
    now, recorded = alias_version(settings(), name, CHAMPION), moves[-1].version_after if moves else None
    if now == recorded:
        return None
    if now is None:
        return missing_champion(settings(), name, moves)
    return (
        f"The registry says that version {now or 'none'} is champion; the last recorded move was to "
        f"{recorded or 'none'}. The alias was moved outside Contrail. Use contrail promote or contrail rollback-model."
    )


def newest_windows(spec: PipelineSpec, lake: Lake) -> TrainingWindows:
    """The windows of the newest training that the features and labels allow, and of its gate.

    Raises:
        MissingInputError: if there are no features or labels.
        SpecError: if there are fewer days than a training and its gate take.
    """
    last = []
    for name in ("features", f"validated_{spec.label.table}"):
        days = lake.ends(name)
        if days is None:
            raise MissingInputError(
                f"{spec.name}: {name} has no partition, so no version can be trained or judged. "
                f"To see which command comes next: contrail status --pipeline {spec.name}"
            )
        last.append(days.end)
    return training_windows(spec, min(last) + timedelta(days=1))
