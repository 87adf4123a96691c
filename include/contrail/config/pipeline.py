"""A pipeline: its spec and the modules of its folder, loaded when asked for.

Nothing here knows what a module contains; each stage states the function that it calls.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

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
        """Import ``<stem>.py`` of the folder.

        Raises:
            SpecError: if the file is missing.
        """
        path = self.folder / f"{stem}.py"
        name = f"pipelines.{self.name}.{stem}"
        if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
            return sys.modules[name]
        if not path.exists():
            raise SpecError(f"{path} is missing: pipeline '{self.name}' needs it")
        module_spec = importlib.util.spec_from_file_location(name, path)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[name] = module
        module_spec.loader.exec_module(module)
        return module

    def function(self, stem: str, name: str) -> Callable[..., Any]:
        """Function ``name`` of ``<stem>.py``.

        Raises:
            SpecError: if the module or the function is missing.
        """
        found = getattr(self.module(stem), name, None)
        if not callable(found):
            raise SpecError(f"{self.folder / stem}.py must define a function {name}(); see docs/add-a-pipeline.md")
        return found  # type: ignore[no-any-return]


def pipeline_names() -> list[str]:
    """Names of the folders under the pipelines path that hold a ``pipeline.yaml``."""
    return sorted(path.parent.name for path in settings().pipelines_path.glob("*/pipeline.yaml"))


def load_pipeline(name: str) -> Pipeline:
    """Load a pipeline by the name of its folder.

    Raises:
        SpecError: for an unknown name, a wrong key, or a folder whose name differs from the spec's.
    """
    folder = settings().pipelines_path / name
    if not (folder / "pipeline.yaml").exists():
        raise SpecError(f"no pipeline '{name}' in {folder.parent}. Known: {', '.join(pipeline_names()) or 'none'}")
    spec = load_spec(folder / "pipeline.yaml")
    if spec.name != name:
        raise SpecError(f"{folder / 'pipeline.yaml'}: name is '{spec.name}' but the folder is '{name}'")
    return Pipeline(folder=folder, spec=spec)
