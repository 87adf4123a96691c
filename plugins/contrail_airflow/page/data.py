"""The view Data: the tables, what was kept aside, and the pages of reports, opened in place."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from contrail.config.settings import settings
from contrail.errors import MissingInputError
from contrail_airflow.page.access import Seen
from contrail_airflow.page.frames import framed
from contrail_airflow.page.reading import lake_of

router = APIRouter()
Day = date | None
Name = Annotated[str, Query(max_length=500)]
_WITH_SCRIPTS = frozenset({"drift"})


@router.get("/api/{pipeline}/tables")
def tables(pipeline: Seen) -> list[dict[str, Any]]:
    """Every table, and how fresh it is."""
    from contrail.operations.tables import tables as read

    return [one.as_dict() for one in read(lake_of(pipeline), pipeline)]


@router.get("/api/{pipeline}/tables/{table}")
def table(pipeline: Seen, table: str) -> dict[str, Any]:
    """A table's columns and snapshots."""
    from contrail.operations.tables import table as read

    return read(lake_of(pipeline), pipeline, table).as_dict()


@router.get("/api/{pipeline}/quarantine")
def quarantine(pipeline: Seen, first: Day = None, last: Day = None) -> dict[str, Any]:
    """What was kept aside: the broken rules, and what was refused whole."""
    from contrail.operations.quarantine import broken_rules, refusals

    lake = lake_of(pipeline)
    return {
        "rules": [one.as_dict() for one in broken_rules(lake, pipeline, first, last)],
        "refusals": [one.as_dict() for one in refusals(lake, pipeline, first, last)],
    }


@router.get("/api/{pipeline}/quarantine/rows")
def rows(
    pipeline: Seen, table: Name, rule: Name, first: Day = None, last: Day = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:  # fmt: skip
    """The rows that broke a rule, as they landed."""
    from contrail.operations.quarantine import kept_rows

    return kept_rows(lake_of(pipeline), pipeline, table, rule, first, last, offset).as_dict()


@router.get("/api/{pipeline}/reports")
def reports(pipeline: Seen) -> list[dict[str, Any]]:
    """The pages of reports."""
    from contrail.operations.kept_reports import kept_reports

    return [one.as_dict() for one in kept_reports(settings(), pipeline.name)]


@router.get("/reports/{pipeline}/{kind}/{path:path}", response_class=Response)
def report(pipeline: Seen, kind: str, path: str) -> Response:
    """A file of a report, which a browser shows in a sandbox."""
    from contrail.operations.kept_reports import read_report

    try:
        found = read_report(settings(), pipeline.name, kind, path)
    except MissingInputError as error:
        raise HTTPException(404, str(error)) from error
    return framed(found.content, found.media_type, scripts=kind in _WITH_SCRIPTS)
