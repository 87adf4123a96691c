"""Replay: rows of the quarantine that a person mended end where they would have been.

The rows are judged by the contract of their table before anything is recorded, and all of them are recorded in one commit of
``mended``, or none. From there on every validation lays them over the landed rows. What they reach is built again as late
files are, by the same work. Killed at any step, the same call goes on, and so does the next run on late files.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from upath import UPath

from contrail.config.problems import hint
from contrail.errors import ContrailError, SpecError
from contrail.lake import mended
from contrail.lake.sessions import spill_folder
from contrail.locks import locked
from contrail.operations.backfill import Backfills
from contrail.operations.late import do_work, finish_works, together
from contrail.operations.late_files import following_days
from contrail.operations.late_work import Work, plan_work, write_work
from contrail.operations.replaying.apart import ask_apart
from contrail.operations.replaying.given import Given, from_file
from contrail.operations.replaying.matching import Judged, Matching, Mender
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, silent
from contrail.stages.options import ValidateOptions
from contrail.stages.refusals import counted
from contrail.stages.replayed import ReplayDetails
from contrail.stages.results import LateDetails
from contrail.stages.runner import finish_changes, make_run, new_run_id, run_stage
from contrail.stages.staleness import Staleness
from contrail.stages.validate import foresee


@dataclass(frozen=True)
class Asked:
    """Mended rows of one table, in a file or as SQL, and who mends them and why. ``personal`` allows personal columns.

    Raises:
        SpecError: when there is not one of both, or no reason.
    """

    table: str
    person: str
    reason: str
    file: Path | None = None
    sql: str | None = None
    personal: bool = False

    def __post_init__(self) -> None:
        """Check it."""
        if (self.file is None) == (self.sql is None):
            raise SpecError("give the mended rows either in a file or as SQL, and not both. Nothing was mended.")
        if not self.reason.strip():
            raise SpecError("the reason is empty. Say why the rows were mended, for the record. Nothing was mended.")


class Replay:
    """One replay in one pipeline."""

    def __init__(self, backfills: Backfills, asked: Asked, run_id: str | None = None) -> None:
        self.backfills, self.asked = backfills, asked
        self.run_id = run_id or new_run_id()
        tables = backfills.pipeline.spec.tables
        if asked.table not in tables:
            words = hint(asked.table, list(tables), "tables")
            raise SpecError(f"{backfills.pipeline.name} has no landed table '{asked.table}'; {words}")

    def plan(self, progress: Callable[[str], None] = silent) -> ReplayDetails:
        """Say which rows, partitions and dependents would change, and change nothing.

        Raises:
            SpecError: for a table, a column or SQL that is wrong.
            DataError: for rows that cannot be mended so, each with its place.
        """
        with ExitStack() as at_last:
            matching, found, _ = self._judged(at_last, progress)
            return self._details(matching, found, self._work(found.days), dry_run=True)

    def run(self, progress: Callable[[str], None] = silent) -> ReplayDetails:
        """Record the mends, validate their days, and build again what they reach.

        Raises:
            SpecError: for a table, a column or SQL that is wrong. Nothing was mended.
            DataError: for rows that cannot be mended so, each with its place. Nothing was mended.
            PartitionRefusedError: for a day that still breaks its contract. The mends stay recorded, and the day's
                published rows stay.
            EngineError: while another replay of the pipeline is under way.
        """
        name = self.backfills.pipeline.name
        with locked(self.backfills.settings.home_path / "locks" / f"replay-{name}", "is replaying mended rows"):
            finish_changes("replay", self.backfills.pipeline, progress)
            with ExitStack() as at_last:
                matching, found, records = self._judged(at_last, progress)
                if found.rows:
                    self._record(matching, found, records)
                    progress(
                        f"recorded: {counted(found.rows, 'mended row')} of {self.asked.table}, replay {self.run_id}"
                    )
            done, refused = finish_works(self.backfills, self.run_id, progress)
            touched = self._touched(matching.days)
            work = self._work(touched)
            if touched:
                self._bring(work, touched, done, refused, progress)
            if refused:
                raise refused[0]
            return self._details(matching, found, work, together(done))

    # ---- the rows ----

    def _judged(self, at_last: ExitStack, progress: Callable[[str], None]) -> tuple[Matching, Judged, UPath]:
        """Match the rows with the quarantine, and judge them. Write what the record will have into a folder."""
        backfills, asked = self.backfills, self.asked
        folder = at_last.enter_context(spill_folder(backfills.settings))
        records = folder / "records"
        records.mkdir()
        matching = Matching(backfills.pipeline, backfills.lake, asked.table, self._given(folder), folder).placed()
        mender = Mender(self.run_id, asked.person, asked.reason.strip(), datetime.now(UTC))
        found = Judged()
        for days in as_ranges(matching.waiting):
            progress(f"judging the mended rows of {asked.table} {days}")
            with foresee(self._validation(days), asked.table, partial(matching.lay, days=days)) as table:
                refused = tuple(f"{one.partition}: {one.rule}: {one.detail}" for one in table.refusals)
                found += replace(matching.judged(table.check, days), refused=refused)
                matching.record(table.check.connection, records, mender)
        return matching, found, UPath(records)

    def _given(self, folder: Path) -> Given:
        backfills, asked = self.backfills, self.asked
        if asked.file is not None:
            return from_file(asked.file, backfills.pipeline, asked.table, folder, asked.personal)
        return ask_apart(backfills.pipeline, asked.table, asked.sql or "", folder, asked.personal)

    def _validation(self, days: Partitions) -> StageRun[ValidateOptions]:
        return make_run("validate", self.backfills.pipeline.name, days, run_id=self.run_id, options=ValidateOptions())

    def _record(self, matching: Matching, found: Judged, records: UPath) -> None:
        """One commit for all mends: the replay is in the record as a whole, or not at all."""
        spec, lake = self.backfills.pipeline.spec, self.backfills.lake
        run = make_run("replay", spec.name, Partitions(min(found.days), max(found.days)), run_id=self.run_id)
        inputs = {f"raw_{self.asked.table}": lake.snapshot_id(f"raw_{self.asked.table}")}
        scope = {"table_name": self.asked.table, "replay": self.run_id}
        lake.publish(mended.dataset(spec), records, found.days, run.provenance(inputs, person=self.asked.person), scope)

    # ---- what follows ----

    @property
    def _is_reference(self) -> bool:
        return self.backfills.pipeline.spec.tables[self.asked.table].kind == "reference"

    def _touched(self, days: Sequence[date]) -> list[date]:
        """The days that no validation has seen as they are mended."""
        staleness = Staleness(self.backfills.pipeline, self.backfills.lake)
        return [day for day in days if staleness.mended_since(self.asked.table, day)]

    def _work(self, days: Sequence[date]) -> Work:
        """The work that mended days make, as late files would. A reference table's rows are of no day."""
        backfills, lake = self.backfills, self.backfills.lake
        daily = backfills.pipeline.spec.daily_tables
        ends = [end.end for name in (*(f"validated_{each}" for each in daily), "features") if (end := lake.ends(name))]
        touched = {} if self._is_reference or not days else {self.asked.table: list(days)}
        last = max([*ends, *days], default=backfills.pipeline.spec.first_partition)
        window = Partitions(min(days), last) if touched else None
        following = following_days(backfills, touched, window, changed=False)
        return plan_work(backfills, touched, following, last, self.run_id, mended=self.run_id)

    def _bring(
        self,
        work: Work,
        touched: Sequence[date],
        done: list[LateDetails],
        refused: list[ContrailError],
        progress: Callable[[str], None],
    ) -> None:
        """Validate the touched days, and build again what they reach."""
        if self._is_reference:
            # It is validated with any day that has landed.
            landed = map(
                self.backfills.lake.ends, (f"raw_{each}" for each in self.backfills.pipeline.spec.daily_tables)
            )
            day = min((each.end for each in landed if each), default=touched[0])
            run_stage(
                "validate", self.backfills.pipeline.name, Partitions(day, day), run_id=self.run_id, progress=progress
            )
            return
        write_work(self.backfills, work)
        found, bad = do_work(self.backfills, work, self.run_id, progress)
        done.append(found)
        refused += bad

    def _details(
        self, matching: Matching, found: Judged, work: Work, made: LateDetails | None = None, *, dry_run: bool = False
    ) -> ReplayDetails:
        made = made or LateDetails()
        following = [f"{table} {day}" for table, days in work.following.items() for day in days]
        return ReplayDetails(
            dry_run=dry_run,
            table=self.asked.table,
            replay=self.run_id if found.rows and not dry_run else "",
            mended=found.rows,
            passed=found.passed,
            kept=found.kept,
            unchanged=matching.rows - found.rows,
            days=tuple(
                map(str, as_ranges(found.days or map(date.fromisoformat, work.touched.get(self.asked.table, ()))))
            ),
            refused=found.refused,
            following=tuple(following),
            features=work.features or "",
            scores=work.scores or "",
            rows=found.sample,
            different=made.days,
            decisions_flipped=made.decisions_flipped,
            reports=made.reports,
        )
