"""What is fuzzed: examples by Hypothesis, and a function that raises for an example that Contrail takes wrongly."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hypothesis import strategies as st

_PATIENCE = 20


class WrongError(AssertionError):
    """Contrail did what it must never do."""


@dataclass(frozen=True)
class Target:
    """Something that takes what people or feeds bring.

    Attributes:
        name: Names it in reports.
        examples: What is brought.
        check: Raises for an example that is taken wrongly.
        seconds: So long one example may take.
        short: How many examples the test suite tries.
    """

    name: str
    examples: st.SearchStrategy[Any]
    check: Callable[[Any], None]
    seconds: int = 20
    short: int = 40

    def tried(self, example: Any) -> None:
        """Check an example, within its time."""
        with within(self.seconds):
            self.check(example)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise after so long of a processor, or after a long wait. A busy machine is no fault of an example."""

    def stop(_: int, __: FrameType | None) -> None:
        raise WrongError(f"it took longer than {seconds} s of a processor, or waited for {_PATIENCE} times as long")

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(seconds * _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


# Texts that mean something to a terminal, a shell, a template, a path, SQL, YAML, HTML, Python or a spreadsheet.
HOSTILE = (
    "", " ", "\0", "\n", "\r\n", "\t", ".", "..", "../../etc", "-", "--", "-1", "0", "1e999", "nan", "inf", "None",
    "null", "true",
    "é", "\u202e", "\u200b", "\ud7ff", "\U0001f468\u200d\U0001f469", "\x1b[2J", "[/x]", "[red]", "%s", "{x}", "{{ 7*7 }}", "${x}",
    "$(id)", "`id`", "'", '"', "a'b", 'a"b', ";", "a;b", "--x", "/*", "*/", "<script>x</script>", "</style>", "&amp;", "]]>",
    "=cmd|' /C calc'!A0", "!!python/object/apply:os.system [id]", "&a [*a]", "*a", "? x", "2024-02-30", "0001-01-01",
    "99999999999999999999", "x" * 300, "SELECT", "order", "_line", "partition_date", "__class__", "İ", "ß", "ﬁ", "١٢",
)  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers() | st.integers(-3, 3) | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e-320])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS | st.dates()
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
