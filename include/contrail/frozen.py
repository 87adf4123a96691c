"""The base of every model that crosses a module's border.

Only what all of them share belongs here.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A model that cannot be changed once it is made, and refuses a key that it does not know.

    Example:
        >>> class Split(Frozen):
        ...     days: int
        >>> Split(days=7).model_copy(update={"days": 8})
        Split(days=8)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
