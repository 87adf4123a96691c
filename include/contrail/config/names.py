"""Which names a pipeline may give: to itself, to tables, columns and features.

A word that SQL knows, such as order, is allowed, because SQL is written with quotes. A name is refused that is one of
ours, that a place where it goes cannot hold, or that differs from another only in case.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

# The longest pipeline's name still fits with its DAG's into the ids of jobs, and a feature's into a metric's name.
_NAME, _PIPELINE = r"^[a-z][a-z0-9_]*$", r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
Name = Annotated[str, Field(pattern=_NAME, max_length=100)]
PipelineName = Annotated[str, Field(pattern=_PIPELINE, max_length=40)]
PATTERN_WORDS = {
    _NAME: "a name has lower-case letters, digits and underscores, and begins with a letter",
    _PIPELINE: "a pipeline's name has lower-case letters and digits, with single underscores between them",
}

# The folders that environments and Contrail name, beside which folders of pipelines lie or could come to lie: rules that
# delete by age, and rights of jobs, go by such names. BigQuery and Iceberg catalogs know the last two.
_RESERVED_PIPELINES = frozenset(
    {
        *("landing", "refused", "staging", "reports", "jobs", "code", "costs", "dvc", "mlflow", "lake", "lineage"),
        *("default", "information_schema"),
        *("sandbox", "sandboxes"),
    }
)
_OWN = "contrail"
_SANDBOX = "sandbox_"  # begins the namespaces of sandboxes, so no pipeline's name does
_SANDBOX_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST_SANDBOX = 30
_NO_SANDBOXES = frozenset({"main", "none", "all", *_RESERVED_PIPELINES})
# Columns that Contrail adds to landed rows, on their way from the file to the validated table.
OF_LANDED = frozenset({"partition_date", "visible_from", "_file", "_line", "_sha256", "_row", "_known_day"})
# Columns that Contrail adds to the entities' key: in features, predictions, labels and their comparison.
OF_KEYS = frozenset(
    {
        *("cutoff_at", "label", "probability", "decision", "prediction", "shadow"),
        *("model_name", "model_version", "feature_snapshot", "scoring_run", "scored_at"),
    }
)
OF_FEATURES = frozenset({"partition_date", "visible_from", "cutoff_at", "label"})
_REASON = re.compile(r"reason_\d+(_value|_contribution)?", re.IGNORECASE)
_LONGEST_COLUMN = 128


def quoted(name: str) -> str:
    """Quote a name for DuckDB, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Return the names as a list of columns in SQL."""
    return ", ".join(map(quoted, names))


def literal(text: str) -> str:
    """Quote a text as a value in SQL."""
    return "'" + text.replace("'", "''") + "'"


def folded(name: str) -> str:
    """The form in which two names are the same to an engine that ignores case."""
    return unicodedata.normalize("NFC", name).casefold()


def pipeline_problem(name: str) -> str | None:
    """What is wrong with the name of a pipeline; None when nothing is."""
    if name in _RESERVED_PIPELINES or name == _OWN or name.startswith((f"{_OWN}_", _SANDBOX)):
        return (
            f"'{name}' is reserved for folders, tables and catalogs that are no pipeline's, as is every name that begins with "
            f"{_OWN} or {_SANDBOX}; choose another name, and name the folder so"
        )
    return None


def sandbox_problem(name: str, pipelines: Iterable[str]) -> str | None:
    """What is wrong with the name of a sandbox; None when nothing is. ``pipelines`` are the names of all pipelines."""
    if not _SANDBOX_NAME.fullmatch(name) or len(name) > _LONGEST_SANDBOX:
        return (
            f"it has at most {_LONGEST_SANDBOX} lower-case letters and digits, with single underscores between them, and "
            "begins with a letter"
        )
    if name in _NO_SANDBOXES or name == _OWN or name.startswith((f"{_OWN}_", _SANDBOX)):
        return f"the name is reserved, as is every name that begins with {_OWN} or {_SANDBOX}"
    if name in pipelines:
        return "a pipeline has this name"
    return None


def in_sandbox(sandbox: str, name: str) -> str:
    """The name of a sandbox's own namespace, experiment and registered model, for those of the main lake."""
    return f"{_SANDBOX}{sandbox}__{name}"


def of_sandbox(stored: str) -> tuple[str, str] | None:
    """The sandbox and the name that ``in_sandbox`` has joined; None for a name of the main lake."""
    sandbox, found, name = stored.removeprefix(_SANDBOX).partition("__")
    return (sandbox, name) if found and stored.startswith(_SANDBOX) else None


def without_sandbox(stored: str) -> str:
    """The name of a namespace, experiment or registered model as people know it."""
    found = of_sandbox(stored)
    return found[1] if found else stored


def column_problem(name: str) -> str | None:
    """What is wrong with the name of a landed column; None when nothing is."""
    if len(name) > _LONGEST_COLUMN:
        return f"a column's name has at most {_LONGEST_COLUMN} characters; this one has {len(name)}"
    if not _is_word(name):
        # Iceberg would write the file's column under another name, and every reader by name would find nulls.
        near = re.sub(r"\W+", "_", name).strip("_")
        near = near if _is_word(near) else f"column_{near}".rstrip("_")
        return (
            f"a column's name has letters, digits and underscores, and does not begin with a digit: for example {near}"
        )
    if folded(name) in OF_LANDED:
        return f"the name is one of Contrail's own columns ({', '.join(sorted(OF_LANDED))}); land it under another name"
    return None


def _is_word(name: str) -> bool:
    return (name[:1].isalpha() or name[:1] == "_") and all(char.isalnum() or char == "_" for char in name)


def key_problem(name: str) -> str | None:
    """What is wrong with the name of a column of the pipeline's key; None when nothing is."""
    if folded(name) in OF_KEYS or _REASON.fullmatch(name):
        return f"'{name}' is a column of Contrail's own tables (predictions, features); land it under another name"
    if name.startswith("_"):
        return f"'{name}' begins with an underscore, as names of Contrail and BigQuery do; land it under another name"
    return None


def feature_problem(name: str) -> str | None:
    """What is wrong with the name of a feature; None when nothing is."""
    return (
        f"the name is one of Contrail's own columns ({', '.join(sorted(OF_FEATURES))})" if name in OF_FEATURES else None
    )


def same_but_for_case(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that an engine takes for an earlier one, with that one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(folded(name), name)
        if other != name:
            yield name, other
