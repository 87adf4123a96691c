"""The process that fits: its facts, and its end without an answer."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES

from contrail.errors import EngineError
from contrail.operations.reproducing import refit
from contrail.operations.reproducing.fitting import answers
from contrail.operations.reproducing.refit import Asked, Facts, known
from contrail.operations.reproducing.workplace import Code

CODE = Code(PROJECT, "", False, TOY_PIPELINES)


def asked(folder: Path, **changed: object) -> Asked:
    values = {
        "pipeline_file": str(TOY_PIPELINES / "toy" / "pipeline.yaml"), "start": "2024-01-01", "end": "2024-02-09",
        "embargo_days": 1, "changed": {"eta": 0.5}, "params": {}, "options": {"rounds": 1, "of_tomorrow": 2}, "device": "cpu",
        "threads": 1, "memory_bytes": 1 << 30, "room": str(folder / "rows"), "model": str(folder / "model.ubj"),
    }  # fmt: skip
    return known(Asked, {**values, **changed, "a key of tomorrow": 1})


def test_the_facts_are_of_the_code_and_the_request_and_of_the_libraries_that_it_loads(tmp_path: Path) -> None:
    told: list[Facts] = []
    answer = answers(Path(sys.executable), CODE, asked(tmp_path), tmp_path, told.append)
    assert told == [answer.facts]
    assert (answer.made, answer.failed) == (None, "")
    assert Path(answer.facts.package) == PROJECT / "include" / "contrail"
    assert answer.facts.params["eta"] == 0.5
    assert answer.facts.options == {"rounds": 40}
    assert {"numpy", "pyarrow", "xgboost"} < set(answer.facts.loaded)
    assert not [name for name in answer.facts.loaded if name.startswith(("google-", "apache-airflow"))]


def test_of_a_library_that_is_there_twice_the_first_is_told_since_python_imports_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("own", "0.1"), ("systems", "0.2")):
        told = tmp_path / folder / f"xgboost-{version}.dist-info" / "METADATA"
        told.parent.mkdir(parents=True)
        told.write_text(f"Metadata-Version: 2.1\nName: xgboost\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "own"), str(tmp_path / "systems"), *sys.path])
    assert refit.installed()["xgboost"] == "0.1"


def test_code_that_cannot_answer_says_why(tmp_path: Path) -> None:
    answer = answers(Path(sys.executable), CODE, asked(tmp_path, pipeline_file="gone.yaml"), tmp_path, lambda _: None)
    assert answer.facts == Facts()
    assert "gone.yaml" in answer.failed


def test_a_process_that_ends_without_an_answer_is_told_with_its_last_lines(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho out of memory >&2\nexit 9\n")
    broken.chmod(0o755)
    with pytest.raises(EngineError, match=r"ended with 9, without a model(?s:.*)out of memory"):
        answers(broken, CODE, asked(tmp_path), tmp_path, lambda _: None)


def test_contrail_of_another_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "project" / "include").mkdir(parents=True)
    elsewhere = Code(tmp_path / "project", "", False, TOY_PIPELINES)
    with pytest.raises(EngineError, match="Python took the code of "):
        answers(Path(sys.executable), elsewhere, asked(tmp_path), tmp_path, lambda _: None)


def test_it_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    file = tmp_path / "asked.json"
    file.write_text(json.dumps(asdict(asked(tmp_path))))
    done = subprocess.run(
        [sys.executable, "-P", refit.__file__, str(file)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "include")},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
