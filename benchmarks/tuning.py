"""Whether a search for parameters makes the model better on days that it never saw: against today's, over seeds.

The search reads January to August alone. Its best trial and today's parameters are then trained on these months with the same
seeds, and predict October to December. A day counts once for both, so the interval over days is of their difference.
"""

import os
import statistics
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import contrail
from benchmarks.trainings import Year, load_year, trained_predictions

SEARCHED, FIRST, LAST = (date(2013, 1, 1), date(2013, 8, 31)), date(2013, 10, 1), date(2013, 12, 31)
SEEDS = range(3)
TRIALS = os.environ.get("CONTRAIL_BENCH_TRIALS", "30")

Floats = npt.NDArray[np.float64]


def measure() -> str:
    """The best trial on the folds of the search, and out of time. There is no ratio, because nothing is timed."""
    from contrail.methods.search import with_params

    days = ("--from", str(SEARCHED[0]), "--to", str(SEARCHED[1]))
    found = contrail("tune", "-p", "flight_delay", *days, "--trials", TRIALS, "--no-register")["details"]
    print(f"  trial {found['best']}: {found['params']}", flush=True)
    year = load_year()
    own = year.spec.train.params
    losses = {
        "today's parameters": _over_seeds(year, own),
        f"trial {found['best']}": _over_seeds(year, with_params(own, found["params"])),
    }
    return "\n".join([*_head(found, year), *_table(losses), *_verdict(year, *losses.values())])


def _test(year: Year) -> npt.NDArray[np.bool_]:
    return year.between(FIRST, LAST)


def _over_seeds(year: Year, params: dict[str, Any]) -> list[Floats]:
    """The loss of each row of the test days, for each seed."""
    from contrail.methods.metrics import log_losses

    found = []
    for seed in SEEDS:
        test = _test(year)
        predictions = trained_predictions(year, SEARCHED, test, {"seed": seed, "params": params})
        found.append(log_losses(year.labels[test], predictions))
        print(f"  seed {seed}: {found[-1].mean():.5f}", flush=True)
    return found


def _head(found: dict[str, Any], year: Year) -> list[str]:
    estimate, low, high = found["gain"]
    test = _test(year)
    random = year.spec.tune.random_trials
    learned = f"The first {random} are random" if found["trials"] > random else "All but the first are random"
    values = ", ".join(f"{name} {value:g}" for name, value in found["params"].items())
    return [
        "## A search for parameters",
        "",
        f"`contrail tune` with {found['trials']} trials on January to August 2013, {found['stopped']} of them given up early. "
        f"{learned}. On its four folds, today's parameters have a log loss of {found['today']:.5f} and trial {found['best']} one "
        f"of {found['value']:.5f}: better by {estimate:.5f} [{low:.5f}, {high:.5f}]. These are the days that chose it. Its "
        f"parameters: {values}.",
        "",
        f"Both trained on January to August; {year.days[test].min()} to {year.days[test].max()}, {int(test.sum()):,} flights:",
        "",
    ]


def _table(losses: dict[str, list[Floats]]) -> list[str]:
    seeds = " | ".join(f"seed {seed}" for seed in SEEDS)
    lines = [f"| log loss | {seeds} | mean |", "|---" * (len(SEEDS) + 2) + "|"]
    for name, own in losses.items():
        means = [float(one.mean()) for one in own]
        lines.append(f"| {name} | {' | '.join(f'{mean:.5f}' for mean in means)} | {statistics.mean(means):.5f} |")
    return [*lines, ""]


def _verdict(year: Year, today: list[Floats], tuned: list[Floats]) -> list[str]:
    """The paired difference over days, of the mean over seeds."""
    from contrail.methods.intervals import SAMPLES, day_weights, interval_of
    from contrail.methods.metrics import resampled_mean

    known, blocks = np.unique(year.days[_test(year)], return_inverse=True)
    better = np.mean(today, axis=0) - np.mean(tuned, axis=0)
    mean = resampled_mean("log_loss", np.bincount(blocks, better), np.bincount(blocks).astype(np.float64))
    gain = interval_of(mean(day_weights(len(known), SAMPLES)), 0.95)
    said = "better" if gain.low > 0 else "worse" if gain.high < 0 else "neither better nor worse beyond chance"
    return [
        f"The search's parameters are {said} on days that it never saw. Their log loss minus that of today's parameters, in the "
        f"mean of {len(SEEDS)} seeds: {-gain.estimate:+.5f}, 95% interval over days [{-gain.high:+.5f}, {-gain.low:+.5f}]. Less "
        "is better.",
        "",
    ]
