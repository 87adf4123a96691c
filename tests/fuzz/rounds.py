"""Rounds of examples of one target, and what was wrong with them."""

import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed
from hypothesis import settings as of_hypothesis

from contrail.config.settings import settings
from tests.conftest import toy_in
from tests.fuzz import calls, pages, questions, readers, specs
from tests.fuzz.target import Target
from tests.toy_tables import publish_toy

NAMES = (
    *(target.name for module in (readers, specs, calls, pages) for target in module.TARGETS),
    "query",
)


@dataclass
class Rounds:
    """What was tried of a target. ``faults`` has the trace of each kind of fault by where it arose."""

    name: str
    examples: int = 0
    seconds: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)


@contextmanager
def ground(folder: Path) -> Iterator[dict[str, Target]]:
    """A home with some days of the toy, and a folder to work in; gives all targets by name."""
    work = folder / "work"
    work.mkdir(parents=True)
    here = Path.cwd()
    with toy_in(folder / "home") as (toy, patch):
        patch.setenv("CONTRAIL_SANDBOX", "")
        patch.setenv("CONTRAIL_MEMORY_LIMIT", "256MiB")
        settings.cache_clear()
        publish_toy(toy, "2024-01-01", "2024-01-03")
        os.chdir(work)
        try:
            every = [
                *readers.TARGETS,
                *specs.TARGETS,
                *calls.TARGETS,
                *pages.TARGETS,
                questions.target(questions.Watched()),
            ]
            yield {target.name: target for target in every}
        finally:
            os.chdir(here)


def tried(target: Target, number: int, count: int, found: Rounds) -> None:
    """Try so many examples, other ones for each number."""
    began, tries, last = time.monotonic(), 0, ""

    def check(example: object) -> None:
        nonlocal tries, last
        tries += 1
        try:
            target.tried(example)
        except Exception:
            last = repr(example)  # Hypothesis tries the smallest one last
            raise

    run = of_hypothesis(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run(seed(number)(given(target.examples)(check)))()
    except Exception as error:
        found.faults.setdefault(_where(error), f"{_told(error)}\n{last[:3_000]}")
    found.examples += tries
    found.seconds += time.monotonic() - began


def _where(error: BaseException) -> str:
    """The line of Contrail in which an error arose, or what is wrong in a few words."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if "/contrail/" in one.filename]
    at = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__} {at} {str(error)[:60] if not own else ''}".strip()


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3_000:]
