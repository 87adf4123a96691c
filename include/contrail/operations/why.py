"""Why a row has its score: all that was published for it, its parts, and what it was made of, back to landed files.

The command, the page and the notebook all ask here. Nothing here is published.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from pydantic import Field

from contrail.config.pipeline import Pipeline
from contrail.errors import DataError, SpecError
from contrail.frozen import Frozen
from contrail.lake import readers
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.lake.moving import moved_tables
from contrail.operations.one_prediction import Explained, explained
from contrail.operations.published_reasons import Reason, reasons_in, shown_reasons
from contrail.operations.receipt import Receipt, trace, traced
from contrail.operations.rows_of_key import rows_with
from contrail.operations.sources import Source, sources_of
from contrail.partitions import Partitions
from contrail.reports.fragments import page_html


class Published(Frozen):
    """A score that readers once saw, or see, of the row. ``published_at`` is UTC in ISO 8601.

    ``cause`` names the files that corrected it by coming late, or the mended rows and their replay; see ``causes``.
    ``same`` and ``verdict`` say what came of computing it again.
    """

    published_at: str
    snapshot: int
    scoring_run: str
    model_version: str
    prediction: float
    decision: bool | None
    reasons: tuple[Reason, ...]
    cause: str | None
    shown: bool
    same: bool | None
    verdict: str


class Why(Frozen):
    """All that is known of one prediction.

    ``published`` has what readers saw of the row over time, the oldest first. ``older_expired`` says that more may have
    been published before the kept history. ``explained`` is None where the features have expired.
    """

    receipt: Receipt
    same: bool | None
    verdict: str
    threshold: float | None
    threshold_reason: str | None = Field(default=None, exclude_if=lambda reason: reason is None)
    published: tuple[Published, ...]
    older_expired: bool
    explained: Explained | None
    sources: tuple[Source, ...]

    def _repr_html_(self) -> str:
        from contrail.operations.why_page import render

        return page_html(render(self), height=900)


def why(
    lake: Lake,
    pipeline: Pipeline,
    key: Mapping[str, object],
    day: date | None = None,
    as_of: datetime | None = None,
    personal: bool = False,
) -> Why:
    """Find what a prediction was made of, and compute it again.

    Args:
        lake: The pipeline's tables.
        pipeline: The pipeline.
        key: Values of columns of the key, as many as name one prediction of the day.
        day: Its partition. None: the newest on which the key has a prediction.
        as_of: Answer for what readers saw at this moment. Default: now.
        personal: Show the values of persons.

    Raises:
        SpecError, MissingInputError: as ``traced``.
    """
    spec = pipeline.spec
    receipt, package, features = traced(pipeline, lake, day, key, personal, as_of)
    return Why(
        receipt=receipt,
        same=receipt.same,
        verdict=receipt.verdict,
        threshold=package.threshold(spec.score) if spec.task == "binary" else None,
        threshold_reason=package.threshold_reason(spec.score),
        published=tuple(_published(lake, pipeline, receipt, as_of, personal)),
        older_expired=not lake.lineage("predictions").complete,
        explained=None if features is None else explained(features, spec, package, personal),
        sources=sources_of(lake, spec, receipt, personal),
    )


def _published(
    lake: Lake, pipeline: Pipeline, receipt: Receipt, as_of: datetime | None, personal: bool
) -> Iterator[Published]:
    """Each prediction of the row that readers could see, by the commits of its day."""
    spec, days = pipeline.spec, Partitions(receipt.partition, receipt.partition)
    key = {name: str(value) for name, value in receipt.whole_key.items()}
    causes, known = _causes(lake, days), set[tuple[str, str]]()
    for table, entry in _commits(lake, days, as_of):
        for row in rows_with(lake, spec, table, key, days, entry.snapshot).to_pylist():
            made = row["scoring_run"], row["scored_at"].isoformat()
            if made in known:
                continue  # a commit that kept the rows of the day
            known.add(made)
            same, verdict = _again(pipeline, lake, row)
            yield Published(
                published_at=entry.committed_at,
                snapshot=entry.snapshot,
                scoring_run=row["scoring_run"],
                model_version=row["model_version"],
                prediction=row.get("probability", row.get("prediction")),
                decision=row.get("decision"),
                reasons=shown_reasons(spec, reasons_in(row), personal),
                cause=causes.get(entry.provenance.extra.get("backfill", "")),
                shown=made == (receipt.scoring_run, receipt.scored_at),
                same=same,
                verdict=verdict,
            )


def _commits(lake: Lake, days: Partitions, as_of: datetime | None) -> Iterator[tuple[str, HistoryEntry]]:
    """The commits to the predictions of a day until a moment, the oldest first, also those of a table that was moved away."""
    existing = lake.table_names()
    for table in (*moved_tables(existing, "predictions"), "predictions"):
        entries = lake.history(table)[::-1]
        if as_of and table == "predictions":
            last = readers.snapshot_at(lake, table, as_of)
            entries = entries[: next(at for at, entry in enumerate(entries) if entry.snapshot == last) + 1]
        yield from ((table, entry) for entry in entries if entry.commit.touches(days))


def _again(pipeline: Pipeline, lake: Lake, row: Mapping[str, Any]) -> tuple[bool | None, str]:
    try:
        found = trace(pipeline, lake, row, personal=False).receipt
    except (DataError, SpecError) as error:  # its model is gone
        return None, str(error)
    return found.same, found.verdict


def _causes(lake: Lake, days: Partitions) -> dict[str, str]:
    """What corrected the predictions of a day, by backfill."""
    if not lake.exists("corrections"):
        return {}
    rows = lake.scan("corrections", days, ["backfill", "published", "cause"]).to_pylist()
    return {row["backfill"]: row["cause"] for row in rows if row["published"] == "predictions"}
