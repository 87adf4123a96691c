"""Regular expressions that Python and DuckDB's RE2 read alike, in the printable ASCII that they are applied to."""

import math
import re

_MOST_REPEATS = 1000  # RE2 refuses a pattern with more

_IN_CLASS = r"""[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _./:@,;=<>#%"'!+*?(){}$]|\\[dw.\-\]\[\\/+*?(){}|^$]"""
_ALIKE = re.compile(
    rf"""(?:[A-Za-z0-9 _\-:/@,;=<>#%&~"'!]|\\[.\-+*?()\[\]{{}}|^$/\\]|\\[dwDW]|\."""
    rf"""|\[\^?-?(?:{_IN_CLASS})+-?\]|\((?!\?)|\(\?:|\)|\||[*+?]|\{{\d{{1,3}}(?:,\d{{0,3}})?\}}|\^|\$)*"""
)
_POSSESSIVE = re.compile(r"[*+?}]\+")


def means_same(pattern: object) -> bool:
    """Whether Python and RE2 find a pattern in the same texts of printable ASCII, for certain."""
    if not isinstance(pattern, str) or not _ALIKE.fullmatch(pattern) or _POSSESSIVE.search(pattern):
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    repeats = [max(int(found or 0) for found in each) for each in re.findall(r"\{(\d+)(?:,(\d*))?\}", pattern)]
    return math.prod(max(each, 1) for each in repeats) <= _MOST_REPEATS
