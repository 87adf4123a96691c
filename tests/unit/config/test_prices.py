"""The price table: the shipped one loads, and an error in one names its file, place and rule."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from contrail.config.prices import PriceTable, load_prices
from contrail.config.targets import MACHINES
from contrail.errors import NoPriceError, SpecError

SHIPPED = Path(__file__).resolve().parents[3] / "include" / "prices" / "google_cloud.yaml"


def changed(tmp_path: Path, **values: Any) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(SHIPPED.read_text()), **values}))
    return path


def test_the_shipped_table_says_when_where_and_from_what_it_was_read() -> None:
    table = load_prices(SHIPPED)
    assert (table.file, table.currency, table.region) == ("google_cloud.yaml", "USD", "us-central1")
    assert all(source.startswith("https://cloud.google.com/") for source in table.sources)


def test_the_shipped_machines_are_ones_that_exist_and_spot_is_cheaper() -> None:
    for name, price in load_prices(SHIPPED).vertex.machines.items():
        assert name in MACHINES or name.startswith("n1-")
        assert price.spot_hour is None or price.spot_hour < price.hour


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"currency": "dollars"}, "currency: String should match pattern"),
        (
            {"dataproc": {"standard": {"dcu_hour": 0, "shuffle_gb_month": 1}}},
            "dataproc.standard.dcu_hour: Input should be",
        ),
        ({"dataproc": {"economy": {"dcu_hour": 1, "shuffle_gb_month": 1}}}, "dataproc.economy"),
        ({"vertex": {"machines": {"g2-standard-8": {"hours": 1}}}}, "hours: unknown key; did you mean 'hour'"),
        ({"read_on": "last autumn"}, "read_on: Input should be a valid date"),
        ({"sources": []}, "sources: List should have at least 1 item"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    path = changed(tmp_path, **values)
    with pytest.raises(SpecError) as refused:
        load_prices(path)
    assert str(refused.value).startswith(f"{path} is not valid:\n")
    assert words in str(refused.value)


@pytest.mark.parametrize(("text", "words"), [("- 1", "must hold keys with values"), ("a: [", "is not YAML")])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(SpecError, match=words):
        load_prices(tmp_path / "prices.yaml")
    with pytest.raises(SpecError, match=r"dispatch.prices: there is no .*nowhere.yaml"):
        load_prices(tmp_path / "nowhere.yaml")


def test_what_has_no_price_is_said_and_is_never_free() -> None:
    table: PriceTable = load_prices(SHIPPED)
    with pytest.raises(NoPriceError, match=r"^no price for a2-highgpu-1g in google_cloud.yaml$"):
        table.hour("a2-highgpu-1g", table.vertex.machines, spot=False)
    with pytest.raises(NoPriceError, match=r"^no price for n1-standard-4 on a spot machine in google_cloud.yaml$"):
        table.hour("n1-standard-4", table.vertex.machines, spot=True)
    with pytest.raises(NoPriceError, match=r"tier premium, in google_cloud.yaml"):
        table.batch("premium")
