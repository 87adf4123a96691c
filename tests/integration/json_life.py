"""A home with the toy pipeline, the commands of its life, and the JSON that they print and leave."""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES
from tests.normal_json import Normal
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs
from tests.unit.dispatch import priced as receipts

from contrail.cli import app as cli
from contrail.config.settings import settings

# What is said of shadow scoring and of days scored again is empty without them.
_SPEC = {
    "gate:\n": "gate:\n  shadow: true\n  min_shadow_days: 3\n",
    "retrain:\n": "score: {late_data: rescore}\nretrain:\n",
}
_ENVIRONMENTS = {
    "golden": {"extends": "dev"},
    "analysts": {
        "extends": "golden",
        "analysts": {"kind": "bigquery", "project": "p", "dataset": "d", "views_dataset": "v", "location": "EU"},
    },
}

# A bill of materials lists the lock: one of two libraries that nobody has, since each new lock would change the real one.
_LOCK = f"""parcels==1.2.0 ; sys_platform == 'linux' \\
    --hash=sha256:{"1" * 64}
    # via -r requirements.in
string==0.9 \\
    --hash=sha256:{"2" * 64} \\
    --hash=sha256:{"3" * 64}
    # via parcels
"""


@dataclass
class Life:
    """A home with the toy pipeline in it, and the JSON that was found there, by the name of its golden file."""

    place: Path
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    forms: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def toy(self) -> Any:
        """What ``tests.landed`` needs to know."""
        return SimpleNamespace(landing=self.home / "landing" / "toy")

    def stage(self, verb: str, *arguments: str, name: str = "", code: int = 0) -> None:
        """Run a stage and keep what it prints. The only place that knows how the command of a stage is spelled."""
        self.command(verb, "-p", "toy", *arguments, "--json", name=name or verb, code=code)

    def command(self, *arguments: str, name: str = "", code: int = 0, invented: bool = False) -> None:
        """Run a command in this process; what it prints is kept under a name, as one line of JSON."""
        printed, said = io.StringIO(), io.StringIO()
        found: Any = 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(said):
            patch.setattr(sys, "argv", ["contrail", *arguments])
            try:
                cli.main()
            except SystemExit as exit_:
                found = exit_.code or 0
        assert found == code, f"{arguments} ended with {found}:\n{said.getvalue()}"
        if name and printed.getvalue():
            (line,) = printed.getvalue().splitlines()
            assert line == json.dumps(json.loads(line)), f"{arguments}: the layout of the JSON has changed"
            self.keep(name, json.loads(line), invented=invented)

    def file(self, name: str, pattern: str, indent: int | None = 1, *, invented: bool = False) -> None:
        """Keep the only file of the home that has this pattern; it is written with this indent."""
        (path,) = self.home.glob(pattern)
        text = path.read_text(encoding="utf-8")
        assert text.rstrip("\n") == json.dumps(json.loads(text), indent=indent), f"{path}: its layout has changed"
        self.keep(name, json.loads(text), invented=invented)

    def keep(self, name: str, value: Any, *, invented: bool = False) -> None:
        """Keep a JSON value; ``invented`` as in ``Normal``."""
        assert name not in self.forms, name
        self.results[name] = value
        shown = Normal(self.place, self.started, invented).of(value)
        self.forms[name] = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def toy_life(place: Path) -> Iterator[Life]:
    """A project folder with environments and the pipeline's copy, so that nothing of Contrail must be replaced for them."""
    project, pipelines = place / "project", place / "pipelines"
    shutil.copytree(PROJECT / "include" / "environments", project / "include" / "environments")
    shutil.copytree(TOY_PIPELINES / "toy", pipelines / "toy")
    (project / "requirements.txt").write_text(_LOCK)
    (project / "REVISION").write_text("0" * 40)
    (project / "prices.yaml").write_text(receipts.PRICES)
    dispatch = {
        "jobs_uri": f"file://{place}/home/jobs",
        "stages": {"train": "gpu", "features": "gpu"},
        "targets": {"gpu": receipts.GPU},
        "prices": str(project / "prices.yaml"),
        "monthly_budget": 10,
    }
    for name, values in _ENVIRONMENTS.items():
        content = values | ({"dispatch": dispatch} if name == "golden" else {})
        (project / "include" / "environments" / f"{name}.yaml").write_text(json.dumps(content))
    spec = pipelines / "toy" / "pipeline.yaml"
    for old, new in _SPEC.items():
        assert old in spec.read_text()
        spec.write_text(spec.read_text().replace(old, new))
    variables = {
        "CONTRAIL_HOME": place / "home", "CONTRAIL_PROJECT": project, "CONTRAIL_PIPELINES": pipelines,
        "CONTRAIL_ENV": "golden", "CONTRAIL_PERSON": "ann",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, str(value))
        settings.cache_clear()
        copy_empty_registry(settings())
        skip_what_only_train_needs(patch)
        yield Life(place)
    settings.cache_clear()
