"""Kinds, each alone: in a home of its own that has a champion, through every stage to predictions, in a forked process.

So each kind shows its own time, memory and exit codes. The neighbour's day, and what is good of the day itself, must be
scored as on a calm day.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from contrail.adapters import registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from tests.chaos.arena import Arena
from tests.commands import exit_of
from tests.conftest import PROJECT
from tests.corpus.flights import FIRST, NAME, TABLE, land_good, make_pipeline, rows_of
from tests.corpus.forms import FORMS, Form
from tests.corpus.judged import Found, Seen, unexpected, wrongs_of
from tests.corpus.kind import HARMLESS, Kind, Place
from tests.corpus.rights import as_nobody
from tests.toy_tables import copy_empty_registry

DAY = date(2013, 2, 20)
NEXT = DAY + timedelta(1)
_DAYS = f"--from {DAY} --to {NEXT}"
# Beside what the libraries take: for blocks of text and their positions, and for DuckDB's own limit.
MOST_MB = 700
MOST_SECONDS = 60.0  # of processors; a busy machine is no fault of a kind
_PATIENCE_S = 900.0
_LIBRARIES = ("contrail.adapters.engine", "contrail.adapters.gx", "xgboost",
              *(f"contrail.stages.{verb}" for verb in ("ingest", "validate", "features", "train", "score")))  # fmt: skip


@dataclass
class Result:
    """What became of a kind in a format, and what it cost."""

    kind: str
    form: str
    found: Found
    codes: dict[str, int | None] = field(default_factory=dict)
    seconds: float = 0.0
    megabytes: float = 0.0
    said: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "found": self.found.as_dict()}


class Alone:
    """A home with good days and a champion, brought back before each kind."""

    def __init__(self, folder: Path) -> None:
        for library in _LIBRARIES:
            importlib.import_module(library)
        self._pipelines = folder / "pipelines"
        os.environ["CONTRAIL_MEMORY_LIMIT"] = "256MiB"
        self._arena = Arena(folder, NAME, self._pipelines, PROJECT)
        self._result = folder / "result.json"
        make_pipeline(self._pipelines, FORMS["csv.gz"])
        self._arena.fill(_fill)
        self._form: Form | None = None
        self._calm: dict[str, list[Any]] = {}

    def tried(self, kind: Kind, form: Form) -> Result:
        """Land a kind, and run all stages."""
        if form is not self._form:
            self._form = form
            (self._pipelines / NAME / "pipeline.yaml").unlink()
            for left in (self._pipelines / NAME).glob("*.py"):
                left.unlink()
            (self._pipelines / NAME).rmdir()
            make_pipeline(self._pipelines, form, unusual="refuse")
            self._calm = self._run(_GOOD, form)[1]["predictions"]
        result, told = self._run(kind, form)
        result.found.wrong += self._wrong_predictions(result.found, told.get("predictions", {}))
        result.found.wrong += unexpected(kind, form, result.found)
        return result

    def _run(self, kind: Kind, form: Form) -> tuple[Result, dict[str, Any]]:
        self._arena.restore()
        self._result.unlink(missing_ok=True)
        began = time.monotonic()
        running = self._arena.starts(lambda: _act(kind, form, self._result))
        code, seconds, peak = _ends(running.process, began)
        said = running.said.read_text(errors="replace") if running.said.exists() else ""
        running.said.unlink(missing_ok=True)
        found: dict[str, Any] = {"outcome": "none", "wrong": [f"the process ended with {code}: {said[-400:]}"]}
        told: dict[str, Any] = {"codes": {}, "found": found}
        if self._result.exists():
            told = json.loads(self._result.read_text())
        result = Result(kind.name, str(form), Found(**told["found"]), told["codes"], seconds, peak / 1024, said)
        result.megabytes -= told.get("before", 0)
        result.found.wrong += wrongs_of(said, result.codes, self._arena.home / "errors")
        if code:
            result.found.wrong.append(f"the process ended with {code}")
        if seconds > MOST_SECONDS:
            result.found.wrong.append(f"it took {seconds:.0f} s of a processor")
        if result.megabytes > MOST_MB:
            result.found.wrong.append(f"it took {result.megabytes:,.0f} MB of memory")
        return result, told

    def _wrong_predictions(self, found: Found, given: dict[str, list[Any]]) -> Iterator[str]:
        """Predictions of the neighbour must be those of a calm day; of the day itself, those of its good rows."""
        calm = {day: dict(map(tuple, rows)) for day, rows in self._calm.items()}
        own = {day: dict(map(tuple, rows)) for day, rows in given.items()}
        if own and own.get(str(NEXT)) != calm[str(NEXT)]:
            yield "the day after has other predictions"
        mine, whole = own.get(str(DAY), {}), calm[str(DAY)]
        if any(whole.get(key) != score for key, score in mine.items()):
            yield "the day has predictions that a calm day has not"
        if len(mine) != found.rows:
            yield f"{len(mine)} predictions of {found.rows} good rows"


def _good(at: Place) -> None:
    at.land(at.good())


_GOOD = Kind("a calm day", tuple(FORMS), _good, {"": HARMLESS})


def _fill() -> None:
    """Seven weeks of good days, with features and a champion. What has landed is taken away: the next may be of another form."""
    landing = _landing()
    last = DAY - timedelta(1)
    for day in Partitions(FIRST, last):
        land_good(landing, day, FORMS["csv.gz"])
    for verb in ("ingest", "validate", "features"):
        _must(f"{verb} -p {NAME} --from {FIRST} --to {last}")
    copy_empty_registry(settings())
    _must(f"train -p {NAME} --from {FIRST} --to {last - timedelta(3)} --set nthread=1")
    registry.set_alias(settings(), registry.describe_version(settings(), NAME, "1"), "champion")
    for path in (landing / TABLE).iterdir():
        path.unlink()


def _must(line: str) -> None:
    code = exit_of(f"contrail {line}")
    assert code == 0, (line, code)


def _landing() -> Path:
    return Path(str(settings().landing)) / NAME


def _act(kind: Kind, form: Form, result: Path) -> None:
    """Land the day and the day after, run the stages, and write down what became of them."""
    landing = _landing()
    for day in (DAY, NEXT):
        land_good(landing, day, form)
    at = Place(landing / TABLE, DAY, form)
    at.path.unlink()
    kind.make(at)
    before = _peak()
    with as_nobody():
        codes: dict[str, int | None] = {
            verb: exit_of(f"contrail {verb} -p {NAME} {_DAYS}") for verb in ("ingest", "validate")
        }
    lake = Lake(settings(), load_pipeline(NAME).name)
    seen = Seen(lake, Partitions(DAY, NEXT))
    found = seen.judge(DAY, rows_of(DAY), at.rows)
    after = seen.judge(NEXT, rows_of(NEXT), None)
    if after.outcome != HARMLESS or after.wrong:
        found.wrong.append(f"the day after is {after.outcome}: {after.told[:200]}")
    for verb in ("features", "score") if found.rows else ():
        codes[verb] = exit_of(f"contrail {verb} -p {NAME} {_DAYS}")
    told = {"codes": codes, "found": found.as_dict(), "predictions": _predictions(lake), "before": before}
    result.write_text(json.dumps(told))


def _peak() -> float:
    """Megabytes that this process had at most so far: those of the process it was forked from, and of making the kind."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _predictions(lake: Lake) -> dict[str, list[Any]]:
    if not lake.exists("predictions"):
        return {}
    found: dict[str, list[Any]] = {}
    key = ["carrier", "flight", "origin"]
    for row in lake.scan("predictions", Partitions(DAY, NEXT)).to_pylist():
        value = row["probability"]
        found.setdefault(str(row["partition_date"]), []).append(("|".join(str(row[name]) for name in key), value))
    return found


def _ends(process: int, began: float) -> tuple[int | None, float, int]:
    """Wait for a process, or kill it. Its exit code, its seconds of a processor, and its largest memory in kilobytes."""
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        if time.monotonic() - began > _PATIENCE_S:
            os.killpg(process, signal.SIGKILL)
            _, _, usage = os.wait4(process, 0)
            return None, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        time.sleep(0.01)


def run(folder: Path, cases: Sequence[tuple[Kind, Form]]) -> Iterator[Result]:
    """Try the cases, one after another; those of a format together cost least."""
    home = Alone(folder)
    for kind, form in cases:
        yield home.tried(kind, form)
        sys.stdout.flush()
