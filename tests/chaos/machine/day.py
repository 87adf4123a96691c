"""The chain of one day, as a scenario, in any environment."""

import shutil
from pathlib import Path

from contrail.adapters import registry
from contrail.config.settings import settings
from tests.chaos.scenarios import Scenario, run, toy
from tests.toy_tables import publish_toy

LANDED, DAY_BEFORE = "2024-02-10", "2024-02-09"
VERBS = ("ingest", "validate", "features", "score", "drift")
LINE = " && ".join(f"contrail {verb} -p toy --from {LANDED}" for verb in VERBS)
# Great Expectations takes most of the day's time.
SHORT = " && ".join(f"contrail {verb} -p toy --from {LANDED}" for verb in VERBS[2:])
TRAIN = "contrail train -p toy --from 2024-01-01 --to 2024-02-08 --set nthread=1"


def landed_day() -> None:
    """A champion, features and outcomes of the days before, and a day's landed files."""
    one = toy()
    publish_toy(one, "2024-01-01", DAY_BEFORE)
    run("train -p toy --from 2024-01-01 --to 2024-02-01 --set nthread=1")
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")
    one.land(LANDED)


def validated_day() -> None:
    """The same, and the day validated."""
    landed_day()
    for verb in VERBS[:2]:
        run(f"{verb} -p toy --from {LANDED}")


def scenario(line: str = LINE) -> Scenario:
    names = {LINE: "a day's chain", SHORT: "a day's features and scores"}
    return Scenario(names.get(line, line.split()[1]), validated_day if line == SHORT else landed_day, line)


def make_project(folder: Path, environment: str) -> Path:
    """Make a project whose only environment is ``elsewhere``. Its code is this checkout's."""
    environments = folder / "include" / "environments"
    environments.mkdir(parents=True)
    (environments / "elsewhere.yaml").write_text(environment)
    for lock in Path(__file__).resolve().parents[3].glob("requirements*.txt"):
        shutil.copy(lock, folder)
    return folder
