"""The proofs by building again: without the future, with a spoilt future, and with the values that were known then."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import duckdb
import numpy as np

from contrail.config.spec import PipelineSpec
from contrail.lake.lake import Lake
from contrail.lake.lineage import Lineage
from contrail.operations.leaks.builds import Builds
from contrail.operations.leaks.findings import LEAK, WARNING, Finding, Row, Told, not_checked, told
from contrail.operations.leaks.moved import EXAMPLES, Compared, moved, register
from contrail.partitions import Partitions, as_ranges, cutoff_instant


@dataclass
class Moves:
    """What moved of each feature, over several comparisons. ``compared`` counts rows."""

    days: list[date] = field(default_factory=list)
    compared: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    rounded: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, day: date, found: Compared) -> None:
        """Add what moved at a day."""
        self.days.append(day)
        self.compared += found.rows
        for one in found.moved:
            for counts, own in ((self.rows, one.rows), (self.rounded, one.by_rounding)):
                if own:
                    counts[one.feature] = counts.get(one.feature, 0) + own
            self.examples.setdefault(one.feature, []).extend(one.examples)

    def findings(self, check: str, says: str, unstable: Iterable[str]) -> list[Finding]:
        """A leak for each feature that moved. One that is another in each build of the same rows proves nothing."""
        restless = set(unstable)
        found = []
        for feature in {**self.rows, **self.rounded}:
            moves, rows = feature in self.rows, self.rows.get(feature, 0) or self.rounded[feature]
            words = (
                says
                if moves
                else "differs in its last bits, because sums of numbers that are not whole depend on their order"
            )
            if feature in restless:
                words = "is another in each build of the same rows, so nothing can be proved of it"
            leaks = moves and feature not in restless
            found.append(
                Finding(
                    check=check,
                    level=LEAK if leaks else WARNING,
                    subject=feature,
                    says=words,
                    rows=rows,
                    examples=tuple(self.examples[feature][:EXAMPLES]),
                )
            )
        return found


@dataclass
class Futures:
    """What moved in the builds of a range, part after part.

    ``unstable`` names features that are others in each build. ``delivered_again`` has, by table and day, the snapshot
    with the values that were known then.
    """

    cut: Moves = field(default_factory=Moves)
    spoilt: Moves = field(default_factory=Moves)
    corrected: Moves = field(default_factory=Moves)
    unstable: set[str] = field(default_factory=set)
    delivered_again: dict[str, dict[date, int]] = field(default_factory=dict)


def chosen(partitions: Partitions, parts: Sequence[Partitions], count: int, seed: int) -> list[date]:
    """Choose cut-offs at random. Each has a day after it in its part, whose rows its features might have seen."""
    ends = {part.end for part in parts}
    able = [day for day in partitions if day not in ends]
    places = np.random.default_rng(seed).choice(len(able), min(count, len(able)), replace=False)
    return sorted(able[place] for place in places)


def build_part(
    connection: duckdb.DuckDBPyConnection,
    builds: Builds,
    cutoffs: Sequence[date],
    found: Futures,
) -> None:
    """Build a part as it is, and as it would be without its future, and note what moves. Its rows go to ``built``."""
    run, spec = builds.run, builds.run.pipeline.spec
    run.progress(f"building {run.partitions} as the stage features does")
    register(connection, spec, "whole", builds.whole())
    for day in (day for day in cutoffs if day in run.partitions):
        own = Partitions(day, day)
        run.progress(f"building {day} without what was not known at its cut-off")
        register(connection, spec, "other", builds.cut(day))
        found.cut.add(day, moved(connection, spec, "whole", "other", own))
        run.progress(f"building {day} with absurd values in what was not known")
        register(connection, spec, "other", builds.spoilt(day))
        found.spoilt.add(day, moved(connection, spec, "whole", "other", own))
    if found.delivered_again:
        run.progress(f"building {run.partitions} from the values that were known then")
        register(connection, spec, "other", builds.as_known(found.delivered_again))
        found.corrected.add(run.partitions.start, moved(connection, spec, "whole", "other", run.partitions))
    if found.cut.rows or found.spoilt.rows or found.corrected.rows:
        run.progress(f"building {run.partitions} once more, to tell a leak from a feature that is never the same")
        register(connection, spec, "other", builds.whole("again"))
        again = moved(connection, spec, "whole", "other", run.partitions)
        found.unstable |= {one.feature for one in again.moved if one.rows}
    there = connection.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'built'").fetchall()
    connection.execute("INSERT INTO built FROM whole" if there else "CREATE TEMP TABLE built AS FROM whole")


def of_cut(found: Futures) -> Told:
    """What the builds without a future say."""
    return _told(found, found.cut, "cut-off", "moves when rows that were not known at the cut-off are taken away")


def of_spoilt(found: Futures) -> Told:
    """What the builds with a spoilt future say."""
    return _told(found, found.spoilt, "planted", "moves when rows that were not known at the cut-off get absurd values")


def _told(found: Futures, moves: Moves, check: str, says: str) -> Told:
    days = ", ".join(map(str, sorted(moves.days)))
    if not moves.compared:
        return not_checked(
            f"No thing was known at the cut-offs of {days or 'days with a later one'}: nothing was compared."
        )
    return told(f"{moves.compared:,} rows at the cut-offs of {days}.", moves.findings(check, says, found.unstable))


# ---- corrected values ----


def corrections(lake: Lake, spec: PipelineSpec, window: Partitions) -> dict[str, dict[date, int]]:
    """Find the days that were delivered again, and the snapshot that has them as they were known at their cut-off.

    A day counts when its raw rows became others after the cut-off that first uses them. Where that cut-off had none yet,
    the first delivery counts as known.
    """
    found: dict[str, dict[date, int]] = {}
    for table in spec.daily_tables:
        raw, name = lake.lineage(f"raw_{table}"), f"validated_{table}"
        again = [day for day in window if sum(commit.changes(Partitions(day, day)) for commit in raw.commits) > 1]
        if not again:
            continue
        lineage, known = lake.lineage(name), timedelta(days=0 if spec.tables[table].known_ahead else 1)
        times = {entry.snapshot: datetime.fromisoformat(entry.committed_at) for entry in lake.history(name)}
        for day in again:
            cutoff = cutoff_instant(day + known, spec.cutoff, spec.timezone)
            if (then := _known_then(lineage, day, times, cutoff)) is not None:
                found.setdefault(table, {})[day] = then
    return found


def of_corrected(found: Futures) -> Told:
    """What the build from the values that were known then says."""
    if not found.delivered_again:
        return told("No day was delivered again.")
    days = [f"{table} of {', '.join(map(str, as_ranges(own)))}" for table, own in found.delivered_again.items()]
    says = f"is made of corrected values that nobody knew at the cut-off: {'; '.join(days)}"
    return told(f"Delivered again: {'; '.join(days)}.", found.corrected.findings("corrected", says, found.unstable))


def _known_then(lineage: Lineage, day: date, times: Mapping[int, datetime], cutoff: datetime) -> int | None:
    """The snapshot with a day as it was known at a cut-off; None where that is how it is now, or has expired."""
    own = Partitions(day, day)
    makers = [commit.snapshot for commit in lineage.commits if commit.changes(own) and commit.snapshot in times]
    if len(makers) < 2:
        return None
    then = next((snapshot for snapshot in makers if times[snapshot] <= cutoff), makers[-1])
    return None if then == makers[0] else then
