"""Mended rows from the view Data: the rows to mend as CSV, and what a replay of the mended ones would change.

Airflow itself starts the replay, so that it checks the right and keeps its audit log.
"""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from contrail.config.settings import settings
from contrail.files import scratch
from contrail.frozen import Frozen
from contrail_airflow.dags.replay import MOST_CHARACTERS
from contrail_airflow.page.access import Person, Replayed
from contrail_airflow.page.reading import lake_of

router = APIRouter(prefix="/api/{pipeline}")
Name = Annotated[str, Query(max_length=500)]


class Mended(Frozen):
    """Mended rows as the page gives them: CSV or SQL. The names are those of the DAG's form."""

    table: str = Field(max_length=500)
    reason: str = Field(min_length=1, max_length=2_000)
    rows: str = Field(default="", max_length=MOST_CHARACTERS)
    sql: str = Field(default="", max_length=MOST_CHARACTERS)


@router.get("/quarantine/csv", response_class=StreamingResponse)
def csv(
    pipeline: Replayed, table: Name, rule: Name, first: date | None = None, last: date | None = None
) -> StreamingResponse:
    """The rows of a rule, to mend them and to give them back. Personal columns are left out."""
    from contrail.operations.quarantine import rows_to_mend

    lines = rows_to_mend(lake_of(pipeline), pipeline, table, rule, first, last)
    whole: Iterator[str] = chain([next(lines)], lines)  # what is wrong is said before the answer begins
    name = f"{pipeline.name}-{table}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(whole, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/replay/plan")
def plan(pipeline: Replayed, person: Person, mended: Mended) -> dict[str, Any]:
    """What a replay would change, and the configuration with which ``__replay`` does exactly this. Nothing changes."""
    from contrail.operations.backfill import Backfills
    from contrail.operations.replay import Asked, Replay

    folder = settings().home_path / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with scratch("replay-", folder) as own:
        file = own / "rows.csv" if mended.rows.strip() else None
        if file:
            file.write_text(mended.rows)
        sql = mended.sql.strip() or None
        asked = Asked(mended.table, person.get_name(), mended.reason, file, sql)
        found = Replay(Backfills(pipeline, settings(), lake_of(pipeline)), asked).plan()
    conf = {"table": mended.table, "reason": mended.reason, "rows": mended.rows or None, "sql": mended.sql or None}
    return {"plan": found.as_dict(), "dag_id": f"{pipeline.name}__replay", "conf": conf}
