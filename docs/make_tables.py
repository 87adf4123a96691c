"""Write ``docs/tables.md``: every table of the shipped pipelines with every column, as the code and their specs define them.

``python docs/make_tables.py`` writes the page. A test compares it with the code, and wants a meaning of every column.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contrail.config.pipeline import load_pipeline
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import ColumnSpec
from contrail.lake import datasets, outcomes, records
from contrail.lake.datasets import Dataset
from contrail.lake.records import all_datasets
from contrail.lake.warehouse import View, views

PAGE = Path(__file__).with_name("tables.md")
PIPELINES = ("flight_delay", "bike_demand")
_OWN = ("predictions", "features", "performance", "predictions_shadow")

_HEAD = """# Every table and column

[Analysts' tables](analysts-tables.md) explains how to query them. `contrail describe` says the same in a terminal, for your own
pipelines too. `python docs/make_tables.py` writes this page from the code and the specs. Do not edit it by hand.

The meaning names the unit. Times are instants in UTC; dates are local dates of the pipeline. A column may be null where it
says so. Columns that a spec marks `personal` are marked here.
"""


def page(specs: Sequence[PipelineSpec]) -> str:
    """The whole page: the tables of each pipeline, then those that all pipelines have alike."""
    lines = [_HEAD, *(line for spec in specs for line in _pipeline(spec))]
    lines.append("## Tables that are alike in every pipeline\n")
    for dataset in alike(specs[0]).values():
        lines += _section(dataset, f"`{dataset.name}`", dataset.columns)
    publications = records.publications(specs[0])
    return "\n".join(
        [*lines, *_section(publications, f"`{publications.name}`, in the warehouse", publications.columns)]
    )


def alike(spec: PipelineSpec) -> dict[str, Dataset]:
    """The tables in which nothing comes from the spec."""
    own = {*_OWN, *(f"{stage}_{table}" for stage in ("raw", "validated") for table in spec.tables)}
    return {name: dataset for name, dataset in all_datasets(spec).items() if name not in own}


def _pipeline(spec: PipelineSpec) -> Iterator[str]:
    known = all_datasets(spec)
    yield f"## `{spec.name}`: {spec.title}\n"
    yield f"{_text(spec.description)}\n"
    if not spec.personal:
        yield "No column of this pipeline is personal.\n"
    for name in _OWN:
        shadow = name == "predictions_shadow"
        text = "Its columns are those of `predictions`." if shadow else ""
        yield from _section(known[name], f"`{name}` of `{spec.name}`", {} if shadow else known[name].columns, text)
    for view in views(spec):
        if view.dataset.name != view.source:
            yield from _view(view, known[view.source], spec)
    beside = outcomes.dataset(spec)
    own = {column: found for column, found in beside.columns.items() if column not in known[outcomes.SOURCE].columns}
    text = f"A view. Its columns are those of `{outcomes.SOURCE}`, and this:"
    yield from _section(beside, f"`{beside.name}` of `{spec.name}`", own, text)
    for name in spec.tables:
        validated = datasets.validated(spec, name)
        yield from _section(validated, f"`{validated.name}` of `{spec.name}`", validated.columns)
        raw = datasets.raw(spec, name)
        added = {column: found for column, found in raw.columns.items() if column not in spec.tables[name].columns}
        text = f"Text columns with the names and meanings of `{validated.name}`, where each may be null. And these:"
        yield from _section(raw, f"`{raw.name}` of `{spec.name}`", added, text)


def _view(view: View, source: Dataset, spec: PipelineSpec) -> Iterator[str]:
    left_out = ", ".join(f"`{name}`" for name in source.columns if name not in view.dataset.columns)
    text = f"A view. Its columns are those of `{view.source}`, without {left_out}."
    yield from _section(view.dataset, f"`{view.dataset.name}` of `{spec.name}`", {}, text)


def _section(dataset: Dataset, title: str, columns: Mapping[str, ColumnSpec], text: str = "") -> Iterator[str]:
    yield f"### {title}\n"
    made_by = " or ".join(f"`contrail {name}`" for name in dataset.published_by)
    yield f"{_text(dataset.doc)} Published by {made_by}.\n"
    if text:
        yield f"{text}\n"
    if columns:
        yield from ("| column | type | meaning |", "|---|---|---|")
        yield from (f"| `{name}` | {_kind(column)} | {_text(column.doc)} |" for name, column in columns.items())
        yield ""


def _kind(column: ColumnSpec) -> str:
    marks = ("" if column.required else ", may be null") + (", personal" if column.personal else "")
    return f"{column.type}{marks}"


def _text(words: str) -> str:
    for sign, shown in {"|": "/", "*": r"\*", "<": "&lt;"}.items():
        words = words.replace(sign, shown)
    return " ".join(words.split())


if __name__ == "__main__":
    PAGE.write_text(page([load_pipeline(name).spec for name in PIPELINES]), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
