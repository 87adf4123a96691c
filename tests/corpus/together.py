"""All kinds of one format in one home: each on a day of its own, with good days between, taken in by one command.

That is quick, and shows that a bad file harms no other day. What each costs alone is seen in ``alone``.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pytest

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from tests.commands import exit_of
from tests.conftest import PROJECT
from tests.corpus.flights import FIRST, LAST, NAME, TABLE, land_good, make_pipeline, rows_of
from tests.corpus.forms import FORMS, Form
from tests.corpus.judged import Found, Seen, unexpected, wrongs_of
from tests.corpus.kind import HARMLESS, Kind, Place
from tests.corpus.rights import as_nobody

# Of flights a day is known to be unusual after this many.
_GOOD = 21
_SAID = 4_000
_SATURDAY = 5  # has fewer flights
# Days that are unlike their last weeks by themselves: holidays.
_UNLIKE = {date(2013, 5, 26), date(2013, 7, 4), date(2013, 7, 5), date(2013, 8, 31), date(2013, 9, 1), date(2013, 11, 28),
           date(2013, 11, 30), date(2013, 12, 24), date(2013, 12, 25)}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What became of a kind in a format."""

    kind: Kind
    form: Form
    found: Found

    @property
    def wrong(self) -> list[str]:
        """What is wrong with it."""
        return [*self.found.wrong, *unexpected(self.kind, self.form, self.found)]


@dataclass(frozen=True)
class Told:
    """What became of all kinds, and what went wrong beside them."""

    judged: Sequence[Judged]
    wrong: Sequence[str]
    said: str


def run(folder: Path, form_name: str, kinds: Iterable[Kind]) -> Told:
    """Land the kinds in a new home below ``folder``, ingest and validate them, and say what became of each."""
    form, chosen = FORMS[form_name], [kind for kind in kinds if form_name in kind.forms]
    make_pipeline(folder / "pipelines", form, unusual="refuse")
    with _home(folder), as_nobody():
        landing = Path(str(settings().landing)) / NAME
        places, last = _land(landing, form, chosen)
        line, out = f"-p {NAME} --from {FIRST} --to {last}", StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            codes = {verb: exit_of(f"contrail {verb} {line}") for verb in ("ingest", "validate")}
        days = Partitions(FIRST, last)
        seen = Seen(Lake(settings(), load_pipeline(NAME).name), days)
        found_of = [(Judged(kind, form, seen.judge(at.day, at.good_rows(), at.rows)), at) for kind, at in places]
        judged = [one for one, at in found_of if not _unlike(one, at)]
        wrong = [*wrongs_of(out.getvalue(), codes, settings().home_path / "errors")]
        taken = {at.day for _, at in places} | _UNLIKE
        for day in days:
            found = seen.judge(day, rows_of(day), None)
            if day not in taken and found.outcome != HARMLESS and found.rules != ("unusual",):
                wrong.append(f"the good day {day} was not taken: {found.outcome} {found.rules}: {found.told[:200]}")
    return Told(judged, wrong, out.getvalue()[:_SAID])


def _land(landing: Path, form: Form, kinds: Sequence[Kind]) -> tuple[list[tuple[Kind, Place]], date]:
    """Land good days, and the kinds between them."""
    day = FIRST + timedelta(_GOOD)
    for each in Partitions(FIRST, day):
        land_good(landing, each, form)
    places = []
    for kind in kinds:
        day += timedelta(1)
        while day in _UNLIKE or day.weekday() == _SATURDAY:
            land_good(landing, day, form)
            day += timedelta(1)
        land_good(landing, day, form)
        at = Place(landing / TABLE, day, form)
        at.path.unlink()
        kind.make(at)
        places.append((kind, at))
        day += timedelta(1)
        assert day <= LAST, "there are more kinds than the year has days"
        land_good(landing, day, form)
    return places, day


def sample(kinds: Iterable[Kind], count: int, seed: int) -> list[Kind]:
    """Some kinds, in the order of all."""
    listed = list(kinds)
    chosen = set(random.Random(seed).sample(range(len(listed)), min(count, len(listed))))  # noqa: S311 - which examples, no secret
    return [kind for number, kind in enumerate(listed) if number in chosen]


def _unlike(one: Judged, at: Place) -> bool:
    """Whether a day is refused because even its good rows are more or fewer than usual: then it says nothing of the kind."""
    by_itself = one.found.rules == ("unusual",) and one.found.told.startswith(f"rows {len(at.good_rows()):,};")
    return by_itself and "unusual" not in one.kind.expects(one.form)


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRAIL_HOME", str(folder / "home"))
        patch.setenv("CONTRAIL_PROJECT", str(PROJECT))
        patch.setenv("CONTRAIL_PIPELINES", str(folder / "pipelines"))
        patch.setenv("CONTRAIL_SANDBOX", "")
        settings.cache_clear()
        yield
    settings.cache_clear()
