"""Everything that a person asks about a pipeline's models: who was champion when, the versions, and one version's evidence.

It reads and changes nothing. Deciding on a version belongs to the stages.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from itertools import groupby

from contrail.adapters import registry
from contrail.adapters.registry import CHALLENGER, CHAMPION, RegisteredModel, VersionInfo
from contrail.config.pipeline import Pipeline
from contrail.config.validation_errors import parse_json
from contrail.errors import MissingInputError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove, in_effect, read_moves
from contrail.methods.decision_record import REQUEST, DecisionRecord, TrainingRequest
from contrail.methods.fit import importance_of
from contrail.operations.champions import moved_elsewhere

_RECORD, _REQUESTED = "decision_record", "the tag " + REQUEST


class Reign(Frozen):
    """The champion of partitions from ``since`` to ``until``; the newest has no ``until``."""

    version: str
    since: date
    until: date | None


class Move(Frozen):
    """A move of an alias: from which partition on, when, by whom and why."""

    alias: str
    version_before: str | None
    version_after: str
    effective_from: date
    moved_at: datetime
    person: str
    reason: str
    run_id: str


class Version(Frozen):
    """A registered version. ``standing`` is champion, challenger, or the status that its last decision gave it.

    ``request`` says who asked for its training, ``decision`` what the gate said last: pass, waits or refused.
    """

    version: str
    standing: str
    made_at: datetime | None
    window: str
    request: TrainingRequest | None
    decision: str
    decided_at: str
    run_id: str


class Models(Frozen):
    """The models of a pipeline, the newest version and move first. ``note`` warns of a move outside Contrail."""

    champion: str | None
    challenger: str | None
    reigns: tuple[Reign, ...]
    last: date | None
    versions: tuple[Version, ...]
    moves: tuple[Move, ...]
    note: str
    commands: tuple[str, ...]


class Trained(Frozen):
    """How a version was trained. ``importance`` has each feature's share of the gain, the largest first."""

    version: str
    window: str
    rows: int
    rounds: int
    labels_as_of: date
    parameters: Mapping[str, int | float | str | bool]
    options: Mapping[str, int | float | str | bool]
    importance: Mapping[str, float]
    features_snapshot: int | None
    training_set_md5: str
    code_revision: str


class Evidence(Frozen):
    """A version with its newest decision record, beside the champion of that decision, or of now.

    ``page`` is the record's page among the reports of kind ``decisions``; None where it is not kept here.
    """

    version: Version
    record: DecisionRecord | None
    page: str | None
    own: Trained
    champion: Trained | None


def models(lake: Lake, pipeline: Pipeline) -> Models:
    """Read the versions of a pipeline and their history. What has no version yet has no rows."""
    moves = read_moves(lake)
    of_champion = [move for move in moves if move.alias == CHAMPION]
    holders = _holders(lake, pipeline)
    versions = registry.versions(lake.settings, pipeline.name)
    scored = lake.ends("predictions")
    return Models(
        champion=holders[CHAMPION],
        challenger=holders[CHALLENGER],
        reigns=reigns(of_champion),
        last=scored.end if scored else None,
        versions=tuple(_version(one, holders) for one in reversed(versions)),
        moves=tuple(_move(one) for one in reversed(moves)),
        note=moved_elsewhere(pipeline.name, of_champion) or "",
        commands=_next(pipeline.name, versions, holders[CHAMPION]),
    )


def reigns(moves: Sequence[AliasMove]) -> tuple[Reign, ...]:
    """The champion of each stretch of partitions, as a later rollback left it."""
    begins = sorted({move.effective_from for move in moves})
    held = [(day, move.version_after) for day in begins if (move := in_effect(moves, day))]
    stretches = [(version, next(iter(days))[0]) for version, days in groupby(held, key=lambda one: one[1])]
    ends = [since - timedelta(days=1) for _, since in stretches[1:]]
    return tuple(
        Reign(version=version, since=since, until=until)
        for (version, since), until in zip(stretches, [*ends, None], strict=bool(stretches))
    )


def evidence(lake: Lake, pipeline: Pipeline, version: str) -> Evidence:
    """Read one version's evidence.

    Raises:
        MissingInputError: when the registry has no such version.
        DataError: when the version's package or its record is damaged.
    """
    entry = registry.describe_version(lake.settings, pipeline.name, version)
    holders = _holders(lake, pipeline)
    model = registry.resolve(lake.settings, pipeline.name, entry.version)
    record, page = _record(lake, entry)
    against = record.champion.version if record and record.champion else holders[CHAMPION]
    other = None
    if against not in (None, entry.version):
        with suppress(MissingInputError):  # somebody has deleted it since
            other = registry.resolve(lake.settings, pipeline.name, str(against))
    return Evidence(
        version=_version(entry, holders),
        record=record,
        page=page,
        own=_trained(model),
        champion=_trained(other) if other else None,
    )


def _holders(lake: Lake, pipeline: Pipeline) -> dict[str, str | None]:
    return {alias: registry.alias_version(lake.settings, pipeline.name, alias) for alias in (CHAMPION, CHALLENGER)}


def _version(entry: VersionInfo, holders: Mapping[str, str | None]) -> Version:
    held = next((alias for alias, version in holders.items() if version == entry.version), None)
    return Version(
        version=entry.version,
        standing=held or entry.tags.get("status", "candidate"),
        made_at=entry.made_at,
        window=entry.tags.get("training_window", ""),
        request=request_of(entry),
        decision=entry.tags.get("decision", ""),
        decided_at=entry.tags.get("decided_at", ""),
        run_id=entry.run_id,
    )


def request_of(entry: VersionInfo) -> TrainingRequest | None:
    """Who asked for a version's training; None where nobody wrote it down.

    Raises:
        DataError: when the tag is damaged.
    """
    asked = entry.tags.get(REQUEST)
    return parse_json(TrainingRequest, asked, _REQUESTED) if asked else None


def _move(move: AliasMove) -> Move:
    return Move(**{name: getattr(move, name) for name in Move.model_fields})


def _next(name: str, versions: Sequence[VersionInfo], champion: str | None) -> tuple[str, ...]:
    if champion is not None:
        return ()
    promote = f"contrail promote -p {name}"
    return (promote,) if versions else (f"contrail train -p {name}", promote)


def _record(lake: Lake, entry: VersionInfo) -> tuple[DecisionRecord | None, str | None]:
    """The record that the version's tag names, as the reports have it, and its page."""
    kept = entry.tags.get(_RECORD, "").rpartition("/")[2]
    folder = lake.settings.reports / entry.name / "decisions"
    if not kept or not (folder / kept).exists():
        return None, None
    record = parse_json(DecisionRecord, (folder / kept).read_text(encoding="utf-8"), str(folder / kept))
    page = kept.removesuffix(".json") + ".html"
    return record, page if (folder / page).exists() else None


def _trained(model: RegisteredModel) -> Trained:
    training, package = model.package.card.training, model.package
    shares = importance_of(package.booster, package.card.features)
    return Trained(
        version=model.version,
        window=str(training.partitions),
        rows=training.rows,
        rounds=training.rounds,
        labels_as_of=training.labels_as_of,
        parameters=training.params,
        options=training.options,
        importance=dict(sorted(shares.items(), key=lambda one: -one[1])),
        features_snapshot=training.feature_snapshot,
        training_set_md5=training.training_set_md5,
        code_revision=training.code_revision,
    )
