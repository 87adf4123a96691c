"""Files that a use case lands are files that ingest can read, whatever their values hold."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from tests.landed import read_landed
from upath import UPath

from contrail.adapters.landing import land_daily
from contrail.partitions import Partitions

DAYS = st.dates(date(2024, 2, 28), date(2024, 3, 2))
VALUES = st.one_of(st.none(), st.text(st.sampled_from('x",\n\r\x0b\x85\u2028é '), min_size=1, max_size=4))


@given(st.lists(st.tuples(DAYS, VALUES), min_size=1, max_size=6))
def test_what_is_landed_is_read_back_on_its_day(rows: list[tuple[date, str | None]]) -> None:
    frame = pd.DataFrame({"day": pd.to_datetime([day for day, _ in rows]), "value": [value for _, value in rows]})
    with TemporaryDirectory() as place:
        landed = land_daily(UPath(place), "notes", frame, "day", Partitions.parse("2024-02-01", "2024-03-31"))
        found = {
            path.name: read_landed(path.read_bytes(), ["day", "value"]).column("value").to_pylist()
            for path in Path(place, "notes").iterdir()
        }
    days = sorted({day for day, _ in rows})
    assert landed == len(days)
    assert found == {f"{day}.csv.gz": [value for own, value in rows if own == day] for day in days}
