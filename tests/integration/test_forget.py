"""A person is forgotten after a whole chain: no byte of the home has the person, all other rows are as they were."""

import json
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests import people
from tests.conftest import PROJECT, Toy
from tests.landed import edit, landed_path, lines_of, set_field, write_lines
from tests.people import CUSTOMER, MARK, WHERE
from tests.scan import holding

from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.lake import erasure, publisher
from contrail.lake.records import all_datasets
from contrail.notify.delivery import deliver
from contrail.notify.messages import of_failure
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.forget import Forget
from contrail.operations.forgetting import places, texts
from contrail.operations.forgetting.places import PLACES, WITHOUT_ROWS
from contrail.operations.status import partition_status
from contrail.partitions import Partitions

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("forget")]

FIRST, TRAINED, LAST = "2024-01-01", "2024-01-16", "2024-02-04"
GATE, STRETCH = ("2024-01-18", "2024-01-31"), ("2024-02-01", LAST)
BAD, REFUSED, AGAIN = "2024-02-01", "2024-02-02", "2024-02-03"


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toy, Path]]:
    """A home in which everything has happened that may leave a row of the person somewhere."""
    base = tmp_path_factory.mktemp("people")
    people.make_pipeline(base / "pipelines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRAIL_HOME", str(base / "home"))
        patch.setenv("CONTRAIL_PROJECT", str(PROJECT))
        patch.setenv("CONTRAIL_PIPELINES", str(base / "pipelines"))
        settings.cache_clear()
        toy = people.open_people(base / "home")
        fill(toy)
        yield toy, base / "home"
    settings.cache_clear()


def fill(toy: Toy) -> None:
    people.land(toy, FIRST, LAST)
    mine = next(n for n, line in enumerate(lines_of(toy, "parcels", BAD), start=1) if CUSTOMER in line)
    set_field(toy, "parcels", BAD, mine, "weight", "heavy")
    set_field(toy, "parcels", BAD, mine + 7, "weight", "-3")
    edit(toy, "parcels", BAD, mine + 14, lambda cells: [*cells[:6], f"{MARK} is at home {'in the evening ' * 3}"])
    whole = lines_of(toy, "parcels", REFUSED)
    ragged = f"{REFUSED},99,A,1.0,2024-02-01T23:00:00Z,{CUSTOMER},{MARK} Doe,one,more"
    write_lines(toy, "parcels", REFUSED, [*whole, ragged])
    attempt(lambda: toy.run("ingest", FIRST, LAST))
    write_lines(toy, "parcels", REFUSED, whole, revision=2)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)
    toy.run("train", FIRST, TRAINED)
    toy.run("promote", *GATE)
    for verb in ("score", "drift", "performance"):
        toy.run(verb, *STRETCH, **({"report": "always"} if verb == "drift" else {}))
    backfill(toy)
    deliver(
        of_failure("people ingest", 3, f"key customer={CUSTOMER} of\n{MARK} Doe occurs twice; customer: 44, age=44")
    )
    report = settings().reports / "people" / "notes" / "found.html"
    report.parent.mkdir(parents=True)
    report.write_text(f"<p>{MARK} Doe &amp; others, age: 44; 1440 rows</p>" + json.dumps({"name": f"{MARK} Doe"}))
    stray = settings().staging / "people" / "score-killed" / "predictions"
    stray.mkdir(parents=True)
    shutil.copy(toy.lake.files("validated_parcels", Partitions.parse(BAD))[0].removeprefix("file://"), str(stray))


def backfill(toy: Toy) -> None:
    """A day's parcels come again, and the days after it are made again, with a report of the difference."""
    path = landed_path(toy, "parcels", AGAIN)
    rows = pd.read_csv(path)
    people.write(path.with_name(f"{AGAIN}.2.csv.gz"), rows.assign(weight=rows["weight"] + 1))
    backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
    request = Request(Partitions.parse(AGAIN, LAST), ("ingest", "validate", "features", "score"), model="as-of")
    plan = backfills.plan(request)
    record = backfills.open(plan, "again")
    backfills.run(plan, record)
    backfills.finish(record)


def attempt(work: Any) -> None:
    with pytest.raises(ContrailError):
        work()


def keys_of(toy: Toy) -> set[tuple[date, int]]:
    """The person's parcels."""
    rows = [*toy.lake.scan("validated_parcels").to_pylist(), *toy.lake.scan("raw_parcels").to_pylist()]
    return {key_of(row) for row in rows if row["customer"] == CUSTOMER}


def key_of(row: dict[str, Any]) -> tuple[date, int]:
    day = row["ship_date"]
    return date.fromisoformat(day) if isinstance(day, str) else day, int(row["parcel"])


def files_with(home: Path, keys: set[tuple[date, int]]) -> list[str]:
    """The Parquet files that have one of these parcels, of any snapshot or of none."""
    found = []
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        if path.read_bytes()[:4] == b"PAR1" and {"ship_date", "parcel"} <= set(pq.read_schema(path).names):
            rows = pq.read_table(path, columns=["ship_date", "parcel"]).to_pylist()
            if any(row["parcel"] is not None and key_of(row) in keys for row in rows):
                found.append(str(path.relative_to(home)))
    return found


def rows_of(toy: Toy, keys: set[tuple[date, int]]) -> dict[str, list[str]]:
    """Every row of every table that is not the person's, as text. The digest of a landed file follows its content."""
    found = {}
    for name in all_datasets(toy.spec):
        if toy.lake.exists(name) and not name.startswith("forgotten"):
            rows = [row for row in toy.lake.scan(name).to_pylist() if not is_mine(row, keys)]
            found[name] = sorted(str({key: value for key, value in row.items() if key != "_sha256"}) for row in rows)
    return found


def is_mine(row: dict[str, Any], keys: set[tuple[date, int]]) -> bool:
    if "row" in row:
        row = json.loads(row["row"])
    if row.get("customer") == CUSTOMER:
        return True
    return "parcel" in row and key_of(row) in keys


def forget(toy: Toy, where: str | None = WHERE) -> Any:
    return Forget(toy.pipeline, toy.lake, where, timedelta(0)).run("somebody", "asked")


def standing(toy: Toy) -> dict[date, Any]:
    return {one.partition: dict(one.stages) for one in partition_status(toy.lake, toy.pipeline)}


def test_a_person_is_forgotten_whatever_kills_it(chain: tuple[Toy, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    toy, home = chain
    keys, states = keys_of(toy), standing(toy)
    before = rows_of(toy, keys)
    landed = {path: path.read_bytes() for path in Path(str(toy.landing)).rglob("*.gz")}
    there = holding(home, MARK)
    for place in ("landing/", "refused/", "lake/", ".dvc/", "dvc-remote/", "staging/", "reports/"):
        assert any(place in one for one in there), place
    assert any("notifications" in one for one in there)
    assert any("training_sets/" in one for one in files_with(home, keys))
    plan = Forget(toy.pipeline, toy.lake, WHERE, timedelta(0)).plan("somebody", "asked")
    assert holding(home, MARK) == there
    assert {one.split("/")[0] for one in map(str, plan.models)} == {f"{FIRST}_{TRAINED}"}
    assert killed_at_each_step(toy, monkeypatch) > 5
    assert holding(home, MARK) == []
    assert files_with(home, keys) == []
    assert rows_of(toy, keys) == before
    assert standing(toy) == states
    recorded(toy, plan)
    again(toy, home, landed, keys)


def killed_at_each_step(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> int:
    """Forget, and die at the first thing that outlasts a process, the next time at the second, the fourth, and so on."""
    steps = 0
    for last in count(0):
        left = iter(range(int(2.2**last)))
        with monkeypatch.context() as patch:
            for owner, name in (
                (publisher, "swap"), (erasure, "_expire"), (erasure, "_remove"), (erasure, "_remove_strays"),
                (texts, "write_over"), (places, "write_whole"), (places, "_replace"), (places, "_rewrite_parquet"),
                (places, "remove_folder"),
            ):  # fmt: skip
                patch.setattr(owner, name, dying(getattr(owner, name), left))
            try:
                forget(toy)
            except Killed:
                steps += 1
                continue
        return steps
    raise AssertionError


def dying(real: Any, left: Iterator[int]) -> Any:
    def act(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        if next(left, None) is None:
            raise Killed
        return found

    return act


def recorded(toy: Toy, plan: Any) -> None:
    """The record says how many rows went, once, and not whose."""
    rows = toy.sql("SELECT place, partition, kind, removed, state FROM forgotten")
    assert {row[-1] for row in rows} == {"done"}
    assert len(toy.sql("SELECT DISTINCT request FROM forgotten")) == 1
    found = {(place, partition, kind): removed for place, partition, kind, removed, _ in rows}
    for one in plan.counts:
        assert found[one.place, one.partition, one.kind] >= one.found
    assert found["predictions", BAD, "rows"] > 0


def again(toy: Toy, home: Path, landed: dict[Path, bytes], keys: set[tuple[date, int]]) -> None:
    """The feed delivers the same files, and days are made again: the rows do not come back."""
    for path, content in landed.items():
        path.write_bytes(content)
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, FIRST, LAST)
    toy.run("score", *STRETCH)
    assert all(one.startswith("landing/") for one in holding(home, MARK))
    assert files_with(home, keys) == []
    forget(toy, None)
    assert holding(home, MARK) == []


def test_every_folder_of_a_home_is_a_place(chain: tuple[Toy, Path]) -> None:
    _, home = chain
    known = {name for place in PLACES for name in place.homes} | WITHOUT_ROWS.keys()
    assert {path.name for path in home.iterdir()} <= known
