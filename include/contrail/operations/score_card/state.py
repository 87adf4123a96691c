"""What the tests of a score card look at, each thing read once: tables, the champion with its records, and the repository.

It decides nothing. What is missing raises an error that says what to run.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from typing import Any

from contrail.adapters.registry import CHAMPION
from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.lake.model_history import AliasMove
from contrail.methods.checks import Check
from contrail.methods.decision_record import DecisionRecord
from contrail.methods.findings import Findings
from contrail.operations import kept_checks
from contrail.operations.check import Checked, check_pipeline
from contrail.operations.kept_checks import KeptCheck
from contrail.operations.recheck import Rechecked, recheck
from contrail.operations.score_card.claims import Claim, Needed
from contrail.operations.score_card.repository import Repository
from contrail.partitions import Partitions
from contrail.reports.card_records import CardRecords
from contrail.stages.model_cards import card_records
from contrail.stages.staleness import Staleness

RECENT_DAYS = 28
_ROWS = 5  # random predictions that are computed again


class State:
    """The state of a pipeline and its project, at ``now``."""

    def __init__(self, lake: Lake, pipeline: Pipeline) -> None:
        self.lake, self.pipeline, self.spec, self.settings = lake, pipeline, pipeline.spec, lake.settings
        self.repository = Repository(lake.settings.project_path)
        self.now = datetime.now(UTC).isoformat(timespec="seconds")
        self.staleness = Staleness(pipeline, lake)
        self.history = cache(lake.history)

    # ---- how a claim is made ----

    def ran(self, needed: Needed, holds: bool, says: str, remedy: str, link: str = "") -> Claim:
        """A claim about the pipeline that this command has just tried."""
        return Claim(
            holds=holds, says=says, needed=needed, how="run", of="pipeline", link=link, at=self.now, remedy=remedy
        )

    def cited(self, needed: Needed, holds: bool, says: str, remedy: str, link: str = "", at: str = "") -> Claim:
        """A claim about the pipeline that a record makes."""
        return Claim(holds=holds, says=says, needed=needed, how="cited", of="pipeline", link=link, at=at, remedy=remedy)

    # ---- the champion ----

    @cached_property
    def records(self) -> CardRecords:
        """All that was recorded of the champion.

        Raises:
            MissingInputError: when there is none.
        """
        return card_records(self.lake, self.pipeline, CHAMPION)

    @property
    def version(self) -> str:
        """The champion's version."""
        return self.records.version

    @property
    def trained_at(self) -> str:
        """When it was registered."""
        made = self.records.made_at
        return made.isoformat(timespec="seconds") if made else ""

    @property
    def made_champion(self) -> AliasMove:
        """The move that made it champion."""
        found = [one for one in self.records.moves if one.alias == CHAMPION and one.version_after == self.version]
        if not found:
            raise MissingInputError(
                f"model_history does not say who made version {self.version} champion. "
                f"Run: contrail promote -p {self.spec.name}"
            )
        return found[-1]

    @property
    def findings(self) -> Findings:
        """What its training found out."""
        if self.records.findings is None:
            raise MissingInputError(f"version {self.version} has no findings. Run: contrail train -p {self.spec.name}")
        return self.records.findings

    @property
    def decision(self) -> DecisionRecord:
        """The gate's decision on it."""
        if self.records.decision is None:
            raise MissingInputError(
                self.records.decision_lost
                or f"no gate has judged version {self.version}. Run: contrail promote -p {self.spec.name} --model {self.version}"
            )
        return self.records.decision

    @property
    def decided_in(self) -> str:
        """Where the decision is kept."""
        return (
            f"run {self.decision.run_id}: reports/{self.spec.name}/decisions, contrail model-card -p {self.spec.name}"
        )

    def gate_check(self, name: str) -> Check | None:
        """A check of its gate."""
        return next((one for one in self.decision.checks if one.name == name), None)

    # ---- tables ----

    @cached_property
    def newest(self) -> date:
        """The newest day with predictions."""
        found = self.lake.ends("predictions") if self.lake.exists("predictions") else None
        if found is None:
            raise MissingInputError(f"there are no predictions. Run: contrail score -p {self.spec.name} --from DAY")
        return found.end

    @property
    def recent(self) -> Partitions:
        """The newest days that have predictions, 28 or fewer."""
        ends = self.lake.ends("predictions")
        first = self.newest - timedelta(days=RECENT_DAYS - 1)
        return Partitions(max(first, ends.start) if ends else first, self.newest)

    def commit(self, table: str, day: date) -> HistoryEntry | None:
        """The commit that a partition is of; None where there is none, or it has expired."""
        maker = self.staleness.lineage(table).maker(day)
        return next((one for one in self.history(table) if one.snapshot == maker.snapshot), None) if maker else None

    @cached_property
    def performance(self) -> Sequence[Mapping[str, Any]]:
        """The measured days of the champion's published predictions, the oldest first."""
        if not self.lake.exists("performance"):
            return []
        rows = self.lake.scan("performance").to_pylist()
        own = [row for row in rows if row["model_version"] == self.version and not row.get("shadow")]
        return sorted(own, key=lambda row: row[PARTITION])

    @property
    def newest_mature(self) -> date:
        """The newest day with predictions whose outcomes should have arrived."""
        labels = self.lake.ends(f"validated_{self.spec.label.table}")
        last = labels.end if labels else self.spec.first_partition
        return min(self.newest, last - timedelta(days=self.spec.label.mature_after_days))

    @property
    def to_measure(self) -> str:
        """The command that measures each day whose outcomes have arrived and that nothing has measured."""
        ends = self.lake.ends("predictions")
        last = self.newest_mature
        first = min(ends.start, last) if ends else last
        return f"contrail performance -p {self.spec.name} --from {first} --to {last} --only-stale"

    @cached_property
    def governed(self) -> Mapping[str, Any]:
        """The monitor's newest decision on whether to train again.

        Raises:
            MissingInputError: when there is none.
        """
        rows = self.lake.scan("governor").to_pylist() if self.lake.exists("governor") else []
        found = [row for row in rows if row["asked"] == "monitor"]
        if not found:
            raise MissingInputError(
                f"the governor has not decided yet. Run: contrail govern -p {self.spec.name} --on DAY"
            )
        return dict(max(found, key=lambda row: row[PARTITION]))

    # ---- what is run once for several tests ----

    @cached_property
    def checked(self) -> Checked:
        """The whole check of the pipeline without its data."""
        return check_pipeline(self.spec.name, thorough=True)

    @cached_property
    def again(self) -> Rechecked:
        """Random predictions, computed again from their receipts."""
        return recheck(self.lake, self.pipeline, _ROWS, days=self.recent)

    def kept(self, check: kept_checks.Check) -> KeptCheck | None:
        """The last outcome of a check."""
        return kept_checks.kept(self.settings, self.spec.name, check)

    def link_of(self, check: kept_checks.Check) -> str:
        """Where it is kept."""
        return f"reports/{self.spec.name}/{kept_checks.FOLDER}/{check}.json"
