"""A pipeline whose columns have hostile names goes through the whole chain, and ends with the toy's own rows."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import TOY_PIPELINES, Toy

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings

pytestmark = pytest.mark.slow

# What the toy calls its columns, and what they are called here.
RENAMED = {"parcel": "order", "weight": "Größe", "booked_at": "day", "delay": "rule", "delivered_at": "cutoff"}
EXTRA = (
    "select",
    "bad",
    "midnight",
    "first_line",
    "ä",
    "x" * 128,
    "日付",
    "rank",
    "Row",
    "detail",
    "rows",
    "k",
    "worst",
)
DAYS = ("2024-01-01", "2024-02-05")

_SOURCE = f"""
from contrail.api import land_daily, land_reference
from tests.pipelines.toy import source as toy

RENAMED, EXTRA = {RENAMED!r}, {EXTRA!r}


def land(landing, partitions):
    import contrail.adapters.landing as real

    def renamed(landing, table, rows, by, *arguments):
        rows = rows.rename(columns=RENAMED)
        if table == "parcels":
            rows = rows.assign(**{{name: name for name in EXTRA}})
        return real.land_daily(landing, table, rows, RENAMED.get(by, by), *arguments)

    kept, toy.land_daily = toy.land_daily, renamed
    try:
        return toy.land(landing, partitions)
    finally:
        toy.land_daily = kept
"""

_FEATURES = f"""
from tests.pipelines.toy import features as toy

RENAMED = {RENAMED!r}


def build(tables, window):
    for mine, theirs in RENAMED.items():
        tables = {{name: rows.withColumnRenamed(theirs, mine) for name, rows in tables.items()}}
    return toy.build(tables, window).withColumnRenamed("parcel", RENAMED["parcel"])
"""


@pytest.fixture
def hostile(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    folder = tmp_path / "pipelines" / "hostile"
    shutil.copytree(TOY_PIPELINES / "toy", folder)
    spec: dict[str, Any] = yaml.safe_load((folder / "pipeline.yaml").read_text())
    spec["name"] = "hostile"
    spec["key"] = ["ship_date", RENAMED["parcel"]]
    spec["label"]["expression"] = f'"{RENAMED["delay"]}" > 15'
    for table in spec["tables"].values():
        table["columns"] = {RENAMED.get(name, name): column for name, column in table["columns"].items()}
        table["key"] = [RENAMED.get(name, name) for name in table["key"]]
        if "known_at" in table:
            table["known_at"] = RENAMED.get(table["known_at"], table["known_at"])
    spec["tables"]["parcels"]["columns"] |= {name: {"type": "string"} for name in EXTRA}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False))
    (folder / "source.py").write_text(_SOURCE)
    (folder / "features.py").write_text(_FEATURES)
    contracts = (folder / "expectations.py").read_text()
    for mine in ("weight", "delay"):
        contracts = contracts.replace(f'column="{mine}"', f"column={RENAMED[mine]!r}")
    (folder / "expectations.py").write_text(
        contracts.replace('"ship_date", "parcel"', f'"ship_date", {RENAMED["parcel"]!r}')
    )
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder.parent))
    settings.cache_clear()
    return Toy(load_pipeline("hostile"), settings())


def test_columns_of_hostile_names_pass_through_every_stage(hostile: Toy) -> None:
    hostile.land(*DAYS)
    for verb in ("ingest", "validate", "features"):
        hostile.run(verb, *DAYS)
    assert hostile.sql("SELECT count(*) FROM quarantine") == [(0,)]
    trained = hostile.run("train", "2024-01-01", "2024-01-20", params={"nthread": 1})
    hostile.run(
        "promote", "2024-01-22", "2024-02-04", model=trained.details.model_version, approval="approved", reason=""
    )
    hostile.run("score", "2024-02-05")
    hostile.run("drift", "2024-02-05")
    hostile.run("performance", "2024-02-01", "2024-02-04")
    ((rows, keys),) = hostile.sql('SELECT count(*), count(DISTINCT "order") FROM predictions')
    assert (rows, keys) == (60, 60)
