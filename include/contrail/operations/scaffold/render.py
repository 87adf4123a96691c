"""The files of a new pipeline, from its plan. Their words are in ``templates``, and nothing here decides any of them."""

import json
import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contrail.adapters.sample_files import Sample, SampleColumn
from contrail.config.names import literal, quoted
from contrail.operations.scaffold.choices import Choice
from contrail.operations.scaffold.features import quoted_text
from contrail.operations.scaffold.plan import Column, Plan
from contrail.operations.scaffold.windows import fewest_rows, shallow
from contrail.partitions import Partitions

_WIDTH = 100
# YAML reads these words as values.
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def commands(plan: Plan) -> list[str]:
    """The way from the files to the first predictions."""
    windows, own = plan.windows, f"-p {plan.name}"
    ranges = [(verb, windows.whole) for verb in ("land", "ingest", "validate")]
    featured = Partitions(windows.train.start, windows.score.end)
    ranges += [("features", featured), ("train", windows.train), ("promote", windows.gate), ("score", windows.score)]
    found = [f"contrail {verb:8} {own} --from {days.start} --to {days.end}" for verb, days in ranges]
    return [*found, f'contrail query {own} "SELECT * FROM predictions_latest LIMIT 10"']


def files_of(
    plan: Plan, choices: Sequence[Choice], owner: str, volumes: dict[str, tuple[int, int, int, int]]
) -> dict[str, str]:
    """The text of each file, by its path in the pipeline's folder. ``dag.py`` belongs into the folder of DAGs."""
    context = {**_context(plan, choices), "owner": owner, "volumes": volumes}
    names = ["pipeline.yaml", "source.py", "sample.sql", "expectations.py", "features.py", "README.md", "dag.py"]
    found = {name: _environment().get_template(f"{name}.j2").render(context) for name in names}
    found[f"tests/test_{plan.name}.py"] = _environment().get_template("test_features.py.j2").render(context)
    found["sample/.gitignore"] = "*\n!.gitignore\n"
    return found


def _context(plan: Plan, choices: Sequence[Choice]) -> dict[str, Any]:
    roles = plan.roles
    past = [feature for one in plan.features.past for feature in one.features()]
    scales = sorted({feature.scale for feature in past})
    calendar = plan.features.calendar
    return {
        "plan": plan,
        "roles": roles,
        "windows": plan.windows,
        "choices": choices,
        "open": [choice for choice in choices if choice.decide],
        "files": ", ".join(dict.fromkeys(path.name for sample in plan.samples for path in sample.files)),
        "description": description(plan),
        "landed": {
            sample.name: ", ".join(f"{key}: {json.dumps(value)}" for key, value in sample.landed.items())
            for sample in plan.samples
        },
        "why": {choice.what: _said(choice) for choice in choices} | {"positive": _why(choices, "positive")},
        "after": _why(choices, "days until known"),
        "references": [table for table in plan.tables if not table.known_at],
        "planned": roles.rows == "planned",
        "weekday": calendar[0],
        "hour": calendar[1] if len(calendar) > 1 else "",
        "own": [feature.name for feature in plan.features.own]
        + [feature.name for _, _, features in plan.features.references for feature in features],
        "scales": [(scale, [feature.name for feature in past if feature.scale == scale]) for scale in scales],
        "plain_past": 1 in scales,
        "shallow": shallow(plan.sample.rows),
        "min_rows": fewest_rows(plan.labelled),
        "commands": commands(plan),
        **_for_tests(plan),
    }


def description(plan: Plan) -> str:
    """What is predicted, in a sentence."""
    roles, given = plan.roles, plan.roles.label.given
    what = f"The probability of {given}" if roles.task == "binary" else f"How much {given} will be"
    what += f" = {roles.positive}" if roles.positive else ""
    if roles.rows == "planned":
        each = " and ".join(plan.sample.column(name).given for name in roles.dims) or "day"
        return f"{what}, for each {each} of a day, predicted at the midnight before it."
    return f"{what}, for each row of a day, predicted at the midnight after it."


def _why(choices: Sequence[Choice], what: str) -> str:
    return next((_said(choice) for choice in choices if choice.what == what), "")


def _said(choice: Choice) -> str:
    others = f" It could be: {', '.join(choice.others[:6])}." if choice.others else ""
    decide = f" DECIDE: {choice.decide}." if choice.decide else ""
    return " ".join(f"{choice.taken}: {choice.why}.{others}{decide}".split())


# ---- the rows of the test ----


def _for_tests(plan: Plan) -> dict[str, Any]:
    roles, label = plan.roles, plan.roles.label
    if roles.positive is not None:
        other = next(value for value in label.values if value != roles.positive)
        values, mean, kind = (quoted_text(other), quoted_text(roles.positive)), "0.5", "str"
    elif roles.task == "binary":
        values = ("False", "True") if label.type == "bool" else ("0", "1")
        mean, kind = "0.5", label.type
    else:
        values, mean, kind = ("10", "20"), "15", label.type
    argument = label.name if label.name not in ("day", "date", "datetime", "asked", "outcome") else "value"
    first = plan.windows.train.start
    return {
        "day": date(first.year, first.month, 20),
        "short": plan.windows.short_days,
        "values": values,
        "mean": mean,
        "label_type": kind,
        "label_arg": argument,
        "asked_row": [(column.name, _value(plan, column, asked=True)) for column in plan.asked.columns],
        "outcome_row": [
            (column.name, argument if column.name == label.name else _value(plan, column, asked=False))
            for column in plan.outcomes.columns
        ],
    }


def _value(plan: Plan, column: Column, *, asked: bool) -> str:
    layout, events = plan.layout, plan.roles.rows == "events"
    day = "DAY.day - 1" if asked else "day"
    if column.name == layout.known.name and not asked:
        return "at(day, 12)"
    if column.type == "timestamp":
        return f"at({day}, 12)" if asked else "at(day - 1, 12)"
    if column.type == "date":
        return (
            "DAY" if asked and not (events and column.name != layout.day.name) else f"date(DAY.year, DAY.month, {day})"
        )
    if column.name in {one.name for one in layout.time}:
        return "12"
    own = plan.sample.column(column.name)
    value = own.values[0] if own.values else own.least
    if column.type == "string":
        return quoted_text(str(value))
    return str(value) if column.type != "bool" else str(str(value).lower() == "true")


# ---- how texts are written ----


@cache
def _environment() -> Environment:
    # Its files are code and settings, never a page: escaping would change them.
    found = Environment(  # noqa: S701 - see above
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {
        "text": lambda text: json.dumps(text, ensure_ascii=False),
        "key": lambda name: json.dumps(name) if name in _YAML_WORDS else name,
        "title_of": lambda name: name.replace("_", " ").capitalize(),
        "expression": _expression,
        "sqlname": quoted,
        "cast": _cast,
        "reader": _reader,
        "line": lambda text: " ".join(text.split()),
        "cell": lambda text: " ".join(str(text).replace("|", "\\|").split()),
        "pylist": _pylist,
        "pyargs": lambda names, indent: ", ".join(f'"{name}"' for name in names),
        "comment": _comment,
        "pynames": lambda names: "(" + ", ".join(f'"{name}"' for name in names) + ")",
    }
    return found


@cache
def _reserved() -> frozenset[str]:
    query = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
    with duckdb.connect() as connection:
        return frozenset(word for (word,) in connection.sql(query).fetchall())


def _expression(sql: str) -> str:
    name, space, rest = sql.partition(" ")
    return f"{quoted(name) if name in _reserved() else name}{space}{rest}"


def _cast(column: SampleColumn) -> str:
    """Dates and times as such, which days are made of; all else as text, which ``validate`` judges."""
    if column.type == "date":
        return f"TRY_CAST({column.sql} AS DATE)"
    return f"TRY_CAST({column.sql} AS TIMESTAMPTZ)" if column.type == "timestamp" else column.sql


def _reader(sample: Sample) -> str:
    paths = ", ".join(f"getvariable('folder') || {literal('/' + path.name)}" for path in sample.files)
    return re.sub(r"getvariable\('files'\)", lambda _: f"[{paths}]", sample.reader)


def _pylist(names: Sequence[str], indent: int = 0) -> str:
    """A list as the formatter writes it: on one line, or one name a line."""
    line = "[" + ", ".join(f'"{name}"' for name in names) + "]"
    if indent + len(line) <= _WIDTH:
        return line
    margin = " " * indent
    return "[\n" + "".join(f'{margin}    "{name}",\n' for name in names) + f"{margin}]"


def _comment(text: str, indent: int = 0) -> str:
    """A comment of as many lines as it needs."""
    return f"\n{' ' * indent}".join(f"# {line}" for line in wrap(text, _WIDTH, break_long_words=False))
