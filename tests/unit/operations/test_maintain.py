"""Upkeep of a whole pipeline: of each table, and of staging beside runs that write there and end."""

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail import clock
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import settings
from contrail.errors import DamagedError
from contrail.files import is_unfinished, remove_folder, unfinished_beside
from contrail.lake.lake import Lake
from contrail.operations.maintain import maintain

KEPT = RetentionSpec(trials=None)
OTHERS = [
    "staging", "tmp", "unfinished files", "pages", "logs", "lineage", "errors and shared logs", "training sets", "data versions",
]  # fmt: skip


def test_runs_may_begin_and_end_meanwhile(home: Path) -> None:
    folder = settings().staging / "shop" / "score-1"
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            (folder / "rows").mkdir(parents=True)
            for number in range(50):
                (folder / "rows" / f"{number}.parquet").write_bytes(b"1")
            remove_folder(folder)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(30):
            assert [one.files for one in maintain(Lake(settings(), "shop"), KEPT, timedelta(days=3))] == [0] * len(
                OTHERS
            )
    finally:
        done.set()
        worker.join()


@pytest.fixture
def shop(home: Path) -> Lake:
    """Two tables of which all snapshots but the newest have expired."""
    lake = Lake(settings().model_copy(update={"snapshots_kept": 1}), "shop")
    for colour in ("old", "new"):
        for dataset in (ITEMS, replace(ITEMS, name="adverts")):
            lake.publish(dataset, rows([DAY1], colour), [DAY1], provenance())
    return lake


def test_a_clock_that_is_set_forward_takes_nothing_that_is_about_to_be_committed(
    shop: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    days, real, removed = timedelta(days=10), Lake.commit, []

    class TenDaysOn(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "TenDaysOn":
            return super().now(tz) + days

    def commit(lake: Lake, name: str, attempt: Any) -> Any:
        """Between the data files and their commit, the clock jumps and upkeep runs."""
        with monkeypatch.context() as later:
            later.setattr(clock, "datetime", TenDaysOn)
            wrong = SimpleNamespace(**vars(time) | {"time": lambda: time.time() + days.total_seconds()})
            later.setattr(clock, "time", wrong)
            removed.extend(one for one in maintain(shop, KEPT, timedelta(days=3)) if one.files)
        return real(lake, name, attempt)

    clock.note(shop.settings.home_path)  # as each stage does when it begins
    monkeypatch.setattr(Lake, "commit", commit)
    shop.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance("run-2"))
    assert contents(shop) == [(DAY1, "new", 3), (DAY2, "blue", 3)]
    assert removed == []


def test_a_commit_after_the_first_table_is_seen(shop: Lake) -> None:
    steps = maintain(shop, KEPT, timedelta(0))
    assert next(steps).of == "adverts"
    lost = Path(shop.table("items").metadata_location.removeprefix("file://"))
    shop.publish(ITEMS, rows([DAY2]), [DAY2], provenance())
    lost.with_name("00009-lost.metadata.json").write_bytes(lost.read_bytes())
    assert [one.of for one in steps] == ["items", *OTHERS]
    assert contents(shop) == [(DAY1, "new", 3), (DAY2, "red", 3)]


def test_a_damaged_table_does_not_keep_the_others_from_it(shop: Lake) -> None:
    snapshot = shop.table("adverts").current_snapshot()
    assert snapshot is not None
    Path(snapshot.manifest_list.removeprefix("file://")).write_bytes(b"")
    found: dict[str, int] = {}
    with pytest.raises(DamagedError, match=r"(?s)cannot be read .* Nothing was changed.*\n1 other tables are done"):
        for one in maintain(shop, KEPT, timedelta(0)):
            found[one.of] = one.files
    assert list(found) == ["items", *OTHERS]
    assert found["items"]
    assert set(shop.scan("items")["colour"].to_pylist()) == {"new"}


def test_what_killed_runs_left_unfinished_goes_after_the_grace_period(home: Path) -> None:
    """Whoever wrote it, and wherever. A name that is only alike is somebody's own."""
    own = home / "landing" / "shop" / ".items.template"
    for path in (home / "reports" / "shop" / "page.html", home / "landing" / "shop" / "2024-03-01.csv.gz"):
        path.parent.mkdir(parents=True)
        unfinished_beside(path).write_bytes(b"half")
    package = unfinished_beside(home / "models" / "shop" / "1")
    package.mkdir(parents=True)
    (package / "model.ubj").write_bytes(b"12")
    own.write_bytes(b"1")

    def upkeep(grace: timedelta, *, dry_run: bool = False) -> tuple[int, int]:
        found = maintain(Lake(settings(), "shop"), KEPT, grace, dry_run=dry_run)
        return next((one.files, one.size) for one in found if one.of == "unfinished files")

    assert upkeep(timedelta(hours=1)) == (0, 0)
    assert upkeep(timedelta(0), dry_run=True) == (3, 10)
    assert upkeep(timedelta(0)) == (3, 10)
    assert [path for path in home.rglob("*") if is_unfinished(path.name)] == []
    assert own.exists()
