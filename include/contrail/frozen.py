"""The bases of every model that crosses a module's border.

Only what all of them share belongs here.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Frozen(BaseModel):
    """A model that cannot be changed once it is made, and refuses a key that it does not know.

    Example:
        >>> class Split(Frozen):
        ...     days: int
        >>> Split(days=7).model_copy(update={"days": 8})
        Split(days=8)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_dict(self) -> dict[str, Any]:
        """The model as plain JSON values, with keys in the order of the fields."""
        return self.model_dump(mode="json")


class Sparse(Frozen):
    """A model whose JSON leaves out every field that was never set.

    Example:
        >>> class Shift(Sparse):
        ...     mean: float | None = None
        ...     median: float | None = None
        >>> Shift(mean=None).as_dict()
        {'mean': None}
    """

    @model_serializer(mode="wrap")
    def _what_was_set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}
