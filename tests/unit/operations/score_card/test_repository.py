"""What counts as a test that CI collects and runs, and what does not."""

from pathlib import Path

import pytest

from contrail.operations.score_card.repository import Repository

CI = "on:\n  pull_request:\n  push:\njobs:\n  check:\n    steps:\n      - run: bash .ci/run\n      - run: make bench\n"
FILE = "tests/unit/test_one.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        ".github/workflows/ci.yaml": CI,
        ".ci/run": "set -e\n# make docs\nmake --jobs=2 check check-infra\n  make FAST=1 test && echo made\n",
        "Makefile": "check: x\n\t@contrail check --thorough\n\ntest:\n\t@pytest\n",
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
        FILE: "def test_it():\n    pass\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_ci_makes_what_its_steps_and_its_script_make(root: Path) -> None:
    assert Repository(root).made_by_ci == {"bench", "check", "check-infra", "test"}
    assert Repository(root).ci_makes("check", "whole", "says", "contrail check").holds
    assert not Repository(root).ci_makes("check", "whole", "says", "contrail check-leaks").holds
    (root / ".github/workflows/ci.yaml").write_text(CI.replace("  push:\n", ""))
    assert not Repository(root).made_by_ci


@pytest.mark.parametrize(
    "text",
    [
        "def helper():\n    pass\n",
        "import pytest\n\n@pytest.mark.skip\ndef test_it():\n    pass\n",
        "import pytest\npytestmark = pytest.mark.production\n\ndef test_it():\n    pass\n",
        "import pytest\npytestmark = [pytest.mark.slow, pytest.mark.skip]\n\ndef test_it():\n    pass\n",
        "def test_it(:\n",
    ],
)
def test_what_is_skipped_or_broken_is_no_test(root: Path, text: str) -> None:
    assert Repository(root).test(FILE, "half", "says").holds
    (root / FILE).write_text(text)
    found = Repository(root).test(FILE, "half", "says")
    assert (found.holds, found.says) == (False, f"{FILE} has no tests")


def test_a_test_must_lie_where_pytest_looks_have_its_name_and_be_run(root: Path) -> None:
    (root / "other").mkdir()
    (root / "other" / "test_one.py").write_text("def test_it():\n    pass\n")
    assert not Repository(root).test("other/test_one.py", "half", "says").holds
    assert not Repository(root).test(FILE, "half", "says", "test_another").holds
    (root / ".ci/run").write_text("make check\n")
    assert Repository(root).test(FILE, "half", "says").says == "CI does not make test for each change"


def test_without_a_repository_nothing_is_shown(tmp_path: Path) -> None:
    empty = Repository(tmp_path)
    assert not empty.made_by_ci
    assert not empty.tests_in(FILE)
    assert not empty.is_committed(tmp_path)
    assert empty.committed_at("x") == ""
