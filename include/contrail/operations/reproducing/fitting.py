"""The process that fits: how it is started, what it is asked, and its answers. What it does is ``refit``'s."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contrail.errors import EngineError
from contrail.operations.reproducing import refit
from contrail.operations.reproducing.refit import Asked, Facts, Made
from contrail.operations.reproducing.workplace import Code

_TOLD = 40  # last lines of what it says


@dataclass(frozen=True)
class Answer:
    """The facts, and the model; ``failed`` says why this code could not tell them or make it."""

    facts: Facts
    made: Made | None
    failed: str


def answers(python: Path, code: Code, asked: Asked, scratch: Path, told: Callable[[Facts], None]) -> Answer:
    """Start the process and wait for its end. ``told`` gets the facts before the fit.

    Raises:
        EngineError: when the process ends without an answer, with its last lines.
    """
    facts, made, failed, lines = Facts(), None, "", list[str]()
    with _process(python, code, asked, scratch) as process:
        for line in process.stdout or ():
            kind, answer = _parsed(line)
            if kind == "facts":
                facts = refit.known(Facts, answer)
                _check_package(facts, code)
                told(facts)
            elif kind == "made":
                made = refit.known(Made, answer)
            elif kind == "failed":
                failed = str(answer)
            else:
                lines = [*lines, line.rstrip()][-_TOLD:]
    ended = made is not None or failed or (facts.package and asked.training_set is None)
    if not ended:
        raise EngineError(
            f"the process that fits ended with {process.returncode}, without a model. Nothing was changed. Its last lines:\n"
            + "\n".join(lines)
        )
    return Answer(facts, made, failed)


def _check_package(facts: Facts, code: Code) -> None:
    if not Path(facts.package).resolve().is_relative_to(code.project.resolve()):
        raise EngineError(
            f"Python took the code of {facts.package}, and not that of {code.project}. Nothing was fitted."
        )


@contextmanager
def _process(python: Path, code: Code, asked: Asked, scratch: Path) -> Iterator["subprocess.Popen[str]"]:
    own = code.project / "include" / "contrail" / Path(refit.__file__).relative_to(Path(refit.__file__).parents[2])
    script = own if own.exists() else Path(refit.__file__)
    file = scratch / "asked.json"
    file.write_text(json.dumps(asdict(asked), default=str))
    environment = {
        **os.environ,
        "PYTHONPATH": str(code.project / "include"),
        "CONTRAIL_PROJECT": str(code.project),
        "CONTRAIL_PIPELINES": str(code.pipelines),
        "CONTRAIL_HOME": str(scratch / "home"),
    }
    process = subprocess.Popen(
        [str(python), "-P", str(script), str(file)],
        cwd=scratch, env=environment, text=True, errors="replace",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
        process.wait()
    finally:
        process.kill()
        process.communicate()


def _parsed(line: str) -> tuple[str, Any]:
    """The kind of an answer and the answer. Libraries print lines too."""
    try:
        ((kind, answer),) = json.loads(line).items()
    except (ValueError, AttributeError):
        return "", None
    return str(kind), answer
