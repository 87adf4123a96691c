"""Files of settings: any YAML, and a shipped ``pipeline.yaml`` of which a few places are changed."""

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from contrail.config.spec import load_spec
from contrail.config.yaml_file import read_yaml
from contrail.errors import SpecError
from tests.conftest import PROJECT
from tests.fuzz.target import ANYTHING, HOSTILE, TEXTS, Target, WrongError

_PIECES = (
    "a: ", "- ", "\n", "\n  ", "\n    ", "&x ", "*x", "<<: *x", "!!str ", "!!float ", "!!timestamp ", "!!binary ",
    "!!set ", "!x ", "|", ">-",
    "|9", "'", '"', "{", "}", "[", "]", ",", ": ", "? ", "#", "---\n", "...\n", "%YAML 1.2\n", "~", "=", "0x", "0o7",
    "1:30:00", ".inf",
    "2024-01-01T00:00:00Z", "9" * 400, "[" * 40, "{a: " * 40, "\ufeff", "\x85",
)  # fmt: skip
_YAML = st.lists(st.sampled_from(_PIECES + HOSTILE) | TEXTS, max_size=25).map("".join)
_BOMBS = st.tuples(st.integers(2, 12), st.integers(2, 40), st.sampled_from(["[{}]", "{{k: {}}}"])).map(
    lambda size: "".join(
        f"a{n}: &a{n} {size[2].format(', '.join([f'*a{n - 1}'] * size[1]) if n else 'x')}\n" for n in range(size[0])
    )
)


def _check_yaml(text: str) -> None:
    path = Path("/nowhere/pipeline.yaml")
    try:
        read_yaml(path, text)
    except SpecError as refused:
        _check_words(refused, path)


def _check_words(refused: SpecError, path: Path) -> None:
    said = str(refused)
    if path.name not in said or len(said) > 60_000:
        raise WrongError(f"{len(said)} letters that do not name {path}: {said[:200]}")


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [path for key, inner in items for path in _paths(inner, (*here, key))]


def _shipped(name: str) -> dict[str, Any]:
    text = (PROJECT / "include" / "pipelines" / name / "pipeline.yaml").read_text()
    return dict(yaml.safe_load(text))


_SPECS = {name: _shipped(name) for name in ("flight_delay", "bike_demand")}
_PLACES = {name: _paths(spec) for name, spec in _SPECS.items()}
_CHANGE = st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["put", "put", "put", "drop", "add", "rename", "swap"]),
    ANYTHING,
    TEXTS,
)
_CHANGES = st.tuples(st.sampled_from(sorted(_SPECS)), st.lists(_CHANGE, min_size=1, max_size=3))


def _check_spec(example: tuple[str, list[tuple[float, str, Any, str]]]) -> None:
    name, changes = example
    spec, places = copy.deepcopy(_SPECS[name]), _PLACES[name]
    for part, how, value, key in changes:
        _change(spec, places[int(part * len(places))], how, value, key)
    path = Path("pipeline.yaml")
    try:
        path.write_text(yaml.safe_dump(spec, sort_keys=False, allow_unicode=True), encoding="utf-8", errors="replace")
    except (yaml.YAMLError, ValueError, OverflowError):
        return  # Python cannot write it, so nobody has it
    try:
        load_spec(path)
    except SpecError as refused:
        _check_words(refused, path)


def _change(spec: Any, place: tuple[Any, ...], how: str, value: Any, key: str) -> None:
    *before, last = place
    try:
        for step in before:
            spec = spec[step]
        if how == "put":
            spec[last] = value
        elif how == "drop":
            del spec[last]
        elif how == "add":
            spec[key] = value
        elif how == "rename":
            spec[key] = spec.pop(last)
        else:
            first = next(iter(spec))
            spec[first], spec[last] = spec[last], spec[first]
    except (KeyError, IndexError, TypeError, StopIteration):
        return  # an earlier change has taken the place away


TARGETS = [
    Target("yaml", _YAML | _BOMBS, _check_yaml, seconds=10, short=200),
    Target("pipeline.yaml", _CHANGES, _check_spec, seconds=30, short=25),
]
