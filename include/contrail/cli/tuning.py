"""The command that searches for better parameters."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import typer
from rich.markup import escape
from upath import UPath

from contrail.cli import printing
from contrail.cli.help import MODELS
from contrail.cli.printing import done, indented, print_json, progress, say
from contrail.cli.stage_command import Call, stage_command
from contrail.cli.stages import newest_windows_of
from contrail.config.settings import current_person
from contrail.errors import SpecError
from contrail.imports import quick_imports
from contrail.partitions import Partitions
from contrail.stages.options import TuneOptions, options_of

if TYPE_CHECKING:
    from contrail.config.tune_spec import Value
    from contrail.stages.details import TuneDetails
    from contrail.stages.results import StageResult

app = typer.Typer()


@stage_command(
    app,
    "tune",
    MODELS,
    """Search for better parameters of XGBoost, and train the best as a candidate.

    Each trial trains on the days before a fold and is measured on the days after it, by the metric of the gate. The first
    trial has today's parameters. `tune` in `pipeline.yaml` has the folds and the values that are tried.

    A trial is kept as soon as it has ended. After Ctrl-C, a kill or the end of `--budget-seconds`, the same command goes on.
    Trial 0, with today's parameters, always runs.

    The champion stays: `contrail promote` judges the candidate. Nothing is registered when today's parameters are the best.
    """,
    days="to_newest",
)
def tune(call: Call) -> None:
    """Tune in the name of the person who calls, unless an orchestrator names another."""
    call = _with_days(call)
    if not call.options.get("person"):
        call = call.with_options(person=current_person())
    options = cast(TuneOptions, options_of("tune", call.options))
    printing.check_asked(options.html, "--html")
    assert call.partitions is not None
    with quick_imports():
        from contrail.operations.tune import tune as search
    try:
        with progress(f"tune {call.pipeline} {call.partitions}") as show:
            result = search(call.pipeline, call.partitions, options, run_id=call.run_id, progress=show)
    except KeyboardInterrupt:
        say("Stopped. The trials that have ended are kept: the same command goes on.", printing.err)
        raise
    if options.html is not None:
        printing.write_asked(options.html, UPath(result.reports[0]).read_text(encoding="utf-8"), "--html")
    if call.as_json:
        print_json(result.as_dict())
    else:
        _say(call, result)


def _with_days(call: Call) -> Call:
    """The days of a training now, where the call names none; and their end, where it names no last one."""
    if call.partitions is None:
        return call.on(newest_windows_of(call.pipeline).train)
    if not call.open_end:
        return call
    first, last = call.partitions.start, newest_windows_of(call.pipeline).train.end
    if last < first:
        raise SpecError(
            f"--from {first} lies after {last}, the last day that a training now may read. Choose an earlier day."
        )
    return call.on(Partitions(first, last))


def _say(call: Call, result: "StageResult[TuneDetails]") -> None:
    from contrail.operations.tune import own_names
    from contrail.stages.sentences import sentence

    details, name = result.details, call.pipeline
    done(escape(sentence("tune", result)))
    indented(result.reports)
    if left := details.wanted - details.trials:
        left_are = "1 trial is left" if left == 1 else f"{left} trials are left"
        say(f"The time was over: {left_are}. The same command goes on; raise --budget-seconds for more at a time.")
    if not details.best:
        return
    chosen = own_names(name, details.params)
    say(f"Its parameters: {escape(_words(chosen))}")
    if details.model_version:
        say(f"The gate decides: contrail promote -p {escape(name)} --model {details.model_version}")
    else:
        assert call.partitions is not None
        days = f"--from {call.partitions.start} --to {call.partitions.end}"
        settings = {**call.options.get("params", {}), **chosen}
        say(
            f"To train a candidate with them: contrail train -p {escape(name)} {days} --set '{escape(_words(settings))}'"
        )
    say("To keep them for later trainings, put them into train.params of pipeline.yaml.")


def _words(params: "Mapping[str, Value]") -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in params.items())
