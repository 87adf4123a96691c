"""Check a pipeline for leaks: does anything that was not known at the cut-off reach its features or its models?

Features are built again in a scratch folder, by the pipeline's own code. Nothing is published. The verdict is kept among the
pipeline's reports, so that it can be cited.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta

import duckdb

from contrail.adapters.engine import forget_kept, session_of
from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError, SpecError
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.operations import kept_checks
from contrail.operations.leaks import clocks, futures, outcomes, trainings
from contrail.operations.leaks.builds import Builds
from contrail.operations.leaks.findings import LEAK, Leaks, Told, checked
from contrail.operations.leaks.futures import Futures
from contrail.partitions import Partitions
from contrail.stages.base import StageRun, silent
from contrail.stages.features import check_entities, exceeds_memory, parts_of
from contrail.stages.options import FeaturesOptions
from contrail.stages.runner import new_run_id

DEFAULT_DAYS, DEFAULT_CUTOFFS = 28, 3
VERB = "check-leaks"
_BEFORE = ("land", "ingest", "validate")


def days_to_check(pipeline: Pipeline, lake: Lake, first: date | None = None, last: date | None = None) -> Partitions:
    """The days from ``first`` to ``last``. By default they are the newest 28 days whose labels have all arrived, or fewer.

    Raises:
        MissingInputError: when there are none.
        SpecError: for a single day.
    """
    spec = pipeline.spec
    if last is None:
        entities, labels = (lake.ends(f"validated_{table}") for table in (spec.entities, spec.label.table))
        if entities and labels:
            last = min(entities.end, labels.end - timedelta(days=spec.label.mature_after_days))
            first = first or max(entities.start, last - timedelta(days=DEFAULT_DAYS - 1))
    if first is None or last is None or last < first:
        raise MissingInputError(
            f"{spec.name} has no validated days with outcomes{f' from {first} on' if first else ''} to check. Run:\n"
            + "\n".join(f"  contrail {verb} -p {spec.name} --from {first or spec.first_partition}" for verb in _BEFORE)
        )
    if first == last:
        raise SpecError(f"{first} is one day: a leak shows in days that have later ones. Give --from and --to")
    return Partitions(first, last)


def check_leaks(
    pipeline: Pipeline,
    lake: Lake,
    partitions: Partitions,
    *,
    cutoffs: int = DEFAULT_CUTOFFS,
    seed: int = 0,
    progress: Callable[[str], None] = silent,
) -> Leaks:
    """Check a pipeline for leaks over a range of days.

    Args:
        pipeline: The pipeline.
        lake: Its tables.
        partitions: The days whose features are built, and whose labels are looked at.
        cutoffs: At how many of these days, chosen at random, the future is taken away and spoilt.
        seed: Chooses the days, and rows where there are too many for the memory.
        progress: Takes a line for a person.

    Raises:
        MissingInputError: when days are not validated.
        SpecError, EngineError: as the stage features.
    """
    run = StageRun(VERB, pipeline, partitions, lake.settings, lake, new_run_id(), FeaturesOptions(), progress)
    check_entities(pipeline, lake, partitions)
    found = Futures()
    with session(lake.settings) as connection:
        # The engine works beside it, and takes the other half.
        connection.execute(f"SET memory_limit = '{lake.settings.memory_bytes // 2}B'")
        days = _built(run, connection, found, cutoffs, seed)
        told = dict(_told(run, connection, found, seed))
        ((rows,),) = connection.sql("SELECT count(*) FROM built").fetchall()
    findings = sorted((one for own in told.values() for one in own.findings), key=lambda one: one.level != LEAK)
    leaks = Leaks(
        pipeline=pipeline.name,
        partitions=str(partitions),
        cutoffs=tuple(days),
        seed=seed,
        rows=rows,
        checks=tuple(checked(check, own) for check, own in told.items()),
        findings=tuple(findings),
    )
    kept_checks.keep(pipeline, lake.settings, kept_checks.LEAKS, passed=not leaks.of(LEAK), says=leaks.sentence)
    return leaks


def _built(
    run: StageRun[FeaturesOptions], connection: duckdb.DuckDBPyConnection, found: Futures, cutoffs: int, seed: int
) -> list[date]:
    """Build the range in parts that fit into the memory, and note what moves. Return the cut-offs."""
    spec = run.pipeline.spec
    parts = parts_of(run)
    days = futures.chosen(run.partitions, parts, cutoffs, seed)
    found.delivered_again = futures.corrections(
        run.lake, spec, run.partitions.reaching_back(spec.features.lookback_days)
    )
    snapshots = {f"validated_{table}": run.lake.snapshot_id(f"validated_{table}") for table in spec.tables}
    engine = session_of(run.settings, sparing=exceeds_memory(run))
    for part in parts:
        builds = Builds(replace(run, partitions=part), snapshots)
        try:
            futures.build_part(connection, builds, days, found)
        finally:
            forget_kept(engine)
            builds.remove()
    return days


def _told(
    run: StageRun[FeaturesOptions], connection: duckdb.DuckDBPyConnection, found: Futures, seed: int
) -> Iterator[tuple[str, Told]]:
    """Each check with what it says, in the order of ``CHECKS``."""
    lake, spec, days = run.lake, run.pipeline.spec, run.partitions
    yield "cut-off", futures.of_cut(found)
    yield "planted", futures.of_spoilt(found)
    yield "corrected", futures.of_corrected(found)
    run.progress("asking what features tell of the outcome")
    sample = outcomes.outcomes_of(connection, lake, spec, days, seed)
    yield "alone", outcomes.of_alone(sample)
    yield "nulls", outcomes.of_nulls(sample)
    yield "model", outcomes.of_model(sample, outcomes.published(connection, lake, spec, days, seed))
    run.progress("comparing clocks, splits and encodings")
    yield "clock", clocks.of_clocks(connection, lake, spec, days)
    yield "split", trainings.of_split(lake, spec)
    yield "encoding", trainings.of_encoding(connection, lake, spec)
