from pathlib import Path

import pytest

from contrail.config.settings import settings
from contrail.lake.sessions import session


@pytest.fixture(autouse=True)
def _small(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRAIL_MEMORY_LIMIT", "128MiB")
    settings.cache_clear()


def test_more_rows_than_fit_into_the_limit_are_sorted_on_disk(home: Path) -> None:
    with session(settings()) as connection:
        rows = connection.sql("SELECT hash(i) AS h, repeat('x', 40) AS t FROM range(3000000) r(i) ORDER BY h")
        seen = sum(len(batch) for batch in rows.to_arrow_reader(100_000))

    assert seen == 3_000_000
    assert list((home / "tmp").iterdir()) == []


def test_instants_are_in_utc(home: Path) -> None:
    with session(settings()) as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
