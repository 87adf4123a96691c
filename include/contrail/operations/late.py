"""Late data: take in files of past days that came late or again, and rebuild what they touch.

A day's own run does not look back. This module looks back over ``schedule.late_days``. It ingests and validates what
changed, and builds again the features whose windows reach it. It scores days again only where ``score.late_data`` says
so. ``corrections`` records what became different. Files of older days are named, but not taken in.

If a run is killed, the next run ends its work with the same result. Each step may be repeated, and a file beside the
reports holds the work until its last step.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from contrail.adapters.registry import exists
from contrail.errors import ContrailError, FileRefusedError, PartitionRefusedError
from contrail.lake import records
from contrail.lake.datasets import PARTITION
from contrail.lake.model_history import AS_OF, CHAMPION, in_effect, read_moves
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.land import land_known
from contrail.operations.late_files import following_days, look_back, older_files, published_days, touched_days
from contrail.operations.late_work import Work, forget_work, plan_work, unfinished_work, write_work
from contrail.partitions import Partitions, as_ranges
from contrail.reports.backfill_record import DayChanges, Record
from contrail.reports.difference import gone
from contrail.stages.base import silent
from contrail.stages.results import LateDetails
from contrail.stages.runner import finish_changes, make_run, new_run_id, run_stage


def correct(
    backfills: Backfills, on: date, run_id: str | None = None, progress: Callable[[str], None] = silent
) -> LateDetails:
    """Take in what came late before the cut-off of day ``on``. First finish the work that an earlier run left.

    Tables with a source in the spec are landed first: those days, and the day's own.

    Raises:
        FileRefusedError: for a bad late file, after all others were taken in. A missing file is no error here, because
            its own day's run reported it.
        PartitionRefusedError: for a late day that broke its contract; its published rows stay.
        ContrailError: as a stage does, also in the work that an earlier run left; raised after everything else.
    """
    run_id = run_id or new_run_id()
    finish_changes("late", backfills.pipeline, progress)
    done, refused = finish_works(backfills, run_id, progress)
    try:
        land_known(backfills.pipeline, backfills.settings, on, progress)
    except ContrailError as error:  # files that have landed are taken in all the same
        refused.append(error)
    if window := look_back(backfills, on):
        before = published_days(backfills, "raw")
        done.append(_name_older_files(older_files(backfills, before, window.start, on), progress))
        options = {"as_of_cutoff": True, "leave_missing": True}
        try:
            run_stage("ingest", backfills.pipeline.name, window, run_id=run_id, options=options, progress=progress)
        except FileRefusedError as error:
            refused.append(error)
        touched = touched_days(backfills, on)
        following = following_days(backfills, touched, window)
        if touched or following:
            work = plan_work(backfills, touched, following, on, run_id)
            write_work(backfills, work)
            found, bad = do_work(backfills, work, run_id, progress)
            done, refused = [*done, found], [*refused, *bad]
    if refused:
        raise refused[0]
    return together(done)


def finish_works(
    backfills: Backfills, run_id: str, progress: Callable[[str], None] = silent
) -> tuple[list[LateDetails], list[ContrailError]]:
    """Finish the work that earlier runs left. Return what was done, and the errors."""
    done, refused = list[LateDetails](), list[ContrailError]()
    for work in unfinished_work(backfills):
        progress(f"continuing with {', '.join(work.files)}: the run {work.id} did not end")
        try:
            found, bad = do_work(backfills, work, run_id, progress)
        except ContrailError as error:
            found, bad = LateDetails(), [error]
        done, refused = [*done, found], [*refused, *bad]
    return done, refused


def _name_older_files(sentences: Sequence[str], progress: Callable[[str], None]) -> LateDetails:
    for sentence in sentences:
        progress(sentence)
    return LateDetails(too_old=tuple(sentences))


def together(parts: Sequence[LateDetails]) -> LateDetails:
    """Add up what several works did."""
    return LateDetails(
        files=tuple(file for part in parts for file in part.files),
        days=tuple(sorted({day for part in parts for day in part.days})),
        decisions_flipped=sum(part.decisions_flipped for part in parts),
        backfill=next((part.backfill for part in reversed(parts) if part.backfill), ""),
        reports=tuple(report for part in parts for report in part.reports),
        too_old=tuple(sentence for part in parts for sentence in part.too_old),
    )


def do_work(
    backfills: Backfills, work: Work, run_id: str, progress: Callable[[str], None]
) -> tuple[LateDetails, list[ContrailError]]:
    """Do every step of the work, also those that an earlier run did. Return the errors of refused days too."""
    refused: list[ContrailError] = []
    # A second validation, after the features were built, would make them stale.
    for days in work.days if not work.validated else []:
        try:
            # Mended rows may be of a day whose other tables are not due yet. A file that is missing was told by its own run.
            options = {"leave_missing": True}
            run_stage("validate", backfills.pipeline.name, days, run_id=run_id, options=options, progress=progress)
        except PartitionRefusedError as error:
            refused.append(error)
    write_work(backfills, work.model_copy(update={"validated": True}))
    done = [LateDetails(files=work.files)]
    features = [Partitions.from_text(work.features)] if work.features else []
    scores = _with_champions(backfills, Partitions.from_text(work.scores), progress) if work.scores else []
    for stage, ranges in (("features", features), ("score", scores)):
        for number, days in enumerate(ranges):
            name = f"late-{stage}-{work.id}" + (f"-{number}" if number else "")
            done.append(_rebuild(backfills, work, stage, days, name, run_id, progress))
    forget_work(backfills, work)
    return together(done), refused


def _with_champions(backfills: Backfills, days: Partitions, progress: Callable[[str], None]) -> list[Partitions]:
    """The days that the champion of their time can score again. The predictions of the others stay, and it says so."""
    name, moves = backfills.pipeline.name, read_moves(backfills.lake, CHAMPION)
    champions = {day: move.version_after for day in days if (move := in_effect(moves, day))}
    there = {version for version in set(champions.values()) if exists(backfills.settings, name, version)}
    for left in as_ranges(day for day in days if champions.get(day) not in there):
        progress(
            f"the predictions of {left} stay as they are: the registry has no champion as of these days. To score them "
            f"again with another version: contrail score -p {name} --from {left.start} --to {left.end} --model champion"
        )
    return as_ranges(day for day, version in champions.items() if version in there)


def _rebuild(
    backfills: Backfills,
    work: Work,
    stage: str,
    partitions: Partitions,
    name: str,
    run_id: str,
    progress: Callable[[str], None],
) -> LateDetails:
    """Run a backfill under a fixed name, so that a repeated run compares with what was published before the first."""
    plan = backfills.plan(Request(partitions, (stage,), AS_OF if stage == "score" else "champion"))
    record = backfills.open(plan, name, progress)
    backfills.run(plan, record, progress)
    record = backfills.finish(record)
    for words in gone(record.difference):
        progress(words)
    different = _record(backfills, record, work.cause, run_id)
    return LateDetails(
        days=tuple(day.partition for day in different),
        decisions_flipped=sum(day.flipped or 0 for day in different),
        backfill=record.id,
        reports=backfills.reports(record),
    )


def _record(backfills: Backfills, record: Record, cause: str, run_id: str) -> list[DayChanges]:
    """Publish a row for each day whose rows became different, and return these days."""
    found = record.difference
    table, compared = (
        ("predictions", found.predictions) if record.stages == ("score",) else ("features", found.features)
    )
    different = [day for day in compared.days if day.rows] if compared else []
    if not different:
        return []
    now = datetime.now(UTC)
    entries = [
        {
            PARTITION: date.fromisoformat(day.partition),
            "published": table,
            "corrected_at": now,
            "cause": cause,
            "rows_changed": day.rows,
            "rows": day.rows_after,
            "largest_shift": day.largest_shift,
            "decisions_flipped": day.flipped or 0,
            "backfill": record.id,
            "run_id": run_id,
        }
        for day in different
    ]
    spec = backfills.pipeline.spec
    dataset = records.corrections(spec)
    rows = pa.Table.from_pylist(entries, schema=dataset.arrow_schema())
    days = [date.fromisoformat(day.partition) for day in different]
    run = make_run("late", spec.name, Partitions(min(days), max(days)), run_id=run_id)
    backfills.lake.publish(dataset, rows, days, run.provenance({}), {"backfill": record.id})
    return different
