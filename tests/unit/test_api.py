"""The public API: each name has an example, and the example runs."""

import doctest
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import functions as F

from contrail import api
from contrail.adapters.engine import spark_session
from contrail.config.settings import EngineSettings

# Another library's; its own documentation has the examples.
FOREIGN = {"UPath"}


@pytest.mark.parametrize("name", [name for name in api.__all__ if name not in FOREIGN])
def test_each_name_has_an_example_that_runs(name: str, tmp_path: Path) -> None:
    given = {
        **{known: getattr(api, known) for known in api.__all__},
        "spark": spark_session(EngineSettings()),
        "F": F,
        "date": date,
        "pd": pd,
        "landing": api.UPath(tmp_path),
    }
    # The class alone: its methods' docstrings have no examples of their own.
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs=given)
    assert found.examples, f"{name} has no example in its docstring"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found, out=said.append)
    assert not said, "".join(said)
