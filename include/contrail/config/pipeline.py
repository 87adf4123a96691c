"""A pipeline: its spec and the modules of its folder, loaded when asked for.

Nothing here knows what a module contains; each stage states the function that it calls.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from contrail.config.problems import hint
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec, load_spec, spec_hash
from contrail.errors import SpecError


@dataclass(frozen=True)
class Pipeline:
    """A folder under ``include/pipelines``: ``pipeline.yaml``, ``source.py``, ``features.py``, ``expectations.py``."""

    folder: Path
    spec: PipelineSpec

    @property
    def name(self) -> str:
        """The pipeline's name, also the lake's namespace."""
        return self.spec.name

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the folder's YAML and Python."""
        return spec_hash(self.folder)

    def module(self, stem: str) -> ModuleType:
        """Import ``<stem>.py`` of the folder, as ``module_of``."""
        return module_of(self.folder, stem)

    def function(self, stem: str, name: str) -> Callable[..., Any]:
        """Function ``name`` of ``<stem>.py``, as ``function_of``."""
        return function_of(self.folder, stem, name)


def module_of(folder: Path, stem: str) -> ModuleType:
    """Import ``<stem>.py`` of a pipeline's folder.

    Raises:
        SpecError: if the file is missing, or cannot be imported: with its line and the reason.
    """
    path = folder / f"{stem}.py"
    name = f"pipelines.{folder.name}.{stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    if not path.exists():
        raise SpecError(f"{path} is missing: pipeline '{folder.name}' needs it")
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]  # a second call must not find half a module
        raise SpecError(f"{place_of(error, path)}: {type(error).__name__}: {error}") from error
    return module


def function_of(folder: Path, stem: str, name: str) -> Callable[..., Any]:
    """Function ``name`` of ``<stem>.py`` in a pipeline's folder.

    Raises:
        SpecError: if the module or the function is missing.
    """
    found = getattr(module_of(folder, stem), name, None)
    if not callable(found):
        raise SpecError(f"{folder / stem}.py must define a function {name}(); see docs/add-a-pipeline.md")
    return found  # type: ignore[no-any-return]


def place_of(error: BaseException, path: Path) -> str:
    """The file, and its line that led to an error where the error tells it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {own[-1]}" if own else str(path)


def pipeline_names() -> list[str]:
    """Names of the folders under the pipelines path that hold a ``pipeline.yaml``."""
    return sorted(path.parent.name for path in settings().pipelines_path.glob("*/pipeline.yaml"))


def default_pipeline(name: str | None) -> str:
    """The named pipeline, or the only one, or flight_delay, which is shipped first."""
    if name:
        return name
    known = pipeline_names()
    return "flight_delay" if "flight_delay" in known or not known else known[0]


def load_pipeline(name: str) -> Pipeline:
    """Load a pipeline by the name of its folder, and check all of its spec.

    Raises:
        SpecError: for an unknown name, or with all that is wrong in its spec.
    """
    return _pipeline(name, load_spec(pipeline_file(name)))


def parse_pipeline(name: str) -> Pipeline:
    """Load a pipeline as a DAG file does: like ``load_pipeline``, but its SQL expressions are not bound.

    To bind them takes DuckDB, which costs the DAG processor half a second each time. Every stage binds them.

    Raises:
        SpecError: as ``load_pipeline``.
    """
    return _pipeline(name, load_spec(pipeline_file(name), bind=False))


def pipeline_file(name: str) -> Path:
    """The ``pipeline.yaml`` of a pipeline.

    Raises:
        SpecError: for an unknown name, with the nearest one.
    """
    folder = settings().pipelines_path
    if name not in (known := pipeline_names()):
        near = hint(name, known, "Known") if known else "there is none yet; make one: contrail new NAME --sample FILE"
        raise SpecError(f"no pipeline '{name}' in {folder}. {near}")
    return folder / name / "pipeline.yaml"


def _pipeline(name: str, spec: PipelineSpec) -> Pipeline:
    folder = settings().pipelines_path / name
    if spec.name != name:
        raise SpecError(
            f"{folder / 'pipeline.yaml'}: name is '{spec.name}' but the folder is '{name}'; make them the same"
        )
    return Pipeline(folder=folder, spec=spec)
