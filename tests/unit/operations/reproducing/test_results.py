"""Which difference counts as the cause."""

import pytest

from contrail.operations.reproducing.results import DIFFERS, SAME, UNKNOWN, Compared, State, cause_of, failed_fit


def one(what: str, state: State, prevents: bool = False) -> Compared:
    return Compared(what=what, recorded="", here="", state=state, prevents=prevents)


@pytest.mark.parametrize(
    ("compared", "cause"),
    [
        ([one("data", SAME), one("code", SAME)], None),
        ([one("data", SAME), one("code", DIFFERS), one("libraries", DIFFERS)], "code"),
        ([one("code", UNKNOWN), one("libraries", DIFFERS)], "libraries"),
        ([one("code", UNKNOWN), one("hardware", UNKNOWN)], "code"),
        ([one("parameters", DIFFERS), one("hardware", DIFFERS, prevents=True)], "hardware"),
        ([one("code", DIFFERS), failed_fit("no such name")], "code"),
        ([one("code", UNKNOWN), failed_fit("no such name")], "fit"),
    ],
)
def test_the_cause_is_what_prevents_a_fit_then_the_first_that_differs(
    compared: list[Compared], cause: str | None
) -> None:
    found = cause_of(compared)
    assert (found and found.what) == cause
