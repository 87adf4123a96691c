"""Run every benchmark, or those that are named, print the tables, and write them into RESULTS.md."""

import subprocess
import sys
from datetime import date
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import HOME, PROJECT, RUNS, machine, prepare

ALL = (
    "features", "scoring", "training_size", "daily_cost", "airflow_overhead", "model_quality", "drift_calibration", "quarter",
)  # fmt: skip
KEPT = HOME / "sections"


def main() -> None:
    """Measure and write. Sections that are not measured now stay as they were, with their own day."""
    prepare()
    KEPT.mkdir(exist_ok=True)
    for name in sys.argv[1:] or ALL:
        print(f"\n== {name}", flush=True)
        section = import_module(f"benchmarks.{name}").measure()
        print("\n" + section, flush=True)
        (KEPT / f"{name}.md").write_text(
            section.rstrip() + f"\n\n*`make bench`, {date.today()}, revision {_revision()}*\n"
        )
    kept = [path.read_text() for name in ALL if (path := KEPT / f"{name}.md").exists()]
    head = f"# Results\n\n{machine()}. Medians of {RUNS} runs unless a section says otherwise.\n\n"
    (PROJECT / "benchmarks" / "RESULTS.md").write_text(head + "\n".join(kept))


def _revision() -> str:
    command = ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
