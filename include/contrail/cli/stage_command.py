"""Make the command of a verb from the options of its stage, so that an option is written once.

What a command prints belongs to its desk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

import typer
from pydantic.fields import FieldInfo

from contrail.cli.help import command
from contrail.cli.options import (
    NAME,
    SWITCH,
    TEXT,
    FromOption,
    JsonOption,
    NewestOption,
    OnOption,
    PipelineOption,
    RunOption,
    ToNewestOption,
    ToOption,
    parse_set,
)
from contrail.cli.printing import print_json, progress
from contrail.errors import SpecError
from contrail.imports import quick_imports
from contrail.partitions import Partitions
from contrail.stages.flags import command_line_options, is_repeatable
from contrail.stages.options import Flag

if TYPE_CHECKING:
    from contrail.stages.results import StageResult


@dataclass(frozen=True)
class Call:
    """A call of a stage from the command line.

    Args:
        verb: The stage.
        pipeline: Its pipeline.
        partitions: None where the command finds them itself.
        options: The given options, for ``contrail.stages.options.options_of``.
        run_id: The run's name, if the call gives one.
        as_json: Whether a script reads the result.
        open_end: Whether the call names a first day and no last one.
    """

    verb: str
    pipeline: str
    partitions: Partitions | None
    options: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    as_json: bool = False
    open_end: bool = False

    def on(self, partitions: Partitions) -> "Call":
        """The same call for these partitions."""
        return replace(self, partitions=partitions)

    def with_options(self, **options: Any) -> "Call":
        """The same call with more options, or others."""
        return replace(self, options={**self.options, **options})

    def run(self) -> "StageResult[Any]":
        """Run the stage, and show its progress. Print the result if a script reads it.

        Raises:
            ContrailError: as the stage does.
        """
        with quick_imports():
            from contrail.stages.runner import run_stage

        assert self.partitions is not None
        with progress(f"{self.verb} {self.pipeline} {self.partitions}") as show:
            result = run_stage(
                self.verb, self.pipeline, self.partitions, run_id=self.run_id, options=self.options, progress=show
            )
        if self.as_json:
            print_json(result.as_dict())
        return result


Handle = Callable[[Call], None]
Days = Literal["range", "newest", "to_newest", "day"]
_METAVARS: Mapping[Any, str] = {bool: SWITCH, str: NAME, str | None: TEXT, Path | None: "<file>"}


def stage_command(
    app: typer.Typer, verb: str, panel: str, about: str, days: Days = "range"
) -> Callable[[Handle], Handle]:
    """Register the command of a verb; the decorated function runs the call and prints what a person reads.

    Args:
        app: The desk.
        verb: A stage of ``contrail.stages.options.OPTIONS``.
        panel: Where ``contrail --help`` lists it.
        about: The help, its first paragraph a sentence.
        days: ``range`` needs --from, ``newest`` can do without, ``to_newest`` without each, ``day`` needs --on.
    """

    def register(handle: Handle) -> Handle:
        def run(**given: Any) -> None:
            handle(_call(verb, given))

        own = [_parameter(name, *option) for name, option in command_line_options(verb).items()]
        parameters = [
            _shared("pipeline", PipelineOption),
            *_DAYS[days],
            *own,
            _shared("run_id", RunOption, None),
            _shared("as_json", JsonOption, False),
        ]
        run.__doc__ = about
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command(app, verb, panel)(run)
        return handle

    return register


def _shared(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_TO = _shared("to", ToOption, None)
_DAYS: Mapping[Days, tuple[Parameter, ...]] = {
    "range": (_shared("from_", FromOption), _TO),
    "newest": (_shared("from_", NewestOption, None), _TO),
    "to_newest": (_shared("from_", NewestOption, None), _shared("to", ToNewestOption, None)),
    "day": (_shared("on", OnOption),),
}


def _parameter(name: str, field: FieldInfo, flag: Flag) -> Parameter:
    """An option of a stage as a parameter of its command."""
    kind, default = field.annotation, field.default
    words: dict[str, Any] = {"help": field.description, "metavar": _METAVARS.get(kind)}
    if is_repeatable(field):
        words["metavar"] = "<name=value>" if get_origin(kind) is dict else NAME
        kind, default = list[str], []
    if flag.default:
        default, words["show_default"] = None, flag.default
    return _shared(name, Annotated[kind, typer.Option(flag.name, **words)], default)


def _call(verb: str, given: Mapping[str, Any]) -> Call:
    first, last = given.get("on", given.get("from_")), given.get("to")
    if last is not None and first is None:
        raise SpecError("--to needs --from: give both days, or neither")
    options = {
        name: parse_set(given[name]) if get_origin(field.annotation) is dict else given[name]
        for name, (field, _) in command_line_options(verb).items()
        if given[name] not in (None, [])
    }
    return Call(
        verb=verb,
        pipeline=given["pipeline"],
        partitions=None if first is None else Partitions.parse(first, last),
        options=options,
        run_id=given["run_id"],
        as_json=given["as_json"],
        open_end=first is not None and last is None and "on" not in given,
    )
