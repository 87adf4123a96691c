"""The words that people read in Airflow: a Markdown file beside each DAG's module, filled with the pipeline's values.

A file begins with the words of the DAG. Each section ``## task`` has the words of a task.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contrail.config.spec import PipelineSpec


@dataclass(frozen=True)
class Words:
    """The Markdown of a DAG, and of each task by its id."""

    dag: str
    tasks: Mapping[str, str]


def words_of(name: str, spec: PipelineSpec) -> Words:
    """The words of the DAG ``name`` for a pipeline, from ``<name>.md``.

    Raises:
        jinja2.UndefinedError: for a placeholder that names nothing.
    """
    text = _templates().get_template(f"{name}.md").render(spec=spec)
    dag, *sections = re.split(r"^## (\w+)\n", text, flags=re.MULTILINE)
    tasks = zip(sections[::2], sections[1::2], strict=True)
    return Words(dag.strip(), {task: section.strip() for task, section in tasks})


@cache
def _templates() -> Environment:
    # Markdown, not HTML: Airflow's page escapes what it shows.
    return Environment(  # noqa: S701 - see above
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True
    )
