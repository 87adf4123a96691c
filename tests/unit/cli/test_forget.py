"""Forgetting on the command line: the plan, the question, and what a person sees afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import people
from tests.commands import contrail
from tests.conftest import Toy
from tests.landed import lines_of, write_lines
from tests.people import CUSTOMER, MARK, WHERE
from tests.scan import holding

from contrail.config.settings import settings
from contrail.errors import ContrailError

DAY = "2024-01-02"


@pytest.fixture
def shop(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """Persons' parcels of a few days in the lake's raw tables. One file is refused."""
    people.make_pipeline(tmp_path / "pipelines")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    toy = people.open_people(home)
    people.land(toy, "2024-01-01", DAY)
    write_lines(
        toy,
        "parcels",
        DAY,
        [*lines_of(toy, "parcels", DAY), f"{DAY},1,A,1,2024-01-01T23:00:00Z,{CUSTOMER},{MARK} Doe,x"],
    )
    with pytest.raises(ContrailError) as refused:
        toy.run("ingest", "2024-01-01", DAY)
    assert "ragged_row" in str(refused.value)
    assert MARK not in str(refused.value)
    yield toy


def test_a_person_is_forgotten_and_stays_so(
    shop: Toy, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = f'contrail forget -p people --where "{WHERE}" --reason asked --grace-minutes 0'
    before = holding(home, MARK)
    assert contrail(monkeypatch, f"{command} --dry-run --json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {"raw_parcels", "raw_deliveries", "raw_customers", "refused/parcels", "landing/parcels"} <= {
        one["place"] for one in plan["counts"]
    }
    assert contrail(monkeypatch, command) == 2
    assert "--yes" in capsys.readouterr().err
    assert holding(home, MARK) == before
    assert contrail(monkeypatch, f"{command} --yes") == 0
    assert holding(home, MARK) == []
    told = capsys.readouterr()
    assert "nothing of the person is left in people" in told.out + told.err
    assert contrail(monkeypatch, 'contrail query -p people "SELECT * FROM forgotten" --format json') == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} == {"done"}
    assert {row["reason"] for row in rows} == {"asked"}
    people.land(shop, "2024-01-01", "2024-01-01")
    assert contrail(monkeypatch, "contrail ingest -p people --from 2024-01-01 --to 2024-01-01") == 0
    assert "are of persons who were forgotten" in capsys.readouterr().err
    assert all(one.startswith("landing/") for one in holding(home, MARK))


def test_queries_show_pseudonyms(
    shop: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "SELECT customer, count(*) AS parcels FROM raw_parcels GROUP BY ALL ORDER BY 2 DESC, 1"
    assert contrail(monkeypatch, f'contrail query -p people "{question}" --format json') == 0
    masked = json.loads(capsys.readouterr().out)
    assert contrail(monkeypatch, f'contrail query -p people "{question}" --format json --personal') == 0
    plain = json.loads(capsys.readouterr().out)
    assert CUSTOMER in {row["customer"] for row in plain}
    assert all(row["customer"].startswith("p_") for row in masked)
    assert [row["parcels"] for row in masked] == [row["parcels"] for row in plain]


def test_an_unknown_column_is_refused(shop: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert contrail(monkeypatch, "contrail forget -p people --where \"custmer = 'x'\" --reason asked --dry-run") == 2
