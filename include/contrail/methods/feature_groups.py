"""Groups of features that an engine computes together, and builds that leave some of them out, to see what they cost.

What describes a key is computed together (``grains``): a window of three columns costs about as much as one. So seconds
belong to a group and not to a feature. Which column of a pipeline comes from which group is seen by leaving groups out.
Timing builds does not belong here.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Group(NamedTuple):
    """Columns that describe one key and are computed together: ``by`` is the key, () for the whole day."""

    by: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key, as people read it."""
        return ", ".join(self.by) or "the whole day"


class Watched:
    """What ``describe`` was asked for since, and what it leaves out."""

    def __init__(self, left_out: Collection[Group]) -> None:
        self.groups: list[Group] = []
        self._left_out = frozenset(left_out)

    def leaves_out(self, group: Group) -> bool:
        """Note a group, and say whether it is left out."""
        if group not in self.groups:
            self.groups.append(group)
        return group in self._left_out


_WATCHED: ContextVar[Watched | None] = ContextVar("watched", default=None)


@contextmanager
def watched(left_out: Collection[Group] = ()) -> Iterator[Watched]:
    """Watch what ``describe`` adds in this context. The columns of ``left_out`` are null there, and cost nothing."""
    watcher = Watched(left_out)
    token = _WATCHED.set(watcher)
    try:
        yield watcher
    finally:
        _WATCHED.reset(token)


def watcher() -> Watched | None:
    """Who watches now, if anybody does."""
    return _WATCHED.get()
