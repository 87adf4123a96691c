"""What the project's own repository shows: tests that CI collects and runs, what CI makes, and what git has committed.

Files are read, never run. Without a repository, as in an installed wheel, nothing is shown.
"""

import ast
import re
import tomllib
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from contrail import git
from contrail.operations.score_card.claims import Claim, Needed

_CI, _SCRIPT, _MAKEFILE = ".github/workflows/ci.yaml", ".ci/run", "Makefile"
_MADE = re.compile(r"^\s*make((?:[ \t]+[\w=./-]+)+)", re.MULTILINE)
_RECIPE = re.compile(r"^([a-z-]+):.*\n((?:\t.*\n?|\n)*)", re.MULTILINE)
_EVERY_CHANGE = {"pull_request", "push"}


class Repository:
    """The repository at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.committed_at = cache(self._committed_at)

    def text(self, path: str) -> str:
        """A file's text; empty when there is none."""
        file = self.root / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    # ---- CI ----

    @cached_property
    def made_by_ci(self) -> frozenset[str]:
        """The targets of make that CI makes for each change."""
        said = _yaml(self.text(_CI))
        # YAML reads the key `on` as true.
        if not _EVERY_CHANGE.issubset(said.get("on", said.get(True, {})) or ()):
            return frozenset()
        steps = [step for job in said.get("jobs", {}).values() for step in job.get("steps", ())]
        scripts = [str(step.get("run", "")) for step in steps]
        scripts += [self.text(_SCRIPT) for script in scripts if _SCRIPT in script]
        words = (word for script in scripts for made in _MADE.findall(script) for word in made.split())
        return frozenset(word for word in words if not word.startswith("-") and "=" not in word)

    @cached_property
    def recipes(self) -> dict[str, str]:
        """The commands of each target of the Makefile."""
        return dict(_RECIPE.findall(self.text(_MAKEFILE)))

    def ci_makes(self, target: str, needed: Needed, says: str, *words: str) -> Claim:
        """Claim that CI makes a target for each change, and that its recipe has these words."""
        recipe = self.recipes.get(target, "")
        holds = target in self.made_by_ci and all(re.search(rf"\b{re.escape(word)}\b", recipe) for word in words)
        missing = f"CI does not make {' '.join((target, *words))} for each change"
        return Claim(
            holds=holds, says=says if holds else missing, needed=needed, how="cited", of="project",
            link=f"{_CI}, {_MAKEFILE}: {target}", at=self.committed_at(_CI), remedy=f"let {_SCRIPT} make {target}",
        )  # fmt: skip

    # ---- tests ----

    def test(self, path: str, needed: Needed, says: str, *names: str) -> Claim:
        """Claim that a file has tests, with these names where some are given, and that CI runs them."""
        there = self.tests_in(path)
        missing = [name for name in names if name not in there]
        if not there:
            wrong = f"{path} has no tests"
        elif missing:
            wrong = f"{path} has no {', '.join(missing)}"
        else:
            wrong = "" if "test" in self.made_by_ci else "CI does not make test for each change"
        return Claim(
            holds=not wrong, says=wrong or says, needed=needed, how="cited", of="project",
            link=f"{path}::{names[0]}" if names else path, at=self.committed_at(path), remedy=f"a test in {path} that CI runs",
        )  # fmt: skip

    def tests_in(self, path: str) -> list[str]:
        """Names of the tests in a file that pytest collects and does not always skip."""
        if not (Path(path).name.startswith("test_") and path.endswith(".py") and path.startswith(self._test_paths)):
            return []
        try:
            body = ast.parse(self.text(path)).body
        except SyntaxError:
            return []
        if any(
            isinstance(one, ast.Assign) and "pytestmark" in ast.unparse(one.targets[0]) and _skips(one) for one in body
        ):
            return []
        functions = [one for one in body if isinstance(one, ast.FunctionDef) and one.name.startswith("test")]
        return [one.name for one in functions if not any(_skips(each) for each in one.decorator_list)]

    @cached_property
    def _test_paths(self) -> tuple[str, ...]:
        """The folders where pytest looks."""
        try:
            said = tomllib.loads(self.text("pyproject.toml"))
        except tomllib.TOMLDecodeError:
            return ()
        return tuple(f"{one}/" for one in _options(said).get("testpaths", ()))

    # ---- git ----

    def is_committed(self, path: Path) -> bool:
        """Whether git has a file or folder as it is now."""
        there = git.said(self.root, "ls-files", "--", str(path))
        return bool(there) and not git.said(self.root, "status", "--porcelain", "--", str(path))

    def _committed_at(self, path: str) -> str:
        return git.said(self.root, "log", "-1", "--format=%cI", "--", path)


def _yaml(text: str) -> dict[Any, Any]:
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return said if isinstance(said, dict) else {}


def _skips(said: ast.AST) -> bool:
    """`make test` leaves out what is marked production."""
    return bool(re.search(r"mark\.(skip|xfail|production)\b", ast.unparse(said)))


def _options(said: dict[str, Any]) -> dict[str, Any]:
    """Options of pytest, which both of its tables may have."""
    found = said.get("tool", {}).get("pytest", {})
    return {**found, **found.get("ini_options", {})}
