"""When the stage ``drift`` draws its page for people, and what it shows. How the page looks belongs to ``reports``."""

from datetime import timedelta

import numpy as np
from upath import UPath

from contrail.config.names import listed
from contrail.lake.datasets import PARTITION
from contrail.lake.sessions import session
from contrail.methods.days_before import REACH_DAYS
from contrail.partitions import Partitions
from contrail.reports.drift import DriftPage, ReportLine, Sample, shortened, write_drift_report
from contrail.stages.base import StageRun
from contrail.stages.measuring.measured import Measured
from contrail.stages.options import DriftOptions as Options

_LINES, _FEATURES, _ROWS = 40, 12, 5_000


def draw(run: StageRun[Options], measured: Measured, snapshot: int | None) -> list[str]:
    """Draw the page if it is wanted: for a range, or when drift begins. Return its path, or nothing.

    Args:
        run: The stage.
        measured: What it found.
        snapshot: That of the features, from which rows are sampled.
    """
    wanted = run.options.report
    begins = measured.begins or measured.label_begins
    if wanted == "never" or (wanted == "alarm" and not begins and len(run.partitions) == 1):
        return []
    spec = run.pipeline.spec
    # A verdict rests on of_days days. A page of a single day would hide most of them.
    first = min(run.partitions.start, run.partitions.end - timedelta(days=spec.drift.of_days - 1))
    shown = Partitions(first, run.partitions.end)
    recorded = measured.model.package.reference
    trained = Partitions(recorded.first_day, recorded.last_day)
    before = Partitions(shown.start, shown.start).shift(-1).reaching_back(REACH_DAYS - 1)
    days = _strange_days(measured, shown)
    names = _moved(measured, days)
    path: UPath = run.report_folder("drift") / f"{shown.start}_{shown.end}_model-{measured.model.version}.html"
    run.progress("drawing the drift report")
    verdicts_shown = [verdict.verdict for verdict in measured.verdicts if verdict.day in shown]
    of_label = sum(day in shown for day in measured.label_drift)
    page = DriftPage(
        title=f"{spec.title}: drift {run.partitions}",
        verdict=verdicts_shown[-1],
        finding=f"the state of the features on {measured.verdicts[-1].day}. Of {len(verdicts_shown)} days, "
        f"{verdicts_shown.count('drift')} have drift of the features, {verdicts_shown.count('watch')} are watched, and "
        f"{of_label} have drift of the label.",
        summary=f"Each of the days {shown} against the days before it. What is usual comes from the training window {trained} of "
        f"{measured.model.name} version {measured.model.version}.",
        lines=_lines(measured, days),
        reference=_sample(run, names, before, snapshot),
        current=_sample(run, names, shown, snapshot),
        categories=spec.features.categories,
    )
    write_drift_report(path, page)
    return [str(path)]


def _sample(run: StageRun[Options], names: list[str], window: Partitions, snapshot: int | None) -> Sample:
    """Draw at most 5,000 rows of a window, the same of the same rows. No more than these are in memory."""
    if not names:
        return Sample()
    key = listed((PARTITION, *run.pipeline.spec.key))
    with session(run.settings) as connection:
        run.lake.view(connection, "features", "features", window, snapshot_id=snapshot)
        ((count,),) = connection.sql("SELECT count(*) FROM features").fetchall()
        drawn = f"SELECT {listed(names)} FROM features ORDER BY hash({key}), {key} LIMIT {_ROWS}"
        return Sample(connection.sql(drawn).to_arrow_table(), count)


def _strange_days(measured: Measured, shown: Partitions) -> list[int]:
    """Positions of the last days that are not ok, or of the last day when all are."""
    days = [i for i, verdict in enumerate(measured.verdicts) if verdict.day in shown]
    strange = [
        i for i in days if measured.verdicts[i].verdict != "ok" or measured.verdicts[i].day in measured.label_drift
    ]
    return strange[-_LINES:] or days[-1:]


def _moved(measured: Measured, days: list[int]) -> list[str]:
    """The features that were unusual on most of the days, so many that a page shows."""
    statistics = measured.statistics
    count = statistics.unusual[days].sum(axis=0)
    order = np.argsort(-count, kind="stable")[:_FEATURES]
    return [statistics.features[j] for j in order if count[j]]


def _lines(measured: Measured, days: list[int]) -> list[ReportLine]:
    statistics, of_label = measured.statistics, measured.label_drift
    order = np.argsort(-statistics.exceedances, axis=1, kind="stable")

    def moved(i: int) -> list[str]:
        found = [j for j in order[i] if statistics.unusual[i, j]]
        return [f"{statistics.features[j]} (effect {statistics.effects[i, j]:.2f})" for j in found]

    return [
        ReportLine(
            day=str(measured.verdicts[i].day),
            verdict=measured.verdicts[i].verdict,
            unusual_days=str(measured.verdicts[i].unusual_days),
            exceedance=f"{statistics.exceedances[i].max():.2f} (limit {statistics.day_threshold:.2f})",
            features=shortened(moved(i)) + (" · drift of the label" if measured.verdicts[i].day in of_label else ""),
        )
        for i in days
    ]
