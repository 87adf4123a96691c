"""The options of each stage beside its pipeline and partitions: one frozen model a stage.

An option is written only here. The command line, the operators' arguments and the documentation derive from these
fields. The module is light, so that parsing a DAG stays fast. What an option does belongs to its stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from contrail.config.validation_errors import explain
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail.methods.governor import Asked


@dataclass(frozen=True)
class Flag:
    """How the command line spells an option and documents its default, where the field does not say it.

    Args:
        name: The flag, for example ``--set``. Empty: the field's name with dashes.
        default: What the command takes without the flag, in words. Then it leaves the option out.
        internal: The option is for calls from code alone.
    """

    name: str = ""
    default: str = ""
    internal: bool = False


INTERNAL = Flag(internal=True)


class StageOptions(Frozen):
    """Options of every stage."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    backfill: Annotated[str | None, INTERNAL] = Field(default=None, description="The backfill that the run is part of.")


class CutoffOptions(StageOptions):
    """Options of the stages that read landed tables."""

    as_of_cutoff: bool = Field(
        default=False, description="Take what is known at the cut-off of each day, as the daily DAG does."
    )


class IngestOptions(CutoffOptions):
    """Options of ``ingest``."""

    leave_missing: Annotated[bool, INTERNAL] = Field(
        default=False, description="Leave a day without a file as it is, instead of refusing it."
    )


class ValidateOptions(CutoffOptions):
    """Options of ``validate``."""

    leave_missing: Annotated[bool, INTERNAL] = Field(
        default=False, description="Leave a day without landed rows as it is, instead of refusing it."
    )


class FeaturesOptions(StageOptions):
    """Options of ``features``."""

    each_partition: Annotated[bool, INTERNAL] = Field(
        default=False, description="Make one commit a partition instead of one for the range."
    )


class PersonOptions(StageOptions):
    """Options of a stage that a person may run in their own name."""

    person: Annotated[str | None, Flag(default="you")] = Field(
        default=None, description="Who asks or answers, for the record."
    )
    reason: str | None = Field(default=None, description="Why, for the record.")


class TrainOptions(PersonOptions):
    """Options of ``train``."""

    params: Annotated[dict[str, Any], Flag("--set")] = Field(
        default={},
        description="Change a training setting or an XGBoost parameter: name=value, or a JSON object. Repeatable.",
    )
    registered: Annotated[bool, Flag("--register/--no-register")] = Field(
        default=True, description="Put the model into the registry as a candidate."
    )
    metrics_path: Annotated[Path | None, Flag("--metrics")] = Field(
        default=None, description="Also write the metrics to this JSON file."
    )
    parent: Annotated[str | None, INTERNAL] = Field(
        default=None, description="The study's run in MLflow, of a training that a search asks for."
    )


class TuneOptions(PersonOptions):
    """Options of ``tune``."""

    trials: Annotated[int | None, Flag(default="tune.trials of the pipeline")] = Field(
        default=None, ge=2, le=10_000, description="How many trials the study has at its end."
    )
    workers: Annotated[int | None, Flag(default="a quarter of the processors, 1 on a GPU")] = Field(
        default=None, ge=1, le=256, description="How many trials run at a time. They share the processors."
    )
    budget_seconds: Annotated[float | None, Flag(default="tune.budget_seconds of the pipeline")] = Field(
        default=None,
        gt=0,
        le=31 * 86_400,
        description="No trial begins that would end later than so many seconds from now. Trial 0 always runs.",
    )
    params: Annotated[dict[str, Any], Flag("--set")] = Field(
        default={},
        description="Hold a training setting or an XGBoost parameter in every trial: name=value, or a JSON object. Repeatable.",
    )
    registered: Annotated[bool, Flag("--register/--no-register")] = Field(
        default=True, description="Train the best trial on the whole range, and register it as a candidate."
    )
    html: Annotated[Path | None, Flag("--html")] = Field(
        default=None, description="Also write the report to this file."
    )


class PromoteOptions(PersonOptions):
    """Options of ``promote``."""

    model: str = Field(default="latest", description="The version to judge: a number, champion, challenger or latest.")
    approval: Annotated[Literal["approved", "refused", "awaited", "none"], Flag(default="approved, by you")] = Field(
        default="none",
        description="For an orchestrator: the approver's answer. awaited: the answer is still to come. none: there is no "
        "approver. With this option, the command notifies nobody.",
    )


class ScoreOptions(StageOptions):
    """Options of ``score``."""

    model: str = Field(
        default="champion",
        description="champion, challenger, latest, a version number, or as-of: the champion as of each partition.",
    )
    each_partition: Annotated[bool, INTERNAL] = Field(
        default=False, description="Make one commit a partition instead of one for the range."
    )


class DriftOptions(StageOptions):
    """Options of ``drift``."""

    model: str = Field(default="champion", description="champion, challenger or a version number.")
    report: Literal["always", "alarm", "never"] = Field(
        default="alarm", description="When to write a report. alarm: when drift begins, or for several days."
    )


class PerformanceOptions(StageOptions):
    """Options of ``performance``."""

    only_stale: bool = Field(
        default=False, description="Measure only the days that were never measured, or whose inputs changed since."
    )


class GovernOptions(PersonOptions):
    """Options of ``govern``."""

    asked: Annotated[Asked | None, Flag(default="by-hand with --reason, else monitor")] = Field(
        default=None, description="Who asks."
    )
    insist: bool = Field(
        default=False, description="Overrule the cool-down and missing labels; the budget still refuses."
    )
    training: str | None = Field(default=None, description="The run of the DAG train that waits for the decision.")


class PublishOptions(StageOptions):
    """Options of ``publish``."""

    tables: Annotated[tuple[str, ...], Flag("--table")] = Field(
        default=(), description="predictions, performance or drift. Repeatable. By default all."
    )
    again: bool = Field(default=False, description="Also replace what is recorded as published.")


class RollbackModelOptions(PersonOptions):
    """Options of ``rollback-model``."""

    to: str | None = Field(default=None, description="Version that becomes champion again.")
    take_back: str | None = Field(default=None, description="Version to take back, where another would be refused.")


OPTIONS: Mapping[str, type[StageOptions]] = {
    "ingest": IngestOptions,
    "validate": ValidateOptions,
    "features": FeaturesOptions,
    "train": TrainOptions,
    "tune": TuneOptions,
    "promote": PromoteOptions,
    "score": ScoreOptions,
    "drift": DriftOptions,
    "performance": PerformanceOptions,
    "govern": GovernOptions,
    "publish": PublishOptions,
    "rollback-model": RollbackModelOptions,
}


def options_of(verb: str, values: Mapping[str, Any] | StageOptions | None = None) -> StageOptions:
    """The options of a stage, checked.

    Raises:
        SpecError: for a wrong value, and for a key that the stage does not have, with the nearest that it has.
    """
    model = OPTIONS.get(verb, StageOptions)
    if isinstance(values, StageOptions):
        if type(values) is not model:
            raise SpecError(f"{verb} takes {model.__name__}, not {type(values).__name__}")
        return values
    try:
        return model.model_validate(dict(values or {}))
    except ValidationError as error:
        raise SpecError(explain(f"the call of {verb}", error, model)) from error
