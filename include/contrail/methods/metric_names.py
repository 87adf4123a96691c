"""Names of metrics that hold values of the data: safe in MLflow, and different for different values.

MLflow allows letters, digits, ``_-. :/`` and 250 characters, and reads ``/`` and ``.`` as parts of a path. So each other
character of a value becomes its bytes, as ``:26`` for ``&``. What a metric measures does not belong here.
"""

import hashlib
import re

_NOT_SAFE = re.compile(r"[^\w\- .]|^[ .]|[ .]$")
# With the longest name of a feature and of a metric, a name then has 230 characters.
_LONGEST, _KEPT, _DIGITS = 100, 80, 16


def safe_part(text: str) -> str:
    """Escape one part of a metric's name, so that two texts never give the same name.

    A long text keeps its beginning and ends with ``::`` and a digest of it all. An empty one becomes ``:``.

    Example:
        >>> safe_part("EWR"), safe_part("A/B"), safe_part("."), safe_part("")
        ('EWR', 'A:2fB', ':2e', ':')
    """
    escaped = _NOT_SAFE.sub(lambda found: "".join(f":{byte:02x}" for byte in found[0].encode()), text) or ":"
    if len(escaped) <= _LONGEST:
        return escaped
    return f"{escaped[:_KEPT]}::{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
