"""The commands that code tells a person to type, as Click reads them.

A command is advised when it has an option or an argument, or is all that a sentence says to run. ``contrail promote`` in a
sentence about promotions only names one. Whether a named command and its flags exist is a question of ``test_named_commands``.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import typer

from contrail.cli.app import app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DEFAULT = "flight_delay"  # what a command without a pipeline may mean; `check` and `sbom` then mean all
FILLED = "\N{REPLACEMENT CHARACTER}"  # what a value that only a run knows is read as
_MOST, _DEEPEST = 64, 3  # readings of one string, names in names
_READ = ast.Constant | ast.JoinedStr | ast.BinOp
_COMMAND = re.compile(r"(?<![\w.@:-])contrail +(?P<verb>[a-z][\w-]*)(?P<rest>[^\n`;]*)")
_WORD = re.compile(r"""(?P<space>\s*)(?P<word>(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'])+)""")
_ASKED = re.compile(r"(?:^|[:\n>(]|\bthen|\bRun) *`?$")
_ENDED = re.compile(r"`?[.,)]?(?:\n|$)|`[.,)]")
_BLOCK, _QUOTED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE), re.compile(r'"[^"]*"')
_FILLED_IN = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_PROSE = re.compile(
    "and|answers|are|before|brings|did|does|finds|for|has|have|in|is|it|lists|looks|must|now|or|reads?|says|shows|that|which|works"
)
_OF_JS = re.compile(r"`(?:[^`\\]|\\.)*`|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'")


@dataclass(frozen=True)
class Advised:
    """A command of a text: ``words`` are its options and arguments; ``open`` if a run fills in words that nobody here knows."""

    verb: str
    words: tuple[str, ...]
    open: bool

    def __str__(self) -> str:
        return " ".join(("contrail", self.verb, *self.words)).replace(FILLED, "…")


def advised(text: str) -> Iterator[Advised]:
    """The commands that a text advises."""
    text = re.sub(r"\\\n\s*", " ", text)
    for found in _COMMAND.finditer(text):
        if found["verb"] not in COMMANDS:
            continue
        one = _read(found["verb"], found["rest"])
        alone = _ASKED.search(text[: found.start()]) and _ENDED.match(text, found.start("rest"))
        if one.words or one.open or alone:
            yield one


def _read(verb: str, rest: str) -> Advised:
    options = {
        name: one for one in COMMANDS[verb].params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"
    }
    places = sum(
        999 if one.nargs < 0 else one.nargs for one in COMMANDS[verb].params if one.param_type_name == "argument"
    )
    words: list[str] = []
    unknown, awaited = False, False
    for found in _WORD.finditer(rest):
        word = found["word"].rstrip(".,:)")
        if awaited:
            awaited = False
        elif word.startswith("-"):
            name, equals, _ = word.partition("=")
            if name not in options:
                break
            awaited = not (equals or options[name].is_flag)
        elif word and not word.strip(FILLED) and not places:
            unknown = True
            continue
        elif not places or not word or _PROSE.fullmatch(word):
            break
        else:
            places -= 1
        words.append(word)
        if word != found["word"]:
            break
    return Advised(verb, tuple(words), unknown)


def refused(one: Advised, *, may_mean_default: bool = False) -> str:
    """What is wrong with a command that somebody types so; nothing when it is right.

    Args:
        one: The command.
        may_mean_default: It need not name the pipeline: documentation says which one it is then.
    """
    command = COMMANDS[one.verb]
    with command.context_class(command, info_name=one.verb) as context:
        try:
            given, _, _ = command.make_parser(context).parse_args(list(one.words))
            for param in command.params:
                value = given.get(param.name)
                if value is not None and not any(map(_open, value if isinstance(value, list | tuple) else [value])):
                    param.process_value(context, value)
        except Exception as error:  # Typer's Click is its own, with errors of its own
            return f"{one}: {getattr(error, 'message', error)}"
    left = [param for param in command.params if given.get(param.name) in (None, ()) and not one.open]
    if missing := [param.opts[0] for param in left if param.required]:
        return f"{one}: needs {', '.join(missing)}"
    if not may_mean_default and any(param.name == "pipeline" and param.show_default == DEFAULT for param in left):
        return f"{one}: names no pipeline, so it would be {DEFAULT}"
    return ""


def _open(value: object) -> bool:
    """Whether a person or a run puts another word in its place: ``<snapshot>``, ``DAY``."""
    return isinstance(value, str) and (FILLED in value or value[0] in "<…" or value.isupper())


# ---- where commands are advised ----


def blocks(text: str) -> Iterator[str]:
    """The blocks of code of a page; what is quoted is on one line."""
    for block in _BLOCK.findall(text):
        yield _QUOTED.sub(lambda found: found[0].replace("\n", " "), block)


def shown(path: Path) -> Iterator[str]:
    """The strings of a module or a script, or a template, as their readers may see them; docstrings are left out."""
    text = path.read_text(encoding="utf-8")
    if not _COMMAND.search(text.replace("contrail import", "")):
        return
    if path.suffix == ".py":
        yield from _of_module(ast.parse(text), {})
    elif path.suffix == ".js":
        for found in _OF_JS.findall(text):
            yield re.sub(r"\$\{[^}]*\}", FILLED, found[1:-1])
    else:
        yield _FILLED_IN.sub(FILLED, text)


def _of_module(node: ast.AST, values: Mapping[str, ast.expr]) -> Iterator[str]:
    """The strings below a node; ``values`` are those of the names that it may use."""
    if isinstance(node, ast.Module | ast.FunctionDef):
        values = {**values, **_assigned(node)}
    if isinstance(node, _READ):
        yield from dict.fromkeys(islice(_readings(node, values), _MOST))
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            yield from _of_module(call, values)
    elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):  # a docstring
        for inner in ast.iter_child_nodes(node):
            yield from _of_module(inner, values)


def _assigned(scope: ast.AST) -> Mapping[str, ast.expr]:
    """What the names of a module or function stand for that get one value in it."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for name, value in _pairs(node.targets[0], node.value):
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _pairs(target: ast.expr, value: ast.expr) -> Iterable[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return zip(target.elts, value.elts, strict=False)
    return [(target, value)]


def _readings(node: ast.AST, values: Mapping[str, ast.expr], depth: int = 0) -> Iterator[str]:
    """What an expression may read as, once for each branch of what is put into it."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.FormattedValue(value=value):
            yield from _readings(value, values, depth)
        case ast.JoinedStr(values=parts):
            yield from _joined(parts, values, depth)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from _joined((left, right), values, depth)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _readings(body, values, depth)
            yield from _readings(orelse, values, depth)
        case ast.Name(id=name) if depth < _DEEPEST and isinstance(values.get(name), _READ | ast.IfExp):
            yield from _readings(values[name], values, depth + 1)
        case _:
            yield FILLED


def _joined(parts: Sequence[ast.expr], values: Mapping[str, ast.expr], depth: int) -> Iterator[str]:
    return map("".join, product(*(tuple(_readings(part, values, depth)) for part in parts)))
