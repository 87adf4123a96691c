"""Calls: options of stages, and command lines. A wrong one ends in words and by a documented exit code."""

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click
from hypothesis import strategies as st

from contrail.cli.app import command
from contrail.errors import SpecError
from contrail.stages.options import OPTIONS, options_of
from tests.commands import exit_of_arguments
from tests.corpus.judged import KNOWN
from tests.fuzz.target import ANYTHING, TEXTS, Target, WrongError

# These wait for a person, start servers, run for minutes, or are a tutorial of their own.
_NOT = frozenset({"tune", "backfill", "train", "reproduce", "check-leaks", "doctor", "estimate"})
_DAYS = (
    st.sampled_from(["2024-01-01", "2024-01-02", "2024-02-30", "1678-01-01", "2261-12-31", "0001-01-01", "today", "-1"])
    | TEXTS
)
_KNOWN = st.sampled_from(
    ["toy", "parcels", "features", "1", "champion", "2024-01-02", "SELECT 1", "depot = 'A'", "weight", "a=1"]
)


def _check_options(example: tuple[str, dict[str, Any]]) -> None:
    verb, values = example
    try:
        options_of(verb, values)
    except SpecError as refused:
        if len(str(refused)) > 20_000:
            raise WrongError(f"{len(str(refused))} letters are no message") from refused


def _named(verb: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    keys = st.sampled_from(sorted(OPTIONS[verb].model_fields)) if OPTIONS[verb].model_fields else TEXTS
    return st.tuples(st.just(verb), st.dictionaries(keys | TEXTS, ANYTHING, max_size=4))


@st.composite
def _lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, and values that fit or do not."""
    commands = command().commands
    name = draw(st.sampled_from(sorted(set(commands) - _NOT)))
    line = [name]
    for parameter in commands[name].params:
        if parameter.name in ("help", "yes", "sandbox"):
            continue
        if not draw(st.booleans()) and not (parameter.required and draw(st.integers(0, 5))):
            continue
        is_day = parameter.name in ("from_", "to", "on", "as_of", "effective_from")
        value = (
            "toy"
            if parameter.name == "pipeline" and draw(st.integers(0, 4))
            else draw(_DAYS if is_day else _KNOWN | TEXTS)
        )
        if isinstance(parameter, click.Argument) or not parameter.opts[0].startswith("-"):
            line.append(value)
        elif getattr(parameter, "is_flag", False):
            line.append(parameter.opts[0])
        else:
            line += [parameter.opts[0], value]
    if draw(st.integers(0, 9)) == 0:
        line.insert(draw(st.integers(0, len(line))), draw(TEXTS))
    return [part.replace("/", "_").replace("\0", "0") for part in line]  # what it writes stays in its folder


def _check_line(line: Sequence[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = exit_of_arguments(["contrail", *line])
    finally:
        sys.stdin = before
    said = out.getvalue() + err.getvalue()
    if code not in KNOWN or "Traceback" in said or "did not expect" in said:
        raise WrongError(f"it ended with {code}: {said[-600:]}")
    if "\x1b[2J" in said:
        raise WrongError("codes of the terminal came back")


TARGETS = [
    Target("options", st.sampled_from(sorted(OPTIONS)).flatmap(_named), _check_options, short=80),
    Target("command lines", _lines(), _check_line, seconds=60, short=8),
]
