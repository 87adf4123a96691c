"""What would flip a prediction's decision, and how a person writes another value of a feature."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.errors import DataError, SpecError
from contrail.frozen import Frozen
from contrail.lake.lake import Lake
from contrail.methods import counterfactuals
from contrail.methods.counterfactuals import FEATURES, VALUES, Flip, steps_of
from contrail.operations.one_prediction import changed_rows
from contrail.operations.receipt import traced

_MOST = 5  # flips of each kind that are shown
_UNKNOWN = ("", "null", "unknown")


class Change(Frozen):
    """Changes that flip the decision, with the score that they give.

    ``size`` adds up, over the features, the share of the training window's rows between the old and the new value. A
    category, and a value that was unknown, count 1.
    """

    changes: Mapping[str, float | str]
    before: Mapping[str, float | str | None]
    score: float
    size: float


class Flips(Frozen):
    """What flips a decision. ``tried`` says what was looked at, also where nothing was found."""

    flagged: bool | None
    threshold: float | None
    single: tuple[Change, ...]
    double: tuple[Change, ...]
    tried: str


def parse_changes(spec: PipelineSpec, given: Sequence[str]) -> dict[str, Any]:
    """Read ``["weight=9.5", "depot=B"]``. A value without text, ``null`` and ``unknown`` mean that it is unknown.

    Raises:
        SpecError: for a text that is no such pair.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals):
            raise SpecError(
                f"'{text}' changes nothing: write feature=value, for example {next(iter(spec.features.columns))}=…"
            )
        column = spec.features.columns.get(name)
        found[name] = None if value in _UNKNOWN else _number(value) if column and column.kind == "number" else value
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def flips_of(
    lake: Lake,
    pipeline: Pipeline,
    day: date | None,
    key: Mapping[str, object],
    as_of: datetime | None = None,
) -> Flips:
    """Find the smallest changes of one or two features that flip the decision of a prediction.

    A feature takes values that the model's training window had. Columns of the key stay, as another key is another row; so
    do personal features. Arguments and errors are those of ``traced``.
    """
    spec = pipeline.spec
    receipt, package, rows = traced(pipeline, lake, day, key, as_of=as_of)
    if spec.task != "binary":
        return _nothing(f"{spec.name} predicts a number, so there is no decision to flip.")
    if rows is None:
        return _nothing("Its features have expired, so nothing can be computed again.")
    own = rows.select(package.features).to_pylist()[0]
    free = [name for name in package.features if name not in spec.key and name not in spec.personal]
    try:
        steps = [steps_of(package, name, own[name]) for name in free]
    except DataError as error:  # the profile of the training window is of another version of Contrail
        return _nothing(f"What would flip the decision was not looked for: {error}")
    threshold = package.threshold(spec.score)
    single, double = counterfactuals.flips(package, package.matrix(rows), steps, threshold, _MOST)
    flagged = bool(receipt.prediction >= threshold)

    def shown(found: Sequence[Flip]) -> tuple[Change, ...]:
        made = [_change(flip, own) for flip in found]
        # With the values as they are written, and not as the search has rounded them.
        scores = [float(package.predict(changed_rows(rows, spec, package, one.changes))[0]) for one in made]
        scored = (one.model_copy(update={"score": score}) for one, score in zip(made, scores, strict=True))
        return tuple(one for one in scored if (one.score >= threshold) != flagged)

    ones, twos = shown(single), shown(double)
    return Flips(
        flagged=flagged, threshold=threshold, single=ones, double=twos, tried=_tried(len(free), bool(ones or twos))
    )


def _tried(features: int, found: bool) -> str:
    nothing = "" if found else "Nothing flips it. "
    return (
        f"{nothing}Each of {features} features was tried alone, with the values that the training window had, and pairs of the "
        f"{FEATURES} that move the score most, with {VALUES} values each. Key columns and personal features stayed. "
        "Features that move together in the data were changed one by one, so a change may not exist in the world."
    )


def _nothing(why: str) -> Flips:
    return Flips(flagged=None, threshold=None, single=(), double=(), tried=why)


def _change(flip: Flip, own: Mapping[str, Any]) -> Change:
    return Change(
        changes={step.feature: step.value for step in flip.steps},
        before={step.feature: own[step.feature] for step in flip.steps},
        score=flip.score,
        size=flip.size,
    )
