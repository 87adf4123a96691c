"""The desk of the chain: a command for each verb, in the order in which a partition passes them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from contrail.cli.help import CHAIN, command
from contrail.cli.options import FromOption, PipelineOption, ToOption, lake_of
from contrail.cli.printing import done, indented, progress
from contrail.cli.stage_command import Call, stage_command
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import current_person, settings
from contrail.partitions import Partitions
from contrail.stages import VERBS

if TYPE_CHECKING:
    from contrail.config.training_windows import TrainingWindows
    from contrail.stages.results import PromoteDetails, StageResult

app = typer.Typer()
_AGAIN = "The range is one job. Running it again is safe: it leaves the same rows."


@command(app, "land", CHAIN)
def land(pipeline: PipelineOption, from_: FromOption, to: ToOption = None) -> None:
    """Deliver files to the landing zone: those of `source.py`, and the rows of each table's `source` in the spec.

    You do not need this where files arrive by themselves. Put such files at
    `<landing>/<pipeline>/<table>/<date>.csv.gz`, or under the names that the spec's `landed` has.
    """
    from contrail.operations.land import land_files

    partitions = Partitions.parse(from_, to)
    loaded = load_pipeline(pipeline)
    with progress(f"land {pipeline} {partitions}") as show:
        written = land_files(loaded, settings(), partitions, show)
    done(f"land {partitions}: {written:,} files written, the rest unchanged")


def run(call: Call) -> None:
    """Run a stage and print its result."""
    result = call.run()
    if not call.as_json:
        _say(result)


for _verb in ("ingest", "validate", "features"):
    stage_command(app, _verb, CHAIN, f"{VERBS[_verb]}\n\n{_AGAIN}")(run)


@stage_command(
    app,
    "train",
    CHAIN,
    f"{VERBS['train']}\n\nThe champion stays: `contrail promote` judges the candidate.",
    days="newest",
)
def train(call: Call) -> None:
    """Train in the name of the person who calls, unless an orchestrator names another."""
    call = call.on(call.partitions or newest_windows_of(call.pipeline).train)
    run(call if call.options.get("person") else call.with_options(person=current_person()))


@stage_command(
    app,
    "promote",
    CHAIN,
    f"""{VERBS["promote"]}

    The gate judges the version on the labelled rows of a range after its training. A pass makes it champion in your name,
    and the command notifies people. An orchestrator gives its approver's answer in `--approval`, and notifies people itself.
    """,
    days="newest",
)
def promote(call: Call) -> None:
    """Promote in the name of the person who calls, unless the call carries an answer."""
    call = call.on(call.partitions or newest_windows_of(call.pipeline).gate)
    result = call.run() if "approval" in call.options else _promote_by_person(call)
    if call.as_json:
        return
    _say(result)


def newest_windows_of(pipeline: str) -> "TrainingWindows":
    """The newest days that features and labels allow, for a training and for its gate."""
    from contrail.operations.champions import newest_windows

    loaded = load_pipeline(pipeline)
    return newest_windows(loaded.spec, lake_of(loaded))


def _promote_by_person(call: Call) -> "StageResult[PromoteDetails]":
    """Promote with the caller's approval, and notify people, because nobody else does."""
    from contrail.notify.delivery import deliver, telling_of_failure
    from contrail.notify.messages import of_result

    person = call.options.get("person") or current_person()
    where = f"{call.pipeline} promote {call.partitions} by {person}"
    with telling_of_failure(where):
        result = call.with_options(approval="approved", person=person).run()
    if message := of_result(where, call.pipeline, result.details):
        deliver(message)
    return result


def run_for_analysts(call: Call) -> None:
    """Run a stage whose table analysts see, and print its result."""
    result = call.run()
    if call.as_json:
        return
    _say(result)
    if call.partitions and settings().analysts:
        indented([f"for analysts: {publish_command(call.pipeline, call.partitions)}"])


for _verb in ("score", "drift", "performance"):
    stage_command(app, _verb, CHAIN, f"{VERBS[_verb]}\n\n{_AGAIN}")(run_for_analysts)


@stage_command(
    app,
    "publish",
    CHAIN,
    """Copy predictions, performance and drift to the analysts' warehouse, and compare it with the lake.

    It replaces only the partitions that are different there, all of them at once. The environment needs `analysts`, as
    prod has. In dev, analysts use `contrail query`.
    """,
)
def publish(call: Call) -> None:
    """Publish, and print which partitions were replaced."""
    result = call.run()
    if call.as_json:
        return
    for name, copied in result.details.tables.items():
        replaced = f"{copied.rows:,} rows: {', '.join(copied.partitions)}" if copied.partitions else "unchanged"
        done(f"{name}: {replaced}")


def _say(result: "StageResult[Any]") -> None:
    from contrail.stages.sentences import sentence

    done(escape(sentence(result.stage, result)))
    indented(result.reports)


def publish_command(pipeline: str, partitions: Partitions) -> str:
    """The command that shows a range to analysts."""
    return f"contrail publish -p {pipeline} --from {partitions.start} --to {partitions.end}"


def show_analysts(
    pipeline: str, partitions: Partitions, show: Callable[[str], None], tables: Sequence[str] = ()
) -> None:
    """Publish what a person's command has changed, where analysts have a warehouse."""
    from contrail.stages.runner import run_stage

    if settings().analysts:
        # If this fails, the change stays. The line names the command that is left to do.
        show(f"for analysts: {publish_command(pipeline, partitions)}")
        run_stage("publish", pipeline, partitions, options={"tables": tables}, progress=show)
