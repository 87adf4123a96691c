"""The frame of the page: its one HTML file, who is logged in, and the pipelines that they may see."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from contrail.config.pipeline import parse_pipeline, pipeline_names
from contrail.errors import SpecError
from contrail.frozen import Frozen
from contrail_airflow.page.access import Person, may_see, may_start
from contrail_airflow.page.documentation import address

_INDEX = Path(__file__).parent / "static" / "index.html"
router = APIRouter()


class SeenPipeline(Frozen):
    """A pipeline as its name in a list. ``problem`` says why its spec cannot be read; empty when it can."""

    name: str
    title: str
    description: str
    may_backfill: bool
    may_replay: bool
    problem: str = ""


class Frame(Frozen):
    """What the page shows around every view. ``docs`` is the root of the documentation's site; empty without one."""

    user: str
    docs: str
    pipelines: tuple[SeenPipeline, ...]


@router.get("/", response_class=FileResponse)
def index(_: Person) -> FileResponse:
    """The page. Every view is an address of it."""
    return FileResponse(_INDEX)


@router.get("/api/frame")
def frame(person: Person) -> Frame:
    """Who is logged in, and what they may see."""
    seen = [name for name in pipeline_names() if may_see(person, name)]
    return Frame(user=person.get_name(), docs=address(), pipelines=tuple(_seen(person, name) for name in seen))


def _seen(person: Person, name: str) -> SeenPipeline:
    try:
        spec = parse_pipeline(name).spec
    except SpecError as error:  # one broken spec must not hide the others
        return SeenPipeline(
            name=name, title=name, description="", may_backfill=False, may_replay=False, problem=str(error)
        )
    return SeenPipeline(
        name=name,
        title=spec.title,
        description=spec.description,
        may_backfill=may_start(person, name, "backfill"),
        may_replay=may_start(person, name, "replay"),
    )
