"""The view One prediction: search a key, and read its score, reasons, receipt and past; and what another value would do."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import TypeAdapter, ValidationError

from contrail_airflow.page.access import Seen
from contrail_airflow.page.reading import lake_of

router = APIRouter(prefix="/api/{pipeline}/prediction")
Object = Annotated[str, Query(max_length=10_000)]
_KEY = TypeAdapter(dict[str, str | int | float | bool])
_CHANGES = TypeAdapter(dict[str, str | bool | int | float | None])


@router.get("")
def prediction(pipeline: Seen, day: date, key: Object, changes: Object = "{}") -> dict[str, Any]:
    """A prediction and what made it, and the score with other values. ``key`` and ``changes`` are JSON objects."""
    from contrail.operations.one_prediction import one_prediction

    asked, other = _object("key", key, _KEY), _object("changes", changes, _CHANGES)
    found = one_prediction(lake_of(pipeline), pipeline, day, asked, other)
    return {**found.as_dict(), "same": found.receipt.same, "verdict": found.receipt.verdict}


@router.get("/why")
def why(pipeline: Seen, day: date, key: Object) -> dict[str, Any]:
    """Every score that was published for a row, and its source rows with file and line. ``key`` is a JSON object."""
    from contrail.operations.why import why as find_why

    return find_why(lake_of(pipeline), pipeline, _object("key", key, _KEY), day).as_dict()


@router.get("/flips")
def flips(pipeline: Seen, day: date, key: Object) -> dict[str, Any]:
    """The smallest changes of one or two features that flip a decision. ``key`` is a JSON object."""
    from contrail.operations.what_if import flips_of

    return flips_of(lake_of(pipeline), pipeline, day, _object("key", key, _KEY)).as_dict()


@router.get("/find")
def find(pipeline: Seen, day: date, text: Annotated[str, Query(max_length=200)] = "") -> list[dict[str, Any]]:
    """Predictions of a day whose key has each word of a text."""
    from contrail.operations.one_prediction import find as read

    return [one.as_dict() for one in read(lake_of(pipeline), pipeline, day, text)]


def _object(name: str, text: str, kind: TypeAdapter[dict[str, Any]]) -> dict[str, Any]:
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise HTTPException(422, f'{name} must be a JSON object of names and values, as {{"a": 1}}.') from error
