"""The price table: the shipped one loads, and an error in one names its file, place and rule."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrail.config.machines import MACHINES, N1_ACCELERATORS
from contrail.config.prices import PriceTable, load_prices
from contrail.errors import NoPriceError, SpecError

PROJECT = Path(__file__).resolve().parents[3]
SHIPPED = PROJECT / "include" / "prices" / "google_cloud.yaml"


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


def test_every_machine_and_accelerator_has_a_price_and_those_without_one_on_spot_are_known() -> None:
    vertex = load_prices(SHIPPED).vertex
    assert set(MACHINES) <= set(vertex.machines)
    assert set(N1_ACCELERATORS) == set(vertex.accelerators)
    without = {name for name, price in vertex.machines.items() if price.spot_hour is None}
    assert without == {"a3-megagpu-8g", "a3-ultragpu-8g"}, "the pages name these two"
    assert [name for name, price in vertex.accelerators.items() if price.spot_hour] == []


@pytest.mark.parametrize(
    ("machine", "published"),
    [
        # Google's estimates of a Model Garden deployment, us-central1, 2026-07-08; n1: the page of 2026-09-08.
        ("g2-standard-4", 0.8129), ("g2-standard-8", 0.9818), ("g2-standard-12", 1.1507), ("g2-standard-16", 1.3196),
        ("g2-standard-24", 2.3014), ("g2-standard-32", 1.9951), ("g2-standard-48", 4.6028), ("g2-standard-96", 9.2055),
        ("a2-highgpu-1g", 4.2245), ("a2-highgpu-8g", 33.7960), ("a2-megagpu-16g", 64.1021), ("a2-ultragpu-1g", 5.7818),
        ("a2-ultragpu-8g", 46.2548), ("a3-highgpu-1g", 12.6259), ("a3-highgpu-8g", 101.0074),
        ("a3-megagpu-8g", 106.6547), ("a3-ultragpu-8g", 96.0156), ("n1-standard-4", 0.21849885),
    ],
)  # fmt: skip
def test_compute_engines_price_with_the_fee_is_what_vertex_ai_publishes(machine: str, published: float) -> None:
    table = load_prices(SHIPPED)
    assert table.hour(machine, table.vertex.machines, spot=False) == pytest.approx(published, rel=3e-4)


def test_the_fee_is_of_the_on_demand_price_on_spot_too(tmp_path: Path) -> None:
    machines = {"g2-standard-8": {"hour": 10, "spot_hour": 4}}
    table = load_prices(changed(tmp_path, vertex={"fee": 0.15, "machines": machines}))
    assert table.hour("g2-standard-8", table.vertex.machines, spot=False) == pytest.approx(11.5)
    assert table.hour("g2-standard-8", table.vertex.machines, spot=True) == pytest.approx(5.5)
    without = load_prices(changed(tmp_path, vertex={"machines": machines}))
    assert without.hour("g2-standard-8", without.vertex.machines, spot=True) == 4


def test_what_costs_all_month_is_of_its_environments_and_less_what_is_free(tmp_path: Path) -> None:
    table = load_prices(
        changed(
            tmp_path,
            always_on={
                "machine": {"environments": ["prod", "stage"], "hour": 0.1},
                "disk": {"environments": ["prod"], "count": 50, "month": 0.04},
                "logs": {"environments": ["stage"], "count": 60, "free": 50, "month": 0.5},
                "secrets": {"environments": ["stage"], "count": 1, "free": 6, "month": 0.06},
            },
        )
    )
    assert table.standing("prod") == {"machine": pytest.approx(73), "disk": pytest.approx(2)}
    assert table.standing("stage") == {"machine": pytest.approx(73), "logs": pytest.approx(5), "secrets": 0}
    assert table.standing("dev") == {}


@pytest.mark.parametrize("environment", ["prod", "stage"])
def test_what_costs_all_month_is_what_terraform_and_the_guide_make(environment: str) -> None:
    lines = " / ".join(load_prices(SHIPPED).standing(environment))
    variables = (PROJECT / "terraform" / "environments" / f"{environment}.tfvars").read_text()
    guide = (PROJECT / "docs" / "gcp.md").read_text()
    for source, pattern in (
        (variables, r'tier += "(\S+)"'),
        (variables, r'availability_type += "(\S+)"'),
        (variables, r"backups_kept += (\d+)"),
        (guide, r"--machine-type=(\S+)"),
        (guide, r"--boot-disk-size=(\d+)GB"),
    ):
        found = re.search(pattern, source)
        assert found, f"{pattern} is not said any more"
        assert re.search(rf"\b{found[1]}\b", lines), f"no line of {environment} has {found[0]}"


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
        ({"vertex": {"fee": 15}}, "vertex.fee: Input should be less than 1"),
        ({"always_on": {"x": {"environments": [], "hour": 1}}}, "always_on.x.environments: List should have at least"),
        ({"always_on": {"x": {"environments": ["prod"]}}}, "give the price of a unit for an hour or for a month"),
        ({"always_on": {"x": {"environments": ["prod"], "hour": 1, "month": 1}}}, "give the price of a unit"),
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


def test_what_has_no_price_is_said_and_is_never_free(tmp_path: Path) -> None:
    table: PriceTable = load_prices(SHIPPED)
    with pytest.raises(NoPriceError, match=r"^no price for a9-highgpu-1g in google_cloud.yaml$"):
        table.hour("a9-highgpu-1g", table.vertex.machines, spot=False)
    with pytest.raises(NoPriceError, match=r"^no price for a3-ultragpu-8g on a spot machine in google_cloud.yaml$"):
        table.hour("a3-ultragpu-8g", table.vertex.machines, spot=True)
    with pytest.raises(NoPriceError, match=r"tier premium, in prices.yaml"):
        load_prices(changed(tmp_path, dataproc={})).batch("premium")
