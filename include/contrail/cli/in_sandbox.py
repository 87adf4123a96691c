"""The option ``--sandbox`` of the commands that work in one, written once for all of them.

What a person does with sandboxes from outside is the command ``contrail sandbox``.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any

import typer
from rich.markup import escape

from contrail.cli import printing
from contrail.config.pipeline import default_pipeline, load_pipeline, pipeline_file
from contrail.config.settings import enter_sandbox, settings
from contrail.imports import quick_imports

# They make the sandbox when there is none of its name.
MAKE = frozenset(
    {
        *("ingest", "validate", "features", "train", "tune", "promote", "score", "drift", "performance"),
        *("govern", "backfill", "late"),
    }
)
# They read what is there, or look after it.
USE = frozenset(
    {
        *(
            "status",
            "summary",
            "query",
            "describe",
            "history",
            "rollback",
            "move-away",
            "verify",
            "maintain",
            "recover",
        ),
        *("difference", "quarantine", "replay", "why", "what-if", "champions", "model-card", "rollback-model"),
        *("check-leaks", "inspect-features", "score-card", "reproduce", "attach"),
    }
)


SandboxOption = Annotated[
    str | None,
    typer.Option(
        metavar="<name>",
        help="Work in this sandbox, which nobody else reads.",
        show_default="CONTRAIL_SANDBOX, or none",
    ),
]


def in_sandbox(name: str, function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option, if it is one that works in a sandbox."""
    if name not in MAKE | USE:
        return function

    @wraps(function)
    def run(sandbox: str | None = None, **given: Any) -> None:
        if sandbox is not None:
            enter_sandbox(sandbox)
        if settings().sandbox:
            _tell(default_pipeline(given.get("pipeline")), makes=name in MAKE)
        function(**given)

    own = inspect.signature(function)
    option = Parameter("sandbox", Parameter.KEYWORD_ONLY, annotation=SandboxOption, default=None)
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own.parameters.values()]
    run.__signature__ = own.replace(parameters=[*parameters, option])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*parameters, option)}
    return run


def _tell(pipeline: str, makes: bool) -> None:
    """Say where the command works, and make the sandbox if that is its part.

    Raises:
        SpecError: for an unknown pipeline.
        MissingInputError: where there is no such sandbox and the command makes none, before it makes any file.
    """
    from contrail.lake import sandbox_records

    current = settings()
    pipeline_file(pipeline)
    if not makes:
        sandbox_records.check(current, pipeline)
    elif sandbox_records.find(current, pipeline) is None:
        with quick_imports():
            from contrail.stages import sandboxed
        with printing.progress(f"sandbox {current.sandbox}") as show:
            sandboxed.begin(current, load_pipeline(pipeline), show)
    if record := sandbox_records.find(current, pipeline):
        name = escape(record.name)
        printing.say(
            f"sandbox {name} of {record.pipeline}, made {record.made_at:%Y-%m-%d %H:%M} UTC by {escape(record.made_by)}: what "
            "it has not changed is read as the main lake was then. Commands that are named below need "
            f"--sandbox {name} too.",
            printing.err,
        )
