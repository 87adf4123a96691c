"""JSON as a browser can read it."""

from typing import Any

from starlette.responses import JSONResponse

_ROUNDED = 2**53


class ExactJSON(JSONResponse):
    """An answer with each whole number as text that a browser would round: keys and ids of snapshots have up to 63 bits."""

    def render(self, content: Any) -> bytes:
        """Write the answer."""
        return super().render(exact(content))


def exact(value: Any) -> Any:
    """The same with whole numbers of 2^53 or more, or their negatives, as text.

    Example:
        >>> exact({"order": 2**53 + 1, "parcels": [7, 0.5, True]})
        {'order': '9007199254740993', 'parcels': [7, 0.5, True]}
    """
    if isinstance(value, dict):
        return {name: exact(one) for name, one in value.items()}
    if isinstance(value, list):
        return [exact(one) for one in value]
    return str(value) if isinstance(value, int) and abs(value) >= _ROUNDED else value
