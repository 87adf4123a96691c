"""What feeds do: files that are cut, renamed, late, corrected, half there or hostile. The engineer is told, and mends them."""

import gzip
import json
import zlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from contrail.notify.messages import Kind
from tests.landed import landed_path, lines_of, with_column, write_lines
from tests.soak.calm import UNSCORED
from tests.soak.ground import BIKES, Ground
from tests.soak.incident import Incident, Told
from tests.soak.year import clear, settle, waited

_ZEROS = 1 << 30


class _Feed(Incident):
    """A file of the day is not as it should be. The engineer has the provider send it again, and clears the task."""

    table = "schedule"
    person = "engineer"
    cleared = ""  # by default the task that has failed

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        raise NotImplementedError

    def before(self, ground: Ground, number: int, day: date) -> None:
        feed = ground.feed(self.pipeline)
        path = landed_path(feed, self.table, str(day))
        (ground.folder / f"whole-{self.pipeline}-{self.table}-{day}").write_bytes(path.read_bytes())
        self.spoil(path, feed, day)

    def after(self, ground: Ground, number: int, day: date) -> bool:
        whole = ground.folder / f"whole-{self.pipeline}-{self.table}-{day}"
        landed_path(ground.feed(self.pipeline), self.table, str(day), revision=2).write_bytes(whole.read_bytes())
        return clear(ground, f"{self.pipeline}__daily", day, self.cleared)


class CutFile(_Feed):
    """A file ends in the middle."""

    told = (Told(Kind.refusal, "flight_delay ingest {day}.*schedule {day}: truncated_gzip"),)

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class RenamedColumn(_Feed):
    """A provider renames a column without notice."""

    pipeline, table = BIKES, "hours"
    told = (Told(Kind.refusal, "bike_demand ingest {day}.*hours {day}.*is_holiday"),)

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        head, *rows = lines_of(feed, self.table, str(day))
        write_lines(feed, self.table, str(day), [head.replace("is_holiday", "holiday"), *rows])


class MissingFile(_Feed):
    """The list of what to predict does not come in time."""

    told = (Told(Kind.refusal, "flight_delay ingest {day}.*schedule {day}: missing_file"),)

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        path.unlink()


class Bomb(_Feed):
    """A file of a megabyte unpacks to a gigabyte."""

    told = (Told(Kind.refusal, "flight_delay ingest {day}.*schedule {day}"),)

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        part = bytes(1 << 20)
        path.write_bytes(b"".join([*(packer.compress(part) for _ in range(_ZEROS >> 20)), packer.flush()]))


class BadHalf(_Feed):
    """Half of the rows of a file break their contract."""

    told = (Told(Kind.refusal, "flight_delay validate {day}.*schedule {day}.*distance"),)
    cleared = "ingest"

    def spoil(self, path: Path, feed: Any, day: date) -> None:
        spoilt = with_column(lines_of(feed, self.table, str(day)), "distance", _of_no_flight, slice(None, None, 2))
        write_lines(feed, self.table, str(day), spoilt)


class BadRows(Incident):
    """Three rows break their contract, and the rest of the day goes on without them."""

    told = (Told(Kind.late_data, "flight_delay replay .*schedule were mended.*{day}"),)
    person = "engineer"

    def before(self, ground: Ground, number: int, day: date) -> None:
        feed = ground.feed(self.pipeline)
        head, *rows = lines = lines_of(feed, "schedule", str(day))
        place = head.split(",").index("distance")
        right = " ".join(f"WHEN {line} THEN {row.split(',')[place]}" for line, row in enumerate(rows[:3], start=2))
        ground.write("spoilt", pipeline=self.pipeline, table="raw_schedule", day=str(day), right=right)
        ground.write("spoilt", pipeline=self.pipeline, table=UNSCORED, day=str(day))  # the mended rows came too late
        write_lines(feed, "schedule", str(day), with_column(lines, "distance", _of_no_flight, slice(3)))

    def after(self, ground: Ground, number: int, day: date) -> bool:
        kept = f"SELECT * FROM quarantine WHERE table_name = 'schedule' AND partition_date = '{day}'"
        if not json.loads(ground.contrail("query", "-p", self.pipeline, kept, "--format", "json")):
            return False  # a soak that was killed has mended them
        right = next(line["right"] for line in ground.journal("spoilt")[::-1] if "right" in line)
        asked = {
            "table": "schedule",
            "sql": f"SELECT _file, _line, CASE _line {right} END AS distance FROM quarantined WHERE _file LIKE '%{day}%'",
            "reason": "the provider's converter lost the distances",
        }
        run_id = ground.as_("engineer").trigger(f"{self.pipeline}__replay", asked)
        if waited(ground, f"{self.pipeline}__replay", run_id) != "success":
            raise RuntimeError(f"the replay of {day} failed")
        return False


class LateOutcomes(Incident):
    """Outcomes come a day late. Their day is made when they are there, and the next day takes them in."""

    days = 2
    told = (
        Told(Kind.refusal, "flight_delay ingest {day}.*outcomes {before}: missing_file"),
        Told(Kind.late_data, "flight_delay late {after}.*outcomes {before}"),
    )
    person = "engineer"

    def before(self, ground: Ground, number: int, day: date) -> None:
        late = day - timedelta(days=1 + number)
        path, away = landed_path(ground.feed(self.pipeline), "outcomes", str(late)), ground.folder / f"outcomes-{late}"
        if number == 0:
            path.rename(away)
        elif away.exists():
            away.rename(path)

    def after(self, ground: Ground, number: int, day: date) -> bool:
        yesterday = day - timedelta(days=1)
        if number and clear(ground, f"{self.pipeline}__daily", yesterday):
            settle(ground, {self.pipeline: yesterday})
        return False


class CorrectedOutcomes(Incident):
    """A provider corrects the delays of two days ago by a minute."""

    told = (Told(Kind.late_data, "flight_delay late {day}.*outcomes"),)

    def before(self, ground: Ground, number: int, day: date) -> None:
        past, feed = str(day - timedelta(days=2)), ground.feed(self.pipeline)
        outcomes = lines_of(feed, "outcomes", past)
        # By no more than the contract lets a delay differ from the time of landing.
        right = with_column(outcomes, "arr_delay", lambda delay: str(int(delay) + 1))
        path = write_lines(feed, "outcomes", past, right, revision=2)
        ground.write("corrected", pipeline=self.pipeline, day=past, path=str(path.relative_to(ground.home)))


class HalfADay(Incident):
    """A file has half of its rows, all of them good. The whole one comes a day later."""

    days = 2
    told = (
        Told(Kind.unusual, "flight_delay validate {day}.*schedule {day}: rows"),
        Told(Kind.late_data, "flight_delay late {after}.*schedule {day}"),
    )
    person = "provider"

    def before(self, ground: Ground, number: int, day: date) -> None:
        feed = ground.feed(self.pipeline)
        if number == 0:
            head, *rows = lines_of(feed, "schedule", str(day))
            (ground.folder / f"whole-{day}").write_bytes(landed_path(feed, "schedule", str(day)).read_bytes())
            write_lines(feed, "schedule", str(day), [head, *rows[::2]])
            ground.write("spoilt", pipeline=self.pipeline, table=UNSCORED, day=str(day))  # the others came too late
            return
        yesterday = day - timedelta(days=1)
        whole = (ground.folder / f"whole-{yesterday}").read_bytes()
        landed_path(feed, "schedule", str(yesterday), revision=2).write_bytes(whole)


class Shift(Incident):
    """A counter breaks: for six days it counts every tenth ride. Then the provider sends the right counts."""

    pipeline = BIKES
    days = 8
    told = (
        Told(Kind.drift, "bike_demand drift"),
        Told(Kind.late_data, "bike_demand late .*counts"),
        Told(Kind.refusal, "bike_demand promote", times=None),  # of a training that the governor may start
    )
    person = "provider"
    _BROKEN = 6

    def before(self, ground: Ground, number: int, day: date) -> None:
        feed, counted = ground.feed(self.pipeline), day - timedelta(days=1)
        if number < self._BROKEN:
            right = ground.folder / f"counts-{counted}"
            if not right.exists():
                right.write_text("\n".join(lines_of(feed, "counts", str(counted))) + "\n")
            few = with_column(right.read_text().splitlines(), "rides", lambda rides: str(int(rides) // 10))
            write_lines(feed, "counts", str(counted), few)
        elif number == self._BROKEN:
            for back in range(1, self._BROKEN + 1):
                past = str(counted - timedelta(days=back))
                text = (ground.folder / f"counts-{past}").read_bytes()
                landed_path(feed, "counts", past, revision=2).write_bytes(gzip.compress(text, mtime=0))


def _of_no_flight(_: str) -> str:
    """A distance that no two airports have."""
    return "-1"


FEEDS: tuple[type[Incident], ...] = (
    CutFile, BadRows, LateOutcomes, RenamedColumn, CorrectedOutcomes, MissingFile, HalfADay, Bomb, BadHalf, Shift,
)  # fmt: skip
