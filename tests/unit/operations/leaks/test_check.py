"""Each leak that is planted in a copy of the real pipeline is found, and named; without one, nothing is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.unit.operations.leaks.planted import CHECKED, CORRECTED, PLANTS, bike_tables, planted, publish, real_tables

from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.methods.splits import Split
from contrail.operations import kept_checks
from contrail.operations.leaks.check import check_leaks, days_to_check
from contrail.operations.leaks.findings import CHECKS, LEAK, Leaks
from contrail.partitions import Partitions

pytestmark = pytest.mark.slow  # a sweep: each kind is a check of its own


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose lake has some days of real flights. Checks leave it as it is."""
    path = tmp_path_factory.mktemp("leaks") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRAIL_HOME", str(path))
        patch.setenv("CONTRAIL_PROJECT", str(PROJECT))
        settings.cache_clear()
        clean = planted(path / "clean" / "flight_delay", None)
        publish(Lake(settings(), clean.name), clean, real_tables())
        yield path
    settings.cache_clear()


def check(pipeline: Pipeline) -> Leaks:
    found = check_leaks(pipeline, Lake(settings(), pipeline.name), CHECKED, cutoffs=1)
    assert tuple(one.check for one in found.checks) == tuple(CHECKS)
    return found


def test_the_real_pipeline_has_no_leak_and_nothing_is_left_of_its_check(home: Path) -> None:
    clean = planted(home / "again" / "flight_delay", None)
    lake = Lake(settings(), clean.name)
    before = {name: lake.snapshot_id(name) for name in lake.table_names()}
    found = check(clean)
    assert found.findings == ()
    assert [one.check for one in found.checks if one.state != "clean"] == ["encoding"], "there is no champion"
    assert found.rows > 4_000
    assert {name: lake.snapshot_id(name) for name in lake.table_names()} == before
    kept = kept_checks.kept(settings(), clean.name, kept_checks.LEAKS)
    assert kept is not None
    assert (kept.passed, kept.outdated(clean, settings())) == (True, "")
    assert kept.says.startswith(f"nothing leaks in {found.rows:,} rows of {CHECKED}, cut off on {found.cutoffs[0]}")
    assert [path for path in (home / "staging").rglob("*") if path.is_file()] == []


def test_the_other_real_pipeline_has_no_leak_over_a_change_of_the_clock(home: Path) -> None:
    bikes, days = load_pipeline("bike_demand"), Partitions.parse("2019-02-01", "2019-03-20")
    lake = Lake(settings(), bikes.name)
    publish(lake, bikes, bike_tables(days), days)
    found = check_leaks(bikes, lake, days_to_check(bikes, lake), cutoffs=2)
    assert found.partitions == "2019-02-20..2019-03-19"
    assert found.findings == ()
    assert {one.check for one in found.checks if one.state == "clean"} == {*CHECKS} - {"encoding"}


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_leak_is_found_and_named(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Split, "masks", Split.masks)  # one plant changes it
    plant = PLANTS[kind]
    own_lake = plant.feed or plant.late
    name = f"flight_{plant.check}" if own_lake else "flight_delay"
    pipeline = planted(home / kind.replace(" ", "-") / name, plant, name)
    if own_lake:
        tables = real_tables()
        publish(Lake(settings(), name), pipeline, plant.feed(tables) if plant.feed else tables)
        if plant.late:
            publish(Lake(settings(), name), pipeline, plant.late(tables), CORRECTED)
    found = check(pipeline)
    leaks = {(one.check, one.subject) for one in found.of(LEAK)}
    assert (plant.check, plant.subject) in leaks
    if plant.check != "corrected":  # which moves every feature of delays
        assert {subject for _, subject in leaks} == {plant.subject}
