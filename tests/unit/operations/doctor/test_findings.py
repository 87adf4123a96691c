"""A check may raise or hang: it has failed, the others are told, and nobody sees a traceback."""

import threading
from collections.abc import Callable

import pytest
from google.api_core.exceptions import ServiceUnavailable

from contrail.errors import EngineError, SpecError
from contrail.operations.doctor.findings import (
    Check,
    FaultError,
    Finding,
    NotCheckedError,
    _unanswered,
    examine,
    exit_code,
)


def raising(error: BaseException) -> Callable[[], str]:
    def run() -> str:
        raise error

    return run


def found(run: Callable[[], str], seconds: float = 20) -> Finding:
    (finding,) = examine([Check("one", run)], seconds)
    return finding


def test_what_is_right_is_said() -> None:
    assert found(lambda: "all of it") == Finding(check="one", state="ok", said="all of it")


@pytest.mark.parametrize(
    ("error", "state", "said", "commands", "again"),
    [
        (FaultError("no bucket", "make it", "use it"), "failed", "no bucket", ("make it", "use it"), False),
        (FaultError("asleep", again=True), "failed", "asleep", (), True),
        (NotCheckedError("not here", "go there"), "not checked", "not here", ("go there",), False),
        (SpecError("a wrong key"), "failed", "a wrong key", (), False),
        (EngineError("no answer"), "failed", "no answer", (), True),
        (ServiceUnavailable("later"), "failed", "a service did not answer properly: 503 later", (), True),
    ],
)
def test_an_error_is_a_finding(error: Exception, state: str, said: str, commands: tuple[str, ...], again: bool) -> None:
    assert found(raising(error)).as_dict() == {
        "check": "one", "state": state, "said": said, "commands": list(commands), "again": again,
    }  # fmt: skip


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("by 0"), SystemExit(3)])
def test_an_error_that_nobody_expected_is_a_failure(error: BaseException) -> None:
    finding = found(raising(error))
    assert (finding.state, finding.again) == ("failed", False)
    assert f"the check itself failed: {type(error).__name__}: {error}" in finding.said


def test_a_check_that_hangs_fails_and_the_others_are_told_in_their_order() -> None:
    never = threading.Event()
    checks = [Check("a", lambda: "a"), Check("hangs", lambda: str(never.wait())), Check("b", lambda: "b")]
    findings = examine(checks, 1)
    assert [(one.check, one.state) for one in findings] == [("a", "ok"), ("hangs", "failed"), ("b", "ok")]
    assert (findings[1].said, findings[1].again) == ("no answer within 1 s", True)
    assert findings[1].commands == ("contrail doctor --seconds 4",)
    never.set()


@pytest.mark.parametrize(("seconds", "more"), [(1, 4), (150, 600), (151, 600), (600, 0)])
def test_the_command_with_more_time_keeps_to_the_most(seconds: int, more: int) -> None:
    finding = _unanswered(Check("slow", str), seconds)
    assert finding.commands == ((f"contrail doctor --seconds {more}",) if more else ())


def test_checks_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=20)
    findings = examine([Check(name, lambda: str(both.wait())) for name in "ab"], 30)
    assert {one.state for one in findings} == {"ok"}


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((("ok", False), ("not checked", False)), 0),
        ((("ok", False), ("failed", True)), 75),
        ((("failed", False), ("failed", True)), 2),
    ],
)
def test_the_exit_status_says_whether_the_same_may_pass_later(states: tuple[tuple[str, bool], ...], code: int) -> None:
    findings = [Finding(check="x", state=state, said="", again=again) for state, again in states]  # type: ignore[arg-type]
    assert exit_code(findings) == code


def test_a_longer_time_is_no_longer_than_the_command_takes() -> None:
    never = threading.Event()
    (finding,) = examine([Check("hangs", lambda: str(never.wait()))], 0)
    assert finding.state == "failed"
    never.set()
