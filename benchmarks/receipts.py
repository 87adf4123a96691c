"""What it takes to question a number: why, what-if, reproduce, check-leaks and score-card, on the year of flights.

Each command is a process of its own, as a person starts it. Beside them stand the stages that did the work first: a
training, and scorings. A second model scores October anew, so that there is an older score to ask for.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from benchmarks.harness import PIPELINE, RUNS, Measured, contrail, measured

WINDOW = ("--from", "2013-01-01", "--to", "2013-08-31")
QUARTER = ("--from", "2013-10-01", "--to", "2013-12-28")
_DAY, _WEEK = "2013-10-05", ("--from", "2013-12-01", "--to", "2013-12-07")
_ROWS = 1_000
_MODEL = "latest"


class _Asked(NamedTuple):
    """A line of the table: what a person asks, the arguments, and the line that it is compared with."""

    name: str
    arguments: Sequence[str]
    beside: str = ""


_TRAINING, _SCORE_DAY, _SCORE_QUARTER = "a training of 8 months", "a scoring of one day", "a scoring of three months"


def measure() -> str:
    """Ask each question, and tell processor seconds, wall seconds and peak memory."""
    before = datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    work = [
        _Asked(_TRAINING, ["train", "-p", PIPELINE, *WINDOW]),
        _Asked(_SCORE_QUARTER, ["score", "-p", PIPELINE, *QUARTER, "--model", "champion"]),
    ]
    found = {one.name: [_measured(one)] for one in work}
    contrail("score", "-p", PIPELINE, "--from", "2013-10-01", "--to", "2013-10-31", "--model", _MODEL)
    key, rows = _one_row(), _rows()
    questions = _questions(key, before)
    for _ in range(RUNS):
        for one in questions:
            found.setdefault(one.name, []).append(_measured(one))
    last = _Asked("reproduce: fit the champion again, and compare", ["reproduce", "-p", PIPELINE], _TRAINING)
    found[last.name] = [_measured(last)]
    return _table([*work, last, *questions], found, rows)


def _questions(key: str, before: str) -> list[_Asked]:
    why, one = ["why", key, "-p", PIPELINE, "--on", _DAY], "why: one row"
    return [
        _Asked(_SCORE_DAY, ["score", "-p", PIPELINE, "--from", "2013-12-05", "--model", "champion"]),
        _Asked(one, why, _SCORE_DAY),
        _Asked("why: as readers saw it before its correction", [*why, "--as-of", before], one),
        _Asked("what-if: another value, and what flips it", ["what-if", key, "dest_delay_1d=40", *why[2:]], one),
        _Asked(f"why: {_ROWS:,} random rows of three months", ["why", "-p", PIPELINE, "--sample", str(_ROWS)], _SCORE_QUARTER),
        _Asked("check-leaks: a week, one cut-off", ["check-leaks", "-p", PIPELINE, *_WEEK, "--cutoffs", "1"], _TRAINING),
        _Asked("score-card", ["score-card", "-p", PIPELINE], _TRAINING),
    ]  # fmt: skip


def _measured(asked: _Asked) -> Measured:
    taken = measured([*asked.arguments, "--json"], CONTRAIL_SANDBOX="")
    print(f"  {asked.name}: {taken.cpu:.1f} s of CPU, {taken.wall:.1f} s, {taken.memory / 1e6:,.0f} MB", flush=True)
    return taken


def _one_row() -> str:
    """The key of one prediction of the day, as a person types it."""
    sql = f"SELECT carrier, flight, origin FROM predictions WHERE partition_date = '{_DAY}' ORDER BY ALL LIMIT 1"
    (row,) = json.loads(measured(["query", sql, "-p", PIPELINE, "--format", "json"]).said)
    return ",".join(str(value) for value in row.values())


def _rows() -> str:
    sql = f"SELECT count(*) AS n FROM predictions WHERE partition_date BETWEEN '{QUARTER[1]}' AND '{QUARTER[3]}'"
    return f"{json.loads(measured(['query', sql, '-p', PIPELINE, '--format', 'json']).said)[0]['n']:,}"


def _table(asked: Sequence[_Asked], found: dict[str, list[Measured]], rows: str) -> str:
    def median(name: str, value: Callable[[Measured], float]) -> float:
        return statistics.median(value(one) for one in found[name])

    lines = []
    for one in asked:
        cpu = [each.cpu for each in found[one.name]]
        ratio = f"{median(one.name, _cpu) / median(one.beside, _cpu):.2f} of {one.beside}" if one.beside else ""
        lines.append(
            f"| {one.name} | {_range(cpu)} | "
            f"{median(one.name, lambda taken: taken.wall):.1f} s | "
            f"{median(one.name, lambda taken: taken.memory) / 1e6:,.0f} MB | {ratio} |"
        )
    return "\n".join([
        "## What a question to a number costs", "",
        "| command | CPU | wall | peak memory | CPU beside other work |", "|" + "---|" * 5, *lines, "",
        f"Whole processes, imports included. Medians of {RUNS} runs, with their range; the training, `reproduce` and the scoring "
        "of three months ran once. `reproduce` leaves out a training's evaluation, findings, plots and registration. "
        f"The peak is that of the largest process. The three months have {rows} rows. "
        f"`why` of {_ROWS:,} rows fetches the features of each from its own snapshot, and compares score and reasons to the "
        "last bit.", "",
    ])  # fmt: skip


def _range(cpu: Sequence[float]) -> str:
    median = f"{statistics.median(cpu):.1f} s"
    return f"{median} ({min(cpu):.1f}–{max(cpu):.1f})" if len(cpu) > 1 else median


def _cpu(taken: Measured) -> float:
    return taken.cpu
