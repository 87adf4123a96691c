"""Run every benchmark, print the tables, and write RESULTS.md. Name some to run only those."""

import sys
from datetime import date
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness import PROJECT, RUNS, machine, prepare

ALL = ("features", "scoring", "daily_cost", "airflow_overhead", "model_quality", "quarter")


def main() -> None:
    """Measure and write."""
    wanted = sys.argv[1:] or list(ALL)
    prepare()
    sections = []
    for name in wanted:
        print(f"\n== {name}", flush=True)
        section = import_module(f"benchmarks.{name}").measure()
        print("\n" + section, flush=True)
        sections.append(section)
    if wanted == list(ALL):
        head = f"# Results\n\n{date.today()}, {machine()}. Medians of {RUNS} runs. Made by `make bench`.\n\n"
        (PROJECT / "benchmarks" / "RESULTS.md").write_text(head + "\n".join(sections))


if __name__ == "__main__":
    main()
