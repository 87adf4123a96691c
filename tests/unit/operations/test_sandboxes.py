"""Sandboxes beside the upkeep of the main lake, and seen from outside: listed, compared, applied, dropped."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests import people
from tests.conftest import PROJECT, Prepare, Toy
from tests.scan import holding
from tests.toy_tables import publish_heavier, publish_toy

from contrail.config import settings as configured
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import settings
from contrail.errors import MissingInputError, SpecError
from contrail.lake import sandboxes as lake_sandboxes
from contrail.lake.lake import Lake
from contrail.operations import sandboxes
from contrail.operations.backfill import Backfills
from contrail.operations.forget import Forget
from contrail.operations.maintain import maintain
from contrail.operations.sandboxes import Inside
from contrail.partitions import Partitions
from contrail.stages import sandboxed

KEPT = RetentionSpec(trials=None)
NOW = timedelta(0)
LAST = Partitions.parse("2024-03-06")


def fill(toy: Toy) -> None:
    publish_toy(toy, "2024-03-01", "2024-03-06")


@pytest.fixture
def main(prepared: Prepare) -> Toy:
    toy = prepared(fill)
    toy.settings = toy.settings.model_copy(update={"snapshots_kept": 1})
    toy.lake = Lake(toy.settings, "toy")
    return toy


def inside(main: Toy, name: str = "deeper") -> Toy:
    current = main.settings.inside(name)
    sandboxed.begin(current, main.pipeline)
    return Toy(main.pipeline, current)


def gone(lake: Lake) -> int:
    return sum(one.files for one in maintain(lake, KEPT, NOW))


def test_the_upkeep_of_the_main_lake_leaves_what_a_sandbox_reads(main: Toy) -> None:
    own, pinned = inside(main), main.lake.scan("features")
    for day in ("2024-03-05", "2024-03-06", "2024-03-06"):
        publish_heavier(main, day)
    assert gone(main.lake)
    assert own.lake.scan("features").equals(pinned)
    assert not own.lake.verify("features").damages
    own.lake.history("features")
    sandboxes.drop(main.settings, "deeper")
    left = {name: main.lake.scan(name) for name in main.lake.table_names()}
    assert gone(main.lake)  # what only the sandbox needed
    assert {name: main.lake.scan(name) for name in main.lake.table_names()} == left


def test_the_upkeep_of_a_sandbox_removes_its_own_files_alone(main: Toy) -> None:
    own = inside(main)
    for _ in range(3):
        publish_heavier(own, "2024-03-06")
    before = {name: main.lake.scan(name) for name in main.lake.table_names()}
    heavier = own.lake.scan("features")
    assert gone(own.lake)
    assert own.lake.scan("features").equals(heavier)
    assert {name: main.lake.scan(name) for name in main.lake.table_names()} == before
    assert gone(main.lake) == 0


def test_a_table_that_was_moved_away_is_still_a_sandboxs(main: Toy) -> None:
    from contrail.lake import moving

    own, pinned = inside(main), main.lake.scan("features")
    moving.move_away(main.lake, "features", date(2024, 3, 9))
    publish_toy(main, "2024-03-05", "2024-03-06")
    gone(main.lake)
    assert own.lake.scan("features").equals(pinned)


def test_a_list_says_what_a_sandbox_has_of_its_own(main: Toy) -> None:
    own = inside(main)
    publish_heavier(own, "2024-03-06")
    (line,) = sandboxes.listed(main.settings)
    assert (line.name, line.pipeline, line.changed, line.unfinished) == ("deeper", "toy", ("features",), False)
    assert line.pinned == {name: main.lake.snapshot_id(name) for name in main.lake.table_names()}
    assert 0 < line.bytes < 200_000


def test_it_is_compared_with_what_it_began_with(main: Toy) -> None:
    own = inside(main)
    publish_heavier(own, "2024-03-06")
    publish_heavier(main, "2024-03-02")  # which is no difference of the sandbox's
    found = Inside.of(main.settings, main.pipeline, "deeper").compare()
    assert found.features
    assert [day.partition for day in found.features.days] == ["2024-03-06"]
    assert found.features.total.changed == found.features.total.rows_after
    assert found.predictions is None


def test_a_plan_is_of_the_days_that_the_sandbox_recomputed_and_copies_no_row(main: Toy) -> None:
    own = inside(main)
    publish_heavier(own, "2024-03-06")
    seen = Inside.of(main.settings, main.pipeline, "deeper")
    plan = seen.plan(Backfills(main.pipeline, main.settings, main.lake), "champion")
    assert plan
    assert (str(plan.request.partitions), plan.request.stages) == ("2024-03-06", ("features",))
    assert not main.lake.scan("features", LAST).equals(own.lake.scan("features", LAST))


def test_a_model_is_refused_where_the_sandbox_has_not_scored(main: Toy) -> None:
    publish_heavier(inside(main), "2024-03-06")
    seen = Inside.of(main.settings, main.pipeline, "deeper")
    with pytest.raises(SpecError, match=r"--model 7: this sandbox recomputed only features.* without --model$"):
        seen.plan(Backfills(main.pipeline, main.settings, main.lake), "7")


def test_a_sandbox_that_changed_nothing_has_nothing_to_apply(main: Toy) -> None:
    inside(main)
    seen = Inside.of(main.settings, main.pipeline, "deeper")
    assert seen.plan(Backfills(main.pipeline, main.settings, main.lake), "champion") is None
    assert seen.compare().features is None


def test_code_that_no_commit_has_is_not_applied(main: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxes, "code_revision", lambda _: "abc+dirty")
    monkeypatch.setattr(sandboxes, "uncommitted", lambda _: [])
    with pytest.raises(SpecError, match=r"of no commit \(abc\+dirty\).* nothing was changed"):
        sandboxes.check_committed(main.settings, main.pipeline)
    monkeypatch.setattr(sandboxes, "code_revision", lambda _: "abc")
    sandboxes.check_committed(main.settings, main.pipeline)
    monkeypatch.setattr(sandboxes, "uncommitted", lambda _: ["features.py"])
    with pytest.raises(SpecError, match=r"of no commit: features\.py"):
        sandboxes.check_committed(main.settings, main.pipeline)


def everything(home: Path) -> set[str]:
    return {str(path) for path in home.rglob("*") if "tmp" not in path.parts}


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "were the name not checked"])
def test_no_name_makes_a_drop_remove_what_is_no_sandbox(
    main: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, checked: bool
) -> None:
    inside(main, "lab")
    home, other = main.settings.home_path, tmp_path / "other"
    other.mkdir()
    before = everything(home)
    if not checked:
        monkeypatch.setattr(configured, "sandbox_problem", lambda *_: None)
    for name in ("..", ".", "", "a/b", str(other), "lab/../..", "lab/..", "lab/../../sandboxes", "lab ", "Lab"):
        with pytest.raises((SpecError, MissingInputError) if not checked else SpecError):
            sandboxes.drop(main.settings, name)
        assert everything(home) == before, name
        assert other.exists(), name


def test_a_link_in_the_place_of_a_sandbox_is_not_followed(main: Toy, tmp_path: Path) -> None:
    inside(main, "lab")
    (tmp_path / "other" / "rows").mkdir(parents=True)
    link = main.settings.home_path / "reports" / "sandboxes" / "linked"
    link.symlink_to(tmp_path / "other")
    before = everything(main.settings.home_path)
    with pytest.raises(SpecError, match=r"the sandbox 'linked' would lie in .*linked, .* Nothing was removed"):
        sandboxes.drop(main.settings, "linked")
    assert everything(main.settings.home_path) == before
    assert (tmp_path / "other" / "rows").exists()
    link.unlink()


def test_a_list_has_no_sandbox_that_nobody_made_and_drops_what_is_there(main: Toy) -> None:
    inside(main, "lab")
    for left in ("typo/tmp", "typo/locks", ".hidden/tables", "No Name/tables"):
        (main.settings.home_path / "sandboxes" / left).mkdir(parents=True)
    assert [one.name for one in sandboxes.listed(main.settings)] == ["lab"]
    assert sandboxes.drop(main.settings, "lab") == ("toy",)


@pytest.mark.parametrize(("what", "said"), [("features", "features"), ("record", "sandbox.json")])
def test_a_list_says_what_is_damaged_and_has_the_others(main: Toy, what: str, said: str) -> None:
    own = inside(main)
    inside(main, "whole")
    if what == "features":
        Path(own.lake.table("features").metadata_location.removeprefix("file://")).write_bytes(b"torn")
    else:
        (Path(str(own.settings.reports)) / "toy" / "sandbox.json").write_bytes(b"torn")
    damaged, whole = sandboxes.listed(main.settings)
    assert (damaged.name, len(damaged.damaged), whole.name, whole.damaged) == ("deeper", 1, "whole", ())
    assert said in damaged.damaged[0]
    sandboxes.drop(main.settings, "deeper")
    assert [one.name for one in sandboxes.listed(main.settings)] == ["whole"]


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


@pytest.mark.parametrize("after", ["records", "models", "tables"])
def test_a_killed_drop_goes_on(main: Toy, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    own = inside(main)
    publish_heavier(own, "2024-03-06")
    steps = {
        "records": (sandboxes.sandbox_models, "drop"),
        "models": (lake_sandboxes, "_clear"),
        "tables": (sandboxes, "remove_folder"),
    }

    def killed(*_: object) -> None:
        raise Killed

    before = {name: main.lake.scan(name) for name in main.lake.table_names()}
    with monkeypatch.context() as patch:
        patch.setattr(*steps[after], killed)
        with pytest.raises(Killed):
            sandboxes.drop(main.settings, "deeper")
    assert [one.unfinished for one in sandboxes.listed(main.settings)] == [True]
    with pytest.raises(MissingInputError, match="there is no sandbox 'deeper' of pipeline 'toy'"):
        Lake(main.settings.inside("deeper"), "toy").table_names()
    sandboxes.drop(main.settings, "deeper")
    assert sandboxes.listed(main.settings) == []
    assert not [path for path in main.settings.home_path.rglob("*") if "deeper" in path.name]
    assert {name: main.lake.scan(name) for name in main.lake.table_names()} == before
    with pytest.raises(MissingInputError, match=r"there is no sandbox 'deeper'. Sandboxes: none yet"):
        sandboxes.drop(main.settings, "deeper")


@pytest.fixture
def persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    people.make_pipeline(tmp_path / "pipelines")
    for name, value in {"HOME": tmp_path / "home", "PROJECT": PROJECT, "PIPELINES": tmp_path / "pipelines"}.items():
        monkeypatch.setenv(f"CONTRAIL_{name}", str(value))
    settings.cache_clear()
    toy = people.open_people(tmp_path / "home")
    people.land(toy, "2024-01-01", "2024-01-02")
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01", "2024-01-02")
    yield toy
    settings.cache_clear()


@pytest.mark.slow
def test_a_person_is_forgotten_in_sandboxes_too(persons: Toy) -> None:
    own = inside(persons)
    before = {name: own.lake.scan(name).num_rows for name in own.lake.table_names()}
    plan = Forget(persons.pipeline, persons.lake, people.WHERE, NOW).plan("ann", "asked")
    inner = {one.place for one in plan.counts if one.place.startswith("sandbox deeper: ")}
    assert "sandbox deeper: validated_parcels" in inner
    Forget(persons.pipeline, persons.lake, people.WHERE, NOW).run("ann", "asked")
    assert not holding(persons.settings.home_path, people.CUSTOMER)
    for name, rows in before.items():
        assert own.lake.scan(name).num_rows == persons.lake.scan(name).num_rows <= rows
        assert not own.lake.verify(name).damages
        assert not persons.lake.verify(name).damages
    assert own.lake.scan("validated_parcels").num_rows < before["validated_parcels"]
