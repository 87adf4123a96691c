"""What is killed: a command, in a home that a function has filled. Each of these functions runs in a process of its own."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contrail.adapters import registry
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from tests import people
from tests.commands import exit_of
from tests.conftest import TOY_PIPELINES, Toy
from tests.landed import deliver_anew, deliver_spoilt, set_field
from tests.toy_tables import copy_empty_registry, publish_heavier, publish_toy

FIRST, DAY, NEXT, LAST = "2024-01-03", "2024-01-05", "2024-01-06", "2024-01-07"
WEEK = f"--from {FIRST} --to {LAST}"
SCORED = "--from 2024-02-01 --to 2024-02-03"
GATE = "--from 2024-02-11 --to 2024-02-24"


@dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
        name: Names it in reports.
        fill: Fills the home.
        line: The command, as a shell gets it.
        exits: The exit codes of an undisturbed run.
        beside: Another command that may run at the same time.
        beside_exits: With which codes either may end then, beside those of an undisturbed run.
        pipeline: Whose home it is.
        grows: Tables to which a command adds rows one commit after another: between two of them a reader sees a part.
        diary: Tables in which each run writes what it did itself, so that a killed one and the next both do. No kind of line may
            be lost, whatever it counts.
    """

    name: str
    fill: Callable[[], None]
    line: str
    exits: tuple[int, ...] = (0,)
    beside: str | None = None
    beside_exits: frozenset[int] = frozenset()
    pipeline: str = "toy"
    grows: tuple[str, ...] = ()
    diary: tuple[str, ...] = ()


def make_pipelines(folder: Path) -> None:
    """Write the pipelines of all scenarios: the toy, with a patient gate, and one with persons."""
    people.make_pipeline(folder)
    shutil.copytree(TOY_PIPELINES / "toy", folder / "toy", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "toy" / "pipeline.yaml"
    spec: dict[str, Any] = yaml.safe_load(path.read_text())
    spec["gate"] |= {"policy": "not_worse", "min_improvement": -0.05}
    path.write_text(yaml.safe_dump(spec, sort_keys=False))


def toy() -> Toy:
    """The toy pipeline in the home of the process."""
    return Toy(load_pipeline("toy"), settings())


def run(line: str, *allowed: int) -> None:
    """Run a command of a preparation."""
    code = exit_of(f"contrail {line}")
    assert code in (allowed or (0,)), (line, code)


def landed_again() -> None:
    """Days that are in the lake, and came again."""
    one = toy()
    one.land(FIRST, LAST)
    for verb in ("ingest", "validate"):
        run(f"{verb} -p toy {WEEK}")
    deliver_spoilt(one, DAY, NEXT, LAST)


def ingested_again() -> None:
    """The same, taken in."""
    landed_again()
    run(f"ingest -p toy {WEEK}", 3)


def corrected() -> None:
    """The same days after features were built: `late` has work."""
    one = toy()
    one.land(FIRST, LAST)
    for verb in ("ingest", "validate", "features"):
        run(f"{verb} -p toy {WEEK}")
    set_field(one, "parcels", DAY, 4, "weight", "7.5")
    deliver_anew(one, DAY)


def to_build() -> None:
    """The same, validated again."""
    corrected()
    for verb in ("ingest", "validate"):
        run(f"{verb} -p toy {WEEK}")


def two_bad_rows() -> None:
    """Two rows in quarantine, and the file that mends them."""
    one = toy()
    one.land(FIRST, LAST)
    set_field(one, "parcels", DAY, 4, "weight", "1x5")
    set_field(one, "parcels", DAY, 6, "weight", "-3")
    for verb in ("ingest", "validate", "features"):
        run(f"{verb} -p toy {WEEK}")
    mended = f"_file,_line,weight\nparcels/{DAY}.csv.gz,4,1.5\nparcels/{DAY}.csv.gz,6,3\n"
    (one.settings.home_path.parent / "mended.csv").write_text(mended)


def labelled() -> None:
    """Features and labels of two months, and no registry."""
    publish_toy(toy(), "2024-01-01", "2024-03-01")


def one_version() -> None:
    labelled()
    copy_empty_registry(settings())
    run("train -p toy --from 2024-01-01 --to 2024-01-31 --set nthread=1")


def two_versions() -> None:
    one_version()
    run("train -p toy --from 2024-01-01 --to 2024-02-08 --set nthread=1")


def a_champion() -> None:
    two_versions()
    run(f"promote -p toy --model 1 {GATE}")


def a_bad_champion() -> None:
    """The second version has scored days between those of the first."""
    a_champion()
    run(f"promote -p toy --model 2 {GATE}")
    run("score -p toy --from 2024-02-26 --to 2024-03-01")
    run("score -p toy --from 2024-02-27 --model 1")


def to_score() -> None:
    """A champion's days, of which one has other features now."""
    a_champion()
    run(f"score -p toy {SCORED}")
    publish_heavier(toy(), "2024-02-02")


def scored() -> None:
    a_champion()
    run(f"score -p toy {SCORED}")


def to_backfill() -> None:
    """Landed and validated days, with a champion; features of none of those that are asked for."""
    one = toy()
    one.land("2024-01-01", "2024-02-24")
    for verb in ("ingest", "validate"):
        run(f"{verb} -p toy --from 2024-01-01 --to 2024-02-24")
    run("features -p toy --from 2024-01-01 --to 2024-02-10")
    copy_empty_registry(settings())
    run("train -p toy --from 2024-01-01 --to 2024-02-09 --set nthread=1")
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")


def heavier() -> None:
    """Features of a day in two snapshots, the older of which is named for the command."""
    one = toy()
    publish_toy(one, "2024-03-01", "2024-03-06")
    before = one.lake.history("features")[0].snapshot
    (one.settings.home_path.parent / "snapshot").write_text(str(before))
    publish_heavier(one, "2024-03-02")


def a_persons_rows() -> None:
    """Four days of a pipeline with persons, to their features."""
    one = people.open_people(settings().home_path)
    people.land(one, "2024-01-01", "2024-01-04")
    for verb in ("ingest", "validate", "features"):
        run(f"{verb} -p people --from 2024-01-01 --to 2024-01-04")


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("ingest", landed_again, f"contrail ingest -p toy {WEEK}", (3,), f"contrail ingest -p toy {WEEK}"),
        Scenario(
            "validate", ingested_again, f"contrail validate -p toy {WEEK}", (3,), f"contrail validate -p toy {WEEK}"
        ),
        Scenario(
            "features",
            to_build,
            f"contrail features -p toy {WEEK}",
            beside="contrail features -p toy --from 2024-01-06 --to 2024-01-07",
        ),
        Scenario("late", corrected, "contrail late -p toy --on 2024-01-09"),
        Scenario(
            "replay",
            two_bad_rows,
            "contrail replay -p toy --table parcels --file {folder}/mended.csv --reason slips --person eve",
        ),
        Scenario("first train", labelled, "contrail train -p toy --from 2024-01-01 --to 2024-01-31 --set nthread=1"),
        Scenario("train", one_version, "contrail train -p toy --from 2024-01-01 --to 2024-02-08 --set nthread=1"),
        Scenario("first promote", two_versions, f"contrail promote -p toy --model 1 {GATE}"),
        Scenario("promote", a_champion, f"contrail promote -p toy --model 2 {GATE}"),
        Scenario("rollback-model", a_bad_champion, "contrail rollback-model -p toy --to 1 --reason wrong"),
        Scenario(
            "score",
            to_score,
            f"contrail score -p toy {SCORED}",
            beside="contrail score -p toy --from 2024-02-03 --to 2024-02-04",
        ),
        Scenario("drift", scored, f"contrail drift -p toy {SCORED}", beside="contrail drift -p toy --from 2024-02-03"),
        Scenario("performance", scored, f"contrail performance -p toy {SCORED}"),
        Scenario("govern", scored, "contrail govern -p toy --on 2024-02-03"),
        Scenario(
            "backfill",
            to_backfill,
            "contrail backfill -p toy --from 2024-02-11 --to 2024-02-16 --chunk-days 3 --model champion --id again",
            beside="contrail features -p toy --from 2024-02-16 --to 2024-02-17",
            grows=("predictions", "features"),
        ),
        Scenario("rollback", heavier, "contrail rollback features -p toy --to {snapshot}"),
        Scenario("move-away", heavier, "contrail move-away features -p toy"),
        Scenario("maintain", scored, "contrail maintain -p toy --grace-days 0"),
        Scenario(
            "forget",
            a_persons_rows,
            f'contrail forget -p people --where "{people.WHERE}" --reason asked --yes --grace-minutes 0',
            pipeline="people",
            grows=("forgotten",),
            diary=("forgotten",),
        ),
    )
}
