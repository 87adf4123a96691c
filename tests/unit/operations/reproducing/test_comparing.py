"""What a training recorded beside what is here: each difference is named, and only it."""

import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contrail.config.processors import processor
from contrail.methods.model_package import TrainingRecord
from contrail.operations.reproducing.comparing import Kept, compare
from contrail.operations.reproducing.refit import Facts
from contrail.operations.reproducing.results import Compared
from contrail.operations.reproducing.workplace import Code

OLD, NEW = "a" * 40, "b" * 40
LOCK = """numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.1 ; python_full_version >= '3.12' \\
    --hash=sha256:00
pandas==2.3.3 \\
    --hash=sha256:00
xgboost==3.2.0 \\
    --hash=sha256:00
"""
RECORD = TrainingRecord(
    start=date(2024, 1, 1), end=date(2024, 2, 9), labels_as_of=date(2024, 2, 10), embargo_days=1, rows=9, feature_snapshot=1,
    snapshots={}, training_set_md5="0" * 32, rounds=3, device="cpu", params={"eta": 0.2, "nthread": 1},
    options={"rounds": 40}, code_revision=OLD, lock_hash="1" * 64, pipeline_hash="2" * 64, xgboost_version="3.2.0",
    code_hash="3" * 64, processor=processor(), threads=1,
)  # fmt: skip
KEPT = Kept(RECORD, LOCK, {"xgboost": "3.2.0", "python": "3.11"}, None)
CODE = Code(Path("there"), OLD, True, Path("there"))
FACTS = Facts(
    package="there", code_hash="3" * 64, pipeline_hash="2" * 64, python="3.11.7",
    installed={"numpy": "2.4.6", "pandas": "2.3.3", "xgboost": "3.2.0"}, loaded=("numpy", "xgboost"),
    params={"eta": 0.2, "nthread": 8}, options={"rounds": 40},
)  # fmt: skip


def recorded(**changed: Any) -> Kept:
    return replace(KEPT, record=RECORD.model_copy(update=changed))


def others(kept: Kept = KEPT, code: Code = CODE, facts: Facts = FACTS) -> list[Compared]:
    return [one for one in compare(kept, code, facts) if one.state != "same"]


def test_nothing_differs_where_all_is_as_it_was() -> None:
    assert others() == []
    assert [one.what for one in compare(KEPT, CODE, FACTS)] == [
        "data", "code", "pipeline's files", "parameters", "threads", "lock", "libraries", "hardware",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "state", "said", "found"),
    [
        ("data", "differs", "its MD5 is", lambda: others(replace(KEPT, data="it is damaged: its MD5 is 1"))),
        ("code", "differs", "git fetch --unshallow",
         lambda: others(code=replace(CODE, revision=NEW, kept=False), facts=replace(FACTS, code_hash="4" * 64))),
        ("code", "differs", "git fetch --unshallow",
         lambda: others(recorded(code_hash=""), replace(CODE, revision=NEW, kept=False))),
        ("code", "differs", "nobody committed", lambda: others(recorded(code_hash="5" * 64, code_revision=f"{OLD}+dirty"))),
        ("code", "unknown", "nobody committed", lambda: others(recorded(code_hash="", code_revision=f"{OLD}+dirty"))),
        ("pipeline's files", "differs", "pipeline.yaml", lambda: others(recorded(pipeline_hash="6" * 64))),
        ("parameters", "differs", "eta was 0.3, the pipeline's file says 0.2",
         lambda: others(recorded(params={"eta": 0.3, "nthread": 1}))),
        ("parameters", "differs", "rounds was 50, the pipeline's file says 40", lambda: others(recorded(options={"rounds": 50}))),
        ("parameters", "differs", "eta was not set, ", lambda: others(recorded(params={"nthread": 1}))),
        ("lock", "unknown", "neither here nor in its git revision", lambda: others(replace(KEPT, lock=None))),
        ("libraries", "differs", "xgboost was 3.1.0, here it is 3.2.0",
         lambda: others(replace(KEPT, libraries={"xgboost": "3.1.0"}))),
        ("libraries", "differs", "numpy was 2.4.6, here it is 2.4.1",
         lambda: others(facts=replace(FACTS, installed={**FACTS.installed, "numpy": "2.4.1"}))),
        ("libraries", "differs", "python was 3.11, here it is 3.12",
         lambda: others(facts=replace(FACTS, python="3.12.1", installed={**FACTS.installed, "numpy": "2.5.1"}))),
        ("hardware", "differs", "another processor", lambda: others(recorded(processor="Z80"))),
        ("hardware", "unknown", "", lambda: others(recorded(processor=""))),
        ("hardware", "differs", "executors of Spark", lambda: others(recorded(workers=4))),
    ],
)  # fmt: skip
def test_each_difference_is_named_alone(what: str, state: str, said: str, found: Callable[[], list[Compared]]) -> None:
    (one,) = found()
    assert (one.what, one.state) == (what, state)
    assert said in one.says


def test_a_limit_on_threads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "2")
    (one,) = others(recorded(threads=4))
    assert (one.what, one.state, one.recorded, one.here) == ("threads", "differs", "4", "2")


def test_older_records_have_the_threads_that_they_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "2")
    (one,) = others(recorded(threads=0, params={"eta": 0.2, "nthread": 3}))
    assert (one.what, one.recorded, one.here) == ("threads", "3", "2")


def test_a_library_that_the_fit_does_not_load_is_told_and_is_no_difference() -> None:
    facts = replace(FACTS, installed={**FACTS.installed, "pandas": "2.2.0"})
    (one,) = [one for one in compare(KEPT, CODE, facts) if one.what == "libraries"]
    assert (one.state, one.says) == ("same", "1 other that the fit does not load differs too")


def test_a_gpu_that_is_not_here_prevents_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrail.operations.reproducing.comparing.gpu_memory", lambda: 0)
    (one,) = others(recorded(device="cuda"))
    assert one.prevents
    assert (one.what, one.recorded) == ("hardware", "GPU")
    monkeypatch.setattr("contrail.operations.reproducing.comparing.gpu_memory", lambda: 1 << 34)
    assert others(recorded(device="cuda")) == []


def test_the_processor_has_an_instruction_set() -> None:
    assert processor().startswith(platform.machine())
