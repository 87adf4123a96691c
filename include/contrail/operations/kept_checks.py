"""The newest outcome of each check of a pipeline, kept as JSON beside its reports, to be cited later.

A record counts rows and names features. It quotes no row. Making a check belongs to its own module.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from upath import UPath

from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.files import write_whole
from contrail.frozen import Frozen
from contrail.revision import code_revision
from contrail.stages.fingerprint import Fingerprint, fingerprint

FOLDER = "checks"
LEAKS: Literal["leaks"] = "leaks"
BENEFITS: Literal["feature-benefits"] = "feature-benefits"
COSTS: Literal["feature-costs"] = "feature-costs"
REPRODUCED: Literal["reproduce"] = "reproduce"
Check = Literal["leaks", "feature-benefits", "feature-costs", "reproduce"]


class KeptCheck(Frozen):
    """What a check found, when, on what, and by which code.

    ``made_of`` is the definition of the features that were checked. ``version`` is the model's, where it was of one.
    ``numbers`` has a measure of each feature, where there is one: what the model loses without it, or seconds a day.
    """

    format: Literal[1] = 1
    check: Check
    checked_at: datetime
    code_revision: str
    made_of: Fingerprint | None
    passed: bool
    says: str
    version: str = ""
    numbers: Mapping[str, float] = {}

    def outdated(self, pipeline: Pipeline, settings: Settings) -> str:
        """What has changed in the features' definition since, in words; empty when nothing has."""
        now = fingerprint("features", pipeline, settings)
        return now.differs(self.made_of) if now and self.made_of else "it does not say what it was made of"


def keep(
    pipeline: Pipeline,
    settings: Settings,
    check: Check,
    *,
    passed: bool,
    says: str,
    version: str = "",
    numbers: Mapping[str, float] | None = None,
) -> KeptCheck:
    """Keep the outcome of a check, in place of the last one."""
    record = KeptCheck(
        check=check,
        checked_at=datetime.now(UTC).replace(microsecond=0),
        code_revision=code_revision(settings.project_path),
        made_of=fingerprint("features", pipeline, settings),
        passed=passed,
        says=says,
        version=version,
        numbers=numbers or {},
    )
    write_whole(place_of(settings, pipeline.name, check), (record.model_dump_json(indent=1) + "\n").encode())
    return record


def kept(settings: Settings, name: str, check: Check) -> KeptCheck | None:
    """The last outcome of a check; None where nobody has checked.

    Raises:
        DataError: when the record is damaged.
    """
    path = place_of(settings, name, check)
    return parse_json(KeptCheck, path.read_text(encoding="utf-8"), str(path)) if path.exists() else None


def place_of(settings: Settings, name: str, check: Check) -> UPath:
    """The file of a check's last outcome."""
    return settings.reports / name / FOLDER / f"{check}.json"
