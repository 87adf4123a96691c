"""A pipeline with persons and models, on which commands run as people give them: its home, and commands by chance."""

import random
import shlex
from pathlib import Path
from typing import Any

import yaml

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.partitions import Partitions
from tests import people
from tests.chaos import scenarios
from tests.chaos.scenarios import run
from tests.landed import deliver_anew, set_field
from tests.storm import tagged
from tests.toy_tables import copy_empty_registry

PIPELINE = "people"
FIRST, LAST = "2024-01-01", "2024-02-10"
SCORED = ("2024-02-01", "2024-02-10")
_GATE = "--from 2024-01-28 --to 2024-02-09"
_VERSIONS = ("1", "2", "3")


def make_pipelines(folder: Path) -> None:
    """Write this pipeline, with a patient gate, and that of the tagged tables."""
    scenarios.make_pipelines(folder)
    path = folder / PIPELINE / "pipeline.yaml"
    spec: dict[str, Any] = yaml.safe_load(path.read_text())
    spec["gate"] |= {"policy": "not_worse", "min_improvement": -0.5, "window_days": 13}
    spec["gate"].pop("segments")
    spec["retrain"]["monthly_trainings"] = 1000
    path.write_text(yaml.safe_dump(spec, sort_keys=False))


def fill() -> None:
    """Land and build forty days, train three versions, and let the first one score."""
    one = people.open_people(settings().home_path)
    people.land(one, FIRST, LAST)
    for verb in ("ingest", "validate", "features"):
        run(f"{verb} -p people --from {FIRST} --to {LAST}")
    copy_empty_registry(settings())
    for end in ("2024-01-22", "2024-01-24", "2024-01-26"):
        run(f"train -p people --from {FIRST} --to {end} --set nthread=1")
    registry.set_alias(settings(), registry.describe_version(settings(), PIPELINE, "1"), "champion")
    run(f"score -p people --from {SCORED[0]} --to {SCORED[1]}")


def deliver(chance: random.Random) -> None:
    """A feed brings a past day once more: with another weight, or an hour later."""
    one = people.open_people(settings().home_path)
    day = str(chance.choice([*Partitions.parse("2024-01-28", LAST)]))
    if chance.random() < 0.5:
        set_field(one, "parcels", day, chance.randint(2, 9), "weight", f"{chance.uniform(1, 9):.2f}")
    else:
        deliver_anew(one, day)


def command(chance: random.Random, grace_seconds: float, number: int) -> tuple[str, str]:
    """Choose a command: its kind, and its line."""
    first, last = sorted(chance.choices([*Partitions.parse(*SCORED)], k=2))
    days, version = f"--from {first} --to {last}", chance.choice(_VERSIONS)
    train = f"train -p people --from {FIRST} --to 2024-01-2{chance.randint(2, 6)} --set nthread=1"
    chunks = f"--stages score --commits chunk --chunk-days 3 --model {version}"
    whom = f"--where \"customer = '{chance.choice(people.OTHERS[:3])}'\""
    lines = {
        "score": (4, f"score -p people {days} --model {chance.choice(('champion', version))}"),
        "backfill": (3, f"backfill -p people {days} {chunks} --id storm-{number}"),
        "late": (4, "late -p people --on 2024-02-11"),
        "features": (2, f"features -p people {days}"),
        "promote": (4, f"promote -p people --model {version} {_GATE}"),
        "rollback-model": (4, f"rollback-model -p people --to {version} --reason storm"),
        "train": (1, train),
        "forget": (1, f"forget -p people {whom} --reason storm --yes --grace-minutes {grace_seconds / 60:.3f}"),
        "maintain": (
            3,
            f"maintain -p {chance.choice((PIPELINE, tagged.PIPELINE))} --grace-days {grace_seconds / 86400:.7f}",
        ),
    }
    kind = chance.choices([*lines], [weight for weight, _ in lines.values()])[0]
    return kind, f"contrail {lines[kind][1]}"


def question(chance: random.Random) -> tuple[str, str]:
    """Choose what a person asks: its kind, and its line."""
    tags = "SELECT partition_date, weight FROM {} ORDER BY ALL"
    lines = {
        "query (command)": f"query -p people {shlex.quote(_DAYS)} --format csv",
        "status (command)": f"status -p people --from {SCORED[0]} --to {SCORED[1]}",
        "history (command)": "history predictions -p people",
        "champions (command)": "champions -p people",
        "verify (command)": f"verify -p {chance.choice((PIPELINE, tagged.PIPELINE))}",
        "query of tags (command)": f"query -p toy {shlex.quote(tags.format('features'))} --format csv",
    }
    kind = chance.choice([*lines])
    return kind, f"contrail {lines[kind]}"


# A day of predictions is of one run and one model, and has a row for each parcel.
_DAYS = (
    "SELECT partition_date, count(DISTINCT scoring_run) AS runs, count(DISTINCT model_version) AS models, "
    "count(*) - count(DISTINCT parcel) AS doubled FROM predictions GROUP BY ALL ORDER BY ALL"
)


def torn_days(csv: str) -> list[str]:
    """What the answer to that question tells of days that are not whole."""
    lines = [line.split(",") for line in csv.splitlines() if line[:4].isdigit()]
    return [f"predictions of {day}: {' '.join(rest)}" for day, *rest in lines if rest != ["1", "1", "0"]]


# What a command may say at any time, whoever else is at work: the state is not such that it could do it.
REFUSALS = (
    "is champion already",
    "had no champion before",
    "GateRefusedError",
    "has no champion to take back",
)
