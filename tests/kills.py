"""Acts that die at a chosen step, each in a process of its own: as the machine's power does, not as an exception."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from typing import Any

import mlflow
import pytest

from contrail.config.settings import settings
from contrail.lake import publisher

_KILLED = 9
_LIBRARIES = ("xgboost", "mlflow.store.tracking.sqlalchemy_store", "contrail.stages.score", "contrail.adapters.engine")
# What outlasts a process: a commit in the lake, and each thing that MLflow keeps.
_STEPS = (
    (publisher, "swap"),
    (mlflow.MlflowClient, "set_registered_model_alias"),
    (mlflow.MlflowClient, "set_model_version_tag"),
)


def dies_at(step: int, act: Callable[..., None], *arguments: Any) -> bool:
    """Run an act in a process that dies right after one of its steps, from 1. Return False if it ended first."""
    child = forked(act.__module__).Process(target=in_home, args=(home(), _run, step, act, *arguments))
    child.start()
    child.join()
    assert child.exitcode in (0, _KILLED)
    return child.exitcode == _KILLED


@cache
def forked(module: str) -> Any:
    """Where children are forked from a process that has loaded the libraries, and has run nothing."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([module, *_LIBRARIES])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        forkserver.ensure_running()
    return forks


def home() -> dict[str, str]:
    """The environment of the test's home."""
    return {name: value for name, value in os.environ.items() if name.startswith("CONTRAIL_")}


def in_home(environment: dict[str, str], act: Callable[..., None], *arguments: Any) -> None:
    """Act in the home of the test; for a child, which has its own environment."""
    os.environ |= environment
    settings.cache_clear()
    act(*arguments)


def _run(step: int, act: Callable[..., None], *arguments: Any) -> None:
    count = 0

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            result = real(*args, **kwargs)
            count += 1
            if count == step:
                os._exit(_KILLED)
            return result

        setattr(owner, name, watched)

    for owner, name in _STEPS:
        watch(owner, name)
    act(*arguments)
