"""Done, stale or to be done: by what was read, never by a clock, on the toy pipeline's own stages."""

import dataclasses
import shutil
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from tests.conftest import TOY_PIPELINES, Toy
from tests.landed import deliver_anew, landed_path, lines_of, set_field, write_lines
from tests.unit.cli.test_cli import run as run_command

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import FileRefusedError, MissingInputError, PartitionRefusedError
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.late import correct
from contrail.operations.status import partition_status, remedy
from contrail.partitions import Partitions
from contrail.stages.staleness import Staleness

FIRST, LAST = "2024-01-01", "2024-01-04"
DAY = date(2024, 1, 2)
CHAIN = ("ingest", "validate", "features")


def clock(patch: pytest.MonkeyPatch, day: str) -> None:
    """Give the lake's commits the time of a day."""
    seconds = (date.fromisoformat(day) - date(1970, 1, 1)) / timedelta(seconds=1)
    patch.setattr("pyiceberg.table.snapshots.time", SimpleNamespace(time=lambda: seconds))


@pytest.fixture
def built(toy: Toy) -> Toy:
    """Four days, from landing to features."""
    toy.land(FIRST, LAST)
    for verb in CHAIN:
        toy.run(verb, FIRST, LAST)
    return toy


def states(toy: Toy, stage: str) -> list[str]:
    found = partition_status(toy.lake, toy.pipeline, date.fromisoformat(FIRST), date.fromisoformat(LAST))
    return [one.stages[stage] for one in found]


def test_a_clock_that_jumped_back_hides_nothing_and_the_command_that_is_named_heals_it(
    built: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_field(built, "parcels", str(DAY), 4, "weight", "7.5")
    with pytest.MonkeyPatch.context() as patch:
        clock(patch, "2001-01-01")
        built.run("ingest", FIRST, LAST)
        assert states(built, "validate") == ["ok", "stale", "stale", "stale"], "rows may refer to parcels of three days"
        assert states(built, "features") == ["ok", "stale", "stale", "stale"]
        found = partition_status(built.lake, built.pipeline, DAY, date.fromisoformat(LAST))
        command = remedy("toy", found)
        assert run_command(monkeypatch, capsys, *command.split()[1:])[0] == 0
    assert states(built, "validate") == states(built, "features") == ["ok"] * 4
    assert built.sql("SELECT weight FROM features WHERE ship_date = DATE '2024-01-02' AND parcel = 2") == [(7.5,)]


def test_late_files_are_found_whatever_the_clock_says(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_anew(built, str(DAY))
    clock(monkeypatch, "2001-01-01")
    built.run("ingest", FIRST, LAST)
    found = correct(Backfills(built.pipeline, built.settings, built.lake), date.fromisoformat("2024-01-06"))
    assert found.files == (f"deliveries {DAY}",)


def test_the_same_work_again_changes_no_state(built: Toy) -> None:
    before = partition_status(built.lake, built.pipeline)
    snapshots = {name: built.lake.snapshot_id(name) for name in built.lake.table_names()}
    for days in ((FIRST, LAST), ("2024-01-02", "2024-01-03")):
        for verb in CHAIN:
            built.run(verb, *days)
    assert partition_status(built.lake, built.pipeline) == before
    assert {name: built.lake.snapshot_id(name) for name in snapshots} == snapshots, "and publishes nothing"


def test_equal_rows_of_another_file_stop_at_validate(built: Toy) -> None:
    """The file is new, its rows are not: nothing that follows has to be made again."""
    lines = lines_of(built, "deliveries", str(DAY))
    write_lines(built, "deliveries", str(DAY), lines, revision=2)
    path = landed_path(built, "deliveries", str(DAY), 2)
    path.write_bytes(path.read_bytes() + landed_path(built, "depots", "reference").read_bytes()[:0])
    write_lines(built, "deliveries", str(DAY), [lines[0], *reversed(lines[1:])], revision=2)
    built.run("ingest", FIRST, LAST)
    assert states(built, "validate")[1] == "stale"
    built.run("validate", FIRST, LAST)
    assert states(built, "validate") == states(built, "features") == ["ok"] * 4


# ---- the definition ----


@pytest.fixture
def own_pipeline(toy_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(TOY_PIPELINES / "toy", tmp_path / "pipelines" / "toy")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder.parent))
    settings.cache_clear()
    return Path(folder)


def test_a_gates_bound_rebuilds_nothing_and_a_features_code_rebuilds_what_follows(own_pipeline: Path) -> None:
    toy = Toy(load_pipeline("toy"), settings())
    toy.land(FIRST, LAST)
    for verb in CHAIN:
        toy.run(verb, FIRST, LAST)

    def reread() -> Backfills:
        toy.pipeline = load_pipeline("toy")
        return Backfills(toy.pipeline, toy.settings, toy.lake)

    request = Request(Partitions.parse(FIRST, LAST), ("features",))
    spec = yaml.safe_load((own_pipeline / "pipeline.yaml").read_text())
    spec["gate"]["min_improvement"] = 0.01
    (own_pipeline / "pipeline.yaml").write_text(yaml.safe_dump(spec))
    assert reread().plan(request).nothing_to_do and states(toy, "features") == ["ok"] * 4
    (own_pipeline / "features.py").write_text((own_pipeline / "features.py").read_text() + "\n# other\n")
    plan = reread().plan(request)
    assert {one.why for one in plan.stages[0].partitions} == {"features.py changed"}
    assert states(toy, "features") == ["stale"] * 4 and states(toy, "validate") == ["ok"] * 4


def test_records_without_a_fingerprint_are_judged_by_the_files_of_the_pipeline(built: Toy) -> None:
    made = built.lake.lineage("features").maker(DAY)
    assert made
    staleness = Staleness(built.pipeline, built.lake)
    old = dataclasses.replace(made.provenance, extra={})
    assert staleness.defined_anew("features", old) == ""
    other = dataclasses.replace(old, pipeline_hash="other")
    assert staleness.defined_anew("features", other) == "the pipeline's files have changed"


# ---- days without rows, tables without good rows ----


def may_be_empty(folder: Path, *tables: str) -> None:
    spec = yaml.safe_load((folder / "pipeline.yaml").read_text())
    for table in tables:
        spec["tables"][table]["may_be_empty"] = True
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(spec))


@pytest.mark.parametrize("empty", ["2024-01-02", LAST])
def test_a_day_without_entities_goes_through(own_pipeline: Path, empty: str) -> None:
    may_be_empty(own_pipeline, "parcels", "deliveries")
    toy = Toy(load_pipeline("toy"), settings())
    toy.land(FIRST, LAST)
    for table in ("parcels", "deliveries"):
        write_lines(toy, table, empty, lines_of(toy, table, empty)[:1])
    for verb in CHAIN:
        toy.run(verb, empty)
        toy.run(verb, FIRST, LAST)
    assert states(toy, "validate") == states(toy, "features") == ["ok"] * 4
    assert toy.run("drift", empty).unchanged
    backfills = Backfills(toy.pipeline, toy.settings, toy.lake)
    assert backfills.plan(Request(Partitions.parse(FIRST, LAST), ("features",))).nothing_to_do


def test_a_day_that_lost_all_its_rows_says_what_to_do(built: Toy) -> None:
    none = built.lake.scan("validated_parcels", Partitions(DAY, DAY)).slice(0, 0)
    from contrail.lake import datasets

    made = built.stage_run("validate", str(DAY)).provenance({}, "parcels")
    built.lake.publish(datasets.validated(built.spec, "parcels"), none, [DAY], made)
    with pytest.raises(MissingInputError, match=r"2024-01-02 of parcels passed .* tables\.parcels\.may_be_empty: true"):
        built.run("features", FIRST, LAST)
    with pytest.raises(MissingInputError, match=r"contrail ingest -p toy --from 2024-01-05 --to 2024-01-05\n"):
        built.run("features", "2024-01-05")


@pytest.mark.parametrize("by", ["ingest", "validate"])
def test_the_first_refusal_of_a_reference_table_is_told_as_such(toy: Toy, by: str) -> None:
    toy.land(FIRST, LAST)
    good = lines_of(toy, "depots", "reference")
    spoilt = write_lines(toy, "depots", "reference", [*good, "D,far"])
    if by == "ingest":
        spoilt.write_bytes(b"not gzip")
        with pytest.raises(FileRefusedError):
            toy.run("ingest", FIRST, LAST)
    else:
        toy.run("ingest", FIRST, LAST)
    words = r"depots 2024-01-01: not_ingested" if by == "ingest" else r"depots 2024-01-01: bad_share"
    with pytest.raises(PartitionRefusedError, match=words) as caught:
        toy.run("validate", FIRST, LAST)
    assert "its rows refer to depots, which has no good rows yet" in str(caught.value)
    with pytest.raises(MissingInputError, match=r"has no good rows yet, because it was refused"):
        toy.run("features", FIRST, LAST)
    write_lines(toy, "depots", "reference", good)
    for line in str(caught.value).splitlines():
        if line.startswith(("  contrail ingest", "  contrail validate")):
            verb, days = line.split()[1], line.split("--from ")[1].split(" --to ")
            toy.run(verb, *days)
    assert states(toy, "validate") == ["ok"] * 4
    assert toy.sql("SELECT count(*) FROM refusals") == [(0,)]
