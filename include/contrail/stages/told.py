"""Tell the start and the end of a run to who follows lineage. What is told belongs to ``lineage_events``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from contrail.adapters.open_lineage import emit
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions
from contrail.stages.results import StageResult

State = Literal["START", "COMPLETE", "FAIL", "ABORT"]


class Told:
    """One run. Set ``result`` before the block of ``told`` ends."""

    def __init__(self, run: StageRun[StageOptions]) -> None:
        self._run = run
        self._id = ""
        self.result: StageResult[Any] | None = None

    def tell(self, state: State, error: BaseException | None = None) -> None:
        """Send an event of this run. What hinders it becomes a line of progress, never an error."""
        try:
            from contrail.stages.lineage_events import event_of, new_id

            self._id = self._id or new_id()
            emit(event_of(self._run, self._id, state, self.result, error), self._run.settings, self._run.pipeline.name)
        except Exception as hindered:
            self._run.progress(f"this run is missing in the lineage: {type(hindered).__name__}: {hindered}")


@contextmanager
def told(run: StageRun[StageOptions]) -> Iterator[Told]:
    """Tell the start of a run, and its end: COMPLETE, FAIL or ABORT. A killed run has no end."""
    teller = Told(run)
    teller.tell("START")
    try:
        yield teller
    except Exception as error:
        teller.tell("FAIL", error)
        raise
    except BaseException as ended:
        teller.tell("ABORT", ended)
        raise
    teller.tell("COMPLETE")
