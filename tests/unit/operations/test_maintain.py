"""Upkeep of staging, beside runs that write there and end."""

import threading
from datetime import timedelta
from pathlib import Path

from contrail.config.settings import settings
from contrail.files import remove_folder
from contrail.lake.lake import Lake
from contrail.operations.maintain import maintain


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
            assert [one.files for one in maintain(Lake(settings(), "shop"), timedelta(days=3))] == [0]
    finally:
        done.set()
        worker.join()
