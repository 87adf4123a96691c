"""The trials of a study, one batch after the other, until there are enough of them or the time is over.

Trials of a batch run side by side. What the next batch tries depends on the trials before it and on nothing else. So a
study that was killed goes on with the same trials, and with one worker it is the same study every time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from statistics import fmean

from contrail.config.tune_spec import Value
from contrail.errors import SpecError
from contrail.methods.held_bins import HeldBins
from contrail.methods.metrics import HIGHER_IS_BETTER
from contrail.methods.paired_days import gain
from contrail.methods.search import Tried
from contrail.methods.study import TODAY, TrialRecord
from contrail.stages.tuning.base import Tuning
from contrail.stages.tuning.trial import Best, run_trial

# A trial without a value counts as worse than the worst, by this share of today's value at least.
_WORSE = 0.1


def best_of(metric: str, trials: Sequence[TrialRecord]) -> Best | None:
    """The best whole trial; of equals the first. None without one."""
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    whole = [one for one in trials if one.whole]
    best = min(whole, key=lambda one: (sign * one.value, one.number), default=None)
    return Best(best.number, best.value, best.values) if best else None


def tried(tuning: Tuning, trials: Sequence[TrialRecord]) -> list[Tried]:
    """The trials as the search reads them.

    One that was given up counts with today's value and its difference on its folds. One that failed is worse than them all.
    """
    today = next(one for one in trials if one.number == TODAY)
    sign = 1 if tuning.plan.metric in HIGHER_IS_BETTER else -1
    values = {}
    for one in trials:
        if not one.failed:
            better = gain(tuning.plan.metric, one.values, today.values, 0.95).estimate
            values[one.number] = one.value if one.whole else today.value + sign * better
    low, high = min(values.values()), max(values.values())
    beyond = max(high - low, _WORSE * abs(today.value))
    failed = low - beyond if sign > 0 else high + beyond
    return [
        Tried(tuning.plan.train.params if one.number == TODAY else one.params, values.get(one.number, failed))
        for one in trials
    ]


def run_trials(tuning: Tuning, known: Sequence[TrialRecord], keep: Callable[[TrialRecord], None]) -> bool:
    """Run the trials that are missing.

    Args:
        tuning: The search.
        known: The trials that are finished already.
        keep: Is called with each finished trial, at once.

    Returns:
        Whether the study has all its trials. It lacks some when the time is over, but never trial 0.

    Raises:
        SpecError: when the trees of today's parameters diverge, so that no trial can be compared with them.
    """
    wanted = tuning.plan.tune.trials
    finished = {one.number: one for one in known}
    taken = [one.cost.seconds for one in known]
    trainers = [tuning.trainer() for _ in range(tuning.workers)]
    try:
        for batch in _batches(wanted, tuning.workers):
            missing = [number for number in batch if number not in finished]
            if not missing:
                continue
            if batch[0] != TODAY and _is_over(tuning, taken):
                return False
            before = [finished[number] for number in sorted(finished) if number < batch[0]]
            for one in _run_batch(tuning, trainers, batch, missing, before):
                if one.number == TODAY and one.failed:
                    raise SpecError(f"today's parameters: {one.failed}. Lower eta in train.params of pipeline.yaml.")
                keep(one)
                finished[one.number] = one
                taken.append(one.cost.seconds)
                _tell(tuning, [finished[number] for number in sorted(finished)], one, taken)
        return True
    finally:
        for trainer in trainers:
            trainer.close()


def _batches(wanted: int, workers: int) -> Iterator[range]:
    """Today's parameters alone, then as many trials as there are workers."""
    yield range(1)
    for first in range(1, wanted, workers):
        yield range(first, min(first + workers, wanted))


def _is_over(tuning: Tuning, taken: Sequence[float]) -> bool:
    """Whether the next batch would end after the time that the search may take, its reading of the rows included."""
    most = tuning.plan.tune.budget_seconds
    if most is None:
        return False
    spent = time.monotonic() - tuning.run.started
    if spent + (fmean(taken) if taken else 0.0) <= most:
        return False
    tuning.run.progress(f"the next trial would end after the {most:g} seconds that the search may take")
    return True


def _run_batch(
    tuning: Tuning, trainers: Sequence[HeldBins], batch: range, missing: Sequence[int], before: Sequence[TrialRecord]
) -> Iterator[TrialRecord]:
    asked = _asked(tuning, batch, before)
    best = best_of(tuning.plan.metric, before)
    with ThreadPoolExecutor(len(missing)) as threads:
        try:
            running = [
                threads.submit(run_trial, tuning, trainer, number, asked[number], best)
                for trainer, number in zip(trainers, missing, strict=False)
            ]
            for one in as_completed(running):
                yield one.result()
        except BaseException:
            tuning.stop.set()  # else the other trials of the batch would go on to their end
            raise


def _asked(tuning: Tuning, batch: range, before: Sequence[TrialRecord]) -> dict[int, dict[str, Value]]:
    if batch[0] == TODAY:
        return {TODAY: {}}
    return dict(zip(batch, tuning.search.ask(tried(tuning, before), len(batch)), strict=True))


def _tell(tuning: Tuning, trials: Sequence[TrialRecord], new: TrialRecord, taken: Sequence[float]) -> None:
    """Say how a trial went, the best so far, and about how long the others take."""
    metric, wanted = tuning.plan.metric, tuning.plan.tune.trials
    best = best_of(metric, trials)
    assert best is not None
    if new.number == TODAY:
        how = f"today's parameters, {metric} {new.value:.5f}"
    elif new.whole:
        how = f"{metric} {new.value:.5f}"
    elif new.failed:
        how = f"failed: {new.failed}"
    else:
        how = f"given up after {len(new.folds)} of {len(tuning.folds)} folds, worse than trial {new.worse_than}"
    left = (wanted - len(trials)) * fmean(taken) / tuning.workers
    tuning.run.progress(
        f"{len(trials)} of {wanted} done. Trial {new.number}, {how}, {new.cost.seconds:.1f} s. The best is {best.value:.5f}, "
        f"trial {best.number}. {f'About {left:.0f} s are left.' if left else 'That was the last.'}"
    )
