"""Run every benchmark, or those that are named, print the tables, and write them into RESULTS.md."""

import re
import subprocess
import sys
from datetime import date
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import PROJECT, machine, prepare

ALL = (
    "validation", "landing", "features", "publishing", "scoring", "scored", "training_size", "memory", "gpu", "daily_cost",
    "metadata_cost", "airflow_overhead", "model_quality", "tuning", "december", "choices", "policies", "inspected",
    "drift_calibration", "early_quality", "daily_verdicts", "receipts", "quarter",
)  # fmt: skip
RESULTS = PROJECT / "benchmarks" / "RESULTS.md"


def main() -> None:
    """Measure and write. Sections that are not measured now stay as they were, with their own day and machine."""
    prepare()
    for name in sys.argv[1:] or ALL:
        print(f"\n== {name}", flush=True)
        section = import_module(f"benchmarks.{name}").measure()
        print("\n" + (section or "Not measured: there is no GPU on this machine."), flush=True)
        if section:
            stamp = (
                f"*`.venv/bin/python benchmarks/run.py {name}`, {date.today()}, revision {_revision()}. {machine()}.*"
            )
            write(RESULTS, name, f"{section.rstrip()}\n\n{stamp}\n")


def write(results: Path, name: str, section: str) -> None:
    """Put a section into the results, in its place among the others."""
    head, *parts = re.split(r"<!-- (\w+) -->\n\n", results.read_text())
    sections = {**dict(zip(parts[::2], parts[1::2], strict=True)), name: section}
    kept = [f"<!-- {each} -->\n\n{sections[each].rstrip()}\n" for each in ALL if each in sections]
    results.write_text("\n".join([head.rstrip() + "\n", *kept]))


def _revision() -> str:
    command = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
