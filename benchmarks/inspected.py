"""What each feature of flights brings and costs, which could go, and what that costs: `contrail inspect-features` in a table."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import PIPELINE, contrail

_USEFUL = 8


def measure() -> str:
    """Inspect the champion of the benchmarks' home anew."""
    return section(contrail("inspect-features", "-p", PIPELINE, "--again"))


def section(found: dict[str, Any]) -> str:
    """The tables of an inspection, as JSON has it."""
    features = sorted(found["features"], key=lambda one: -one["shuffled"]["estimate"])
    useful = [one for one in features if one["verdict"] == "keep"][:_USEFUL]
    others = [one for one in features if one["verdict"] != "keep"]
    lines = [
        "## What features bring and cost",
        "",
        "| feature | shuffled | trees without it | SHAP | group, s | verdict |",
        "|---" * 6 + "|",
    ]
    lines += [_row(one) for one in (*useful, *others)]
    margin = f"{found['margin']:.2g}"
    together = "none may go" if found["together"] is None else f"{_interval(found['together'])}"
    costs = found["costs"]
    alike = [one for one in found["tried"] if one["why"] in ("covered", "cluster")]
    lines += [
        "",
        f"Log loss added, with its 95 % interval over {found['days']} days and over seeds, on {found['rows']:,} flights of "
        f"{found['partitions']}, which the model has not seen. Its own log loss is {found['loss']:.4f}; predicting the mean has "
        f"{found['loss_of_mean']:.4f}. {len(features) - len(useful) - len(others)} more features are kept.",
        "",
        f"**Which to drop**: {', '.join(found['drop']) or 'none'}. Without all of them: {together}. What may go may add "
        f"{margin}. It saves {found['saved_seconds']:.2f} of {costs['whole_seconds']:.2f} processor seconds of a day's build "
        f"({costs['none_seconds']:.2f} without any group).",
        "",
        "| trees without features that say nearly the same | added |",
        "|---|---|",
        *(f"| {', '.join(one['without'])} | {_interval(one['added'])} |" for one in alike),
        "",
        f"{found['refits']} trees grew, in {found['refit_seconds']:,.0f} processor seconds. Between seeds an added loss "
        f"differs by {found['seed_noise']:.2g} (standard deviation).",
    ]
    return "\n".join(lines)


def _row(one: dict[str, Any]) -> str:
    without = "–" if one["without"] is None else _interval(one["without"])
    cells = (
        one["name"],
        _interval(one["shuffled"]),
        without,
        f"{one['size']:.3f}",
        f"{one['seconds']:.2f}",
        one["verdict"],
    )
    return f"| {' | '.join(cells)} |"


def _interval(found: dict[str, float]) -> str:
    return f"{found['estimate']:+.5f} ({found['low']:+.5f} to {found['high']:+.5f})"


if __name__ == "__main__":  # the JSON of an inspection as the section
    print(section(json.loads(Path(sys.argv[1]).read_text())))
