"""Check a pipeline without its data: its spec, its modules, its features on empty tables, its contracts, its prices.

Everything wrong is found in one go. Nothing is read from the lake, and nothing is written. Whether data keep a contract
belongs to the stage ``validate``.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrail.config.pipeline import Pipeline, function_of, pipeline_file, place_of
from contrail.config.problems import lines_of
from contrail.config.readme import README, read_sections
from contrail.config.settings import EngineSettings, settings
from contrail.config.spec import PipelineSpec, examine
from contrail.dispatch import budget
from contrail.errors import SpecError
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# What each module must define, and the arguments with which a stage calls it.
FUNCTIONS = {
    "features": ("build", ("tables", "window")),
    "expectations": ("contracts", ()),
    "source": ("land", ("landing", "partitions")),
}
_MAY_BE_MISSING = "source"  # where files arrive by themselves
_NUMBERS = {"tinyint", "smallint", "int", "bigint", "float", "double", "boolean"}


@dataclass(frozen=True)
class Checked:
    """What is wrong with a pipeline, one line each with file, line and rule; nothing when it is right.

    ``notes`` say what is missing but wrong for nothing that runs.
    """

    pipeline: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_pipeline(name: str, *, thorough: bool = False) -> Checked:
    """Check a pipeline.

    Args:
        name: Name of its folder.
        thorough: Whether to evaluate its contracts and to show XGBoost its parameters too. This loads libraries for some
            seconds.

    Raises:
        SpecError: for an unknown pipeline.
        EngineError: when the embedded engine does not start.
    """
    path = pipeline_file(name)
    try:
        file, spec, wrong = examine(path)
    except SpecError as error:  # no YAML at all
        return Checked(name, (str(error),))
    found = lines_of(path, wrong, file)
    if spec is not None and spec.name != name:
        found.append(f"{path}: name is '{spec.name}' but the folder is '{name}'; make them the same")
    modules = {stem: _said(_check_function, path.parent, stem) for stem in FUNCTIONS}
    calls = _calls(Pipeline(path.parent, spec), modules, thorough) if spec is not None and not found else []
    prices = _said(budget.unpriced, settings(), name)
    problems = (*found, *(said for each in modules.values() for said in each), *calls, *prices)
    return Checked(name, problems, tuple(_missing_words(path.parent)))


def _missing_words(folder: Path) -> Iterator[str]:
    for heading in read_sections(folder).missing:
        yield f"{folder / README} says nothing under '## {heading}', so a model card will not either (docs/model-cards.md)"


def _calls(pipeline: Pipeline, modules: Mapping[str, list[str]], thorough: bool) -> list[str]:
    """What goes wrong when functions are called. They rest on a right spec, and on modules without problems."""
    found = _said(_check_features, pipeline) if not modules["features"] else []
    if thorough and not modules["expectations"]:
        found += _said(_check_contracts, pipeline)
    return [*found, *(_said(_check_params, pipeline) if thorough else [])]


def _said(check: Callable[..., Iterable[str] | None], *arguments: Any) -> list[str]:
    """What a check finds, with the error that ends it."""
    found: list[str] = []
    try:
        for one in check(*arguments) or ():
            found.append(one)
    except SpecError as error:
        found.append(str(error))
    return found


def _check_function(folder: Path, stem: str) -> Iterator[str]:
    if stem == _MAY_BE_MISSING and not (folder / f"{stem}.py").exists():
        return
    name, arguments = FUNCTIONS[stem]
    try:
        inspect.signature(function_of(folder, stem, name)).bind(*arguments)
    except (TypeError, ValueError):
        yield f"{folder / stem}.py: the function must take {name}({', '.join(arguments)})"


# ---- features ----


def _check_features(pipeline: Pipeline) -> Iterator[str]:
    """Build the features of empty tables on the embedded engine, and compare the columns with the spec."""
    path = pipeline.folder / "features.py"
    try:
        found = dict(_built(pipeline).dtypes)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise SpecError(
            f"{place_of(error, path)}: build() fails on empty tables: {type(error).__name__}: {reason}"
        ) from error
    if missing := [name for name in _wanted(pipeline.spec) if name not in found]:
        yield f"{path}: build() returns no {', '.join(missing)}; it returns {', '.join(found)}"
    for name, column in pipeline.spec.features.columns.items():
        kind = found.get(name, "double")
        if column.kind == "number" and not (kind in _NUMBERS or kind.startswith("decimal")):
            yield f"{path}: build() returns {name} as {kind}; make it a number, or declare it with kind: category"


def _wanted(spec: PipelineSpec) -> list[str]:
    return list(dict.fromkeys(["partition_date", *spec.key, *spec.features.columns]))


def _built(pipeline: Pipeline) -> "DataFrame":
    from pyspark.sql.pandas.types import from_arrow_schema

    from contrail.adapters.engine import session_of
    from contrail.lake import datasets
    from contrail.methods.windows import FeatureWindow

    spec = pipeline.spec
    # With the limits of a run, because a stage in this process will get the same engine.
    session = session_of(settings().model_copy(update={"engine": EngineSettings()}))
    schemas = {table: datasets.validated(spec, table).staged_schema() for table in spec.tables}
    tables = {table: session.createDataFrame([], from_arrow_schema(schema)) for table, schema in schemas.items()}
    day = Partitions(spec.first_partition, spec.first_partition)
    window = FeatureWindow(day, spec.features.lookback_days, spec.timezone, spec.cutoff)
    built: DataFrame = pipeline.function("features", "build")(tables, window)
    return built


# ---- contracts and parameters ----


def _check_contracts(pipeline: Pipeline) -> None:
    from contrail.stages.validation.contracts import contracts_of, table_order

    path = pipeline.folder / "expectations.py"
    try:
        table_order(pipeline.spec, contracts_of(pipeline))
    except SpecError:
        raise
    except Exception as error:
        raise SpecError(f"{place_of(error, path)}: contracts() fails: {type(error).__name__}: {error}") from error


def _check_params(pipeline: Pipeline) -> None:
    from contrail.methods.fit import booster_params, check_space

    spec, file = pipeline.spec, pipeline.folder / "pipeline.yaml"
    try:
        booster_params(spec.task, spec.train)
    except SpecError as error:
        raise SpecError(f"{file}: train.params: {error}") from error
    try:
        check_space(spec.task, spec.train, spec.tune.space)
    except SpecError as error:
        raise SpecError(f"{file}: {error}") from error
