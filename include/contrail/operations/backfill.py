"""Run a backfill: its plan, then its stages as a few large jobs, then its difference report.

Each backfill has a record beside the reports. It names the snapshots from before and, at the end, those after and the
difference. Tags keep these snapshots from expiring. A killed backfill leaves its record open, and the next one of the same
request continues it. What is left to do comes from the lake before each stage, not from the record.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from upath import UPath

from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings, current_person
from contrail.config.validation_errors import parse_json
from contrail.errors import InputsChangedError, MissingInputError, SnapshotGoneError, SpecError
from contrail.files import checked_name, write_whole
from contrail.lake import snapshots
from contrail.lake.lake import Lake
from contrail.operations.backfill_plan import Plan
from contrail.operations.backfill_planner import make_plan
from contrail.operations.backfill_request import TABLES, Request
from contrail.operations.difference import difference
from contrail.partitions import Partitions
from contrail.reports.backfill_record import Difference, Record
from contrail.reports.difference import render_difference
from contrail.stages.base import silent
from contrail.stages.options import DriftOptions, FeaturesOptions, ScoreOptions, StageOptions, options_of
from contrail.stages.results import StageResult
from contrail.stages.runner import new_run_id, run_stage

_TRIES = 3
Made = TypeVar("Made")


@dataclass(frozen=True)
class Backfills:
    """The backfills of one pipeline."""

    pipeline: Pipeline
    settings: Settings
    lake: Lake

    @property
    def folder(self) -> UPath:
        """Where the records and reports are."""
        return self.settings.reports / self.pipeline.name / "backfills"

    def plan(self, request: Request) -> Plan:
        """What a backfill would do; see ``make_plan``."""
        return make_plan(self.pipeline, self.settings, self.lake, request)

    def run(self, plan: Plan, record: Record, progress: Callable[[str], None] = silent) -> list[StageResult[Any]]:
        """Run the stages of a plan, each as its jobs. Partitions that already hold the result stay as they are.

        Each stage is planned again at its turn, because the stages before it changed its inputs. The model stays the
        one that the plan pinned.

        Raises:
            ContrailError: as a stage does; the jobs before it stay published, and the record stays open.
        """
        results = []
        for stage in plan.stages:
            now = self.plan(plan.request.of(stage.stage, plan.model))
            for number, job in enumerate(now.stages[0].jobs, start=1):
                progress(f"{stage.stage} {job}, job {number} of {len(now.stages[0].jobs)}")
                results.append(self._run_job(stage.stage, job, now, record, progress))
        return results

    def _run_job(
        self, stage: str, job: Partitions, plan: Plan, record: Record, progress: Callable[[str], None]
    ) -> StageResult[Any]:
        each = plan.request.commits == "partition"
        match stage:
            case "features":
                options: StageOptions = FeaturesOptions(backfill=record.id, each_partition=each)
            case "score":
                options = ScoreOptions(backfill=record.id, each_partition=each, model=plan.model)
            case "drift":  # one model a job
                model = next(version for days, version in plan.models if job.start in days)
                options = DriftOptions(backfill=record.id, model=model)
            case _:
                options = options_of(stage, {"backfill": record.id})
        return run_stage(stage, self.pipeline.name, job, options=options, progress=progress)

    # ---- the record ----

    def open(self, plan: Plan, backfill_id: str | None = None, progress: Callable[[str], None] = silent) -> Record:
        """Open the record of this backfill: the one with its id, an open one of the same request, or a new one.

        Raises:
            SpecError: for an id that is no file name, or that names a backfill of other partitions.
        """
        found = self._read(checked_name(backfill_id, "--id")) if backfill_id else self._interrupted(plan)
        if found is None:
            return self._begin(plan, backfill_id or new_run_id())
        asked, whole = plan.request.partitions, found.range
        if asked.start not in whole or asked.end not in whole:
            raise SpecError(f"backfill {found.id} is of {found.partitions}, not of {asked}")
        if not backfill_id:
            progress(f"continuing backfill {found.id}, which began at {found.started_at} and did not end")
        stages = tuple(dict.fromkeys([*found.stages, *plan.request.stages]))
        opened = found.model_copy(update={"stages": stages, "state": "running"})
        if opened != found:  # parts may run side by side, and then none of them writes
            self._write(opened)
        return opened

    def interrupted(self, plan: Plan) -> bool:
        """Whether a backfill of the same request began and did not end."""
        return self._interrupted(plan) is not None

    def record(self, backfill_id: str) -> Record:
        """The record of a backfill.

        Raises:
            MissingInputError: if there is none.
        """
        found = self._read(backfill_id)
        if found is None:
            known = ", ".join(sorted(path.stem for path in self.folder.glob("*.json"))) or "none yet"
            raise MissingInputError(f"{self.folder} has no backfill '{backfill_id}'. Known: {known}")
        return found

    def _begin(self, plan: Plan, backfill_id: str) -> Record:
        record = self._at_rest(lambda: self._named(plan, backfill_id))
        self._write(record)
        return record

    def _named(self, plan: Plan, backfill_id: str) -> Record:
        """A new record, of the snapshots of now, which get their names."""
        before = {table: self.lake.snapshot_id(table) for table in TABLES.values()}
        record = Record(
            id=backfill_id,
            pipeline=self.pipeline.name,
            partitions=str(plan.request.partitions),
            stages=plan.request.stages,
            model=plan.model,
            publish=plan.request.commits,
            started_at=_now(),
            person=current_person(),
            before=before,
        )
        self._keep(before, record.tag)
        return record

    def _compared(self, record: Record) -> Difference:
        after = {table: self.lake.snapshot_id(table) for stage, table in TABLES.items() if stage in record.stages}
        lost = {table for table, old in record.before.items() if old is not None and not self._has(table, old)}
        found = difference(self.lake, self.pipeline.spec, record.range, record.before, after, lost)
        self._keep(after, record.tag_after)
        return found

    def _has(self, table: str, snapshot: int) -> bool:
        loaded = self.lake.find(table)
        return loaded is not None and snapshots.find(loaded, snapshot) is not None

    def _at_rest(self, act: Callable[[], Made]) -> Made:
        """Do what asks for the snapshots of now, once more when a person is forgotten meanwhile: that takes snapshots away."""
        for _ in range(_TRIES):
            with suppress(SnapshotGoneError):
                return act()
        raise InputsChangedError(
            f"{self.pipeline.name}: snapshots went while they were compared, because persons are being forgotten. Nothing was "
            "lost. Run the same command again."
        )

    def _keep(self, current: Mapping[str, int | None], tag: str) -> None:
        for table, snapshot in current.items():
            if snapshot is not None:
                self.lake.tag(table, snapshot, tag)

    def _interrupted(self, plan: Plan) -> Record | None:
        """The newest open record of the same partitions, stages and model; how it commits may differ."""
        wanted = (str(plan.request.partitions), set(plan.request.stages), plan.model)
        records = [self.record(path.stem) for path in self.folder.glob("*.json")]
        same = [r for r in records if r.state == "running" and (r.partitions, set(r.stages), r.model) == wanted]
        return max(same, key=lambda record: record.started_at, default=None)

    def _read(self, backfill_id: str) -> Record | None:
        path = self.folder / f"{backfill_id}.json"
        return parse_json(Record, path.read_bytes(), str(path)) if path.exists() else None

    def _write(self, record: Record) -> None:
        text = json.dumps(record.as_dict(), indent=1, allow_nan=False) + "\n"
        write_whole(self.folder / f"{record.id}.json", text.encode())

    # ---- the difference ----

    def finish(self, record: Record) -> Record:
        """Compare with what was published before, write the reports, and close the record.

        A repeated call compares with what is published by then.

        What a table was before is no longer known once its snapshot has expired, or the rows of a person were taken out of
        it. Then the difference names the table, and says nothing else of it.

        Raises:
            InputsChangedError: if the rows of persons are taken out again and again meanwhile.
        """
        found = self._at_rest(lambda: self._compared(record))
        done = record.model_copy(update={"difference": found, "state": "done", "finished_at": _now()})
        # The record last: who reads that it is done finds the page.
        write_whole(self.folder / f"{done.id}.html", render_difference(done, self.pipeline.spec).encode())
        self._write(done)
        return done

    def reports(self, record: Record) -> tuple[str, ...]:
        """The report files of a backfill that has ended: the page, and the same as JSON."""
        return tuple(str(self.folder / f"{record.id}.{kind}") for kind in ("html", "json"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
