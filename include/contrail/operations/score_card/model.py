"""Model development: is the model reviewed, tuned, better than simpler ones, good for everyone, and as good as promised?"""

import json
import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from contrail.adapters.training_runs import runs_of
from contrail.config.names import listed, quoted
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import labelled_rows
from contrail.methods.metrics import HEADLINE
from contrail.operations.score_card.claims import Claim, Needed, RubricTest
from contrail.operations.score_card.state import RECENT_DAYS, State
from contrail.partitions import Partitions
from contrail.stages.refusals import counted

NAME = "Model development"
_OWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
_FEWEST_TRIALS = 3
_LEAST_DAYS = 14


def review(state: State) -> Iterator[Claim]:
    """The definition is in git as it is, the champion was made of it, and changes need a reviewer."""
    folder, name = state.pipeline.folder, state.spec.name
    committed = state.repository.is_committed(folder)
    yield state.ran(
        "half", committed,
        "git has the pipeline's folder as it is" if committed else "the pipeline's folder has changes that git has not",
        "commit the pipeline's folder", f"git log -- {folder.name}",
    )  # fmt: skip
    training = state.records.card.training
    same = training.pipeline_hash == state.pipeline.hash
    yield state.cited(
        "whole", same,
        f"version {state.version} was trained on this definition" if same
        else f"version {state.version} was trained on another definition than today's",
        f"contrail train -p {name}", f"version {state.version}, code {training.code_revision[:12]}",
        state.trained_at,
    )  # fmt: skip
    path, owners = next(
        ((path, found) for path in _OWNERS if (found := _reviewers(state.repository.text(path), name))), ("", "")
    )
    yield Claim(
        holds=bool(owners),
        says=f"{path} asks {owners} to review changes of the pipeline" if owners
        else "nothing in the repository asks for a reviewer of pipelines",
        needed="whole", how="cited", of="project", link=path,
        at=state.repository.committed_at(path) if path else "",
        remedy=f"name reviewers in {_OWNERS[0]}: a line /include/pipelines/ with the names of people or teams, each after an @",
    )  # fmt: skip


def _reviewers(text: str, pipeline: str) -> str:
    """Whom a file CODEOWNERS asks to review changes of a pipeline's folder. Its last line that fits decides."""
    folders = {"*", "**", "include", "pipelines", "include/pipelines", f"include/pipelines/{pipeline}"}
    found = ""
    for line in text.splitlines():
        pattern, *owners = line.partition("#")[0].split() or [""]
        if pattern.rstrip("*").strip("/") in folders or pattern in folders:
            found = " and ".join(one for one in owners if "@" in one)
    return found


def promised(state: State) -> Iterator[Claim]:
    """What decisions brought on each day follows the metric that the gate compares."""
    days, what = _gains(state)
    enough = len(days) >= _LEAST_DAYS
    together = _rank_correlation([one for one, _ in days], [other for _, other in days]) if enough else 0.0
    # Fisher's interval of 95 %.
    least = math.tanh(math.atanh(min(together, 1 - 1e-9)) - 1.96 / math.sqrt(len(days) - 3)) if enough else 0.0
    says = (
        f"rank correlation of {what} with the gate's metric over {len(days)} days: {together:.2f}, at least {least:.2f}"
    )
    yield state.ran(
        "half", least > 0,
        says if enough else f"outcomes of {len(days)} days are known; {_LEAST_DAYS} are needed",
        f"{state.to_measure}, and again once outcomes of more days have arrived" if not enough
        else "gate on a metric that decisions gain from",
        f"performance, predictions up to {state.newest_mature}",
    )  # fmt: skip
    row = state.governed
    compared = json.loads(row["evidence"]).get("reference") is not None and row["model_version"] == state.version
    yield state.cited(
        "whole", compared,
        "the governor compares the quality of each day with that of the gate" if compared
        else f"the governor's decision of {row[PARTITION]} knows nothing of the gate of version {state.version}",
        f"contrail govern -p {state.spec.name} --on {state.newest}", f"governor, run {row['run_id']}",
        row["decided_at"].isoformat(),
    )  # fmt: skip


def _gains(state: State) -> tuple[list[tuple[float, float]], str]:
    """By day: how much better than the baseline, and what the decisions were worth or how near the numbers were."""
    spec, metric = state.spec, HEADLINE[state.spec.task]
    offline = {
        row[PARTITION]: row[f"baseline_{metric}"] - row[metric]
        for row in state.performance[-RECENT_DAYS * 3 :]
        if row[metric] is not None and row[f"baseline_{metric}"] is not None
    }
    if not offline:
        return [], "the worth of decisions"
    window, keys = Partitions(min(offline), max(offline)), listed((PARTITION, *spec.key))
    if spec.task == "binary":
        # A false alarm costs so many misses: net benefit, Vickers and Elkin 2006.
        odds = _odds(state)
        worth, what = f"CASE WHEN decision THEN label - (1 - label) * {odds} ELSE 0 END", "the net benefit of decisions"
    else:
        worth, what = f"-abs(label - {quoted(spec.prediction_column)})", "how near predictions are"
    with labelled_rows(state.lake, spec, window) as labelled:
        state.lake.view(labelled.connection, "predictions", "predictions", window)
        rows = labelled.connection.sql(
            f"SELECT {PARTITION}, avg({worth}) FROM labelled JOIN predictions USING ({keys}) GROUP BY ALL"
        ).fetchall()
    return [(offline[day], value) for day, value in rows if day in offline and value is not None], what


def _odds(state: State) -> float:
    """How many misses a false alarm costs: by today's costs or those of the model's training, else as the threshold says."""
    score, decided = state.spec.score, state.records.card.decision
    costs = score.costs or (decided.costs if decided else None)
    return costs.false_alarm / costs.miss if costs else score.threshold / (1 - score.threshold)


def _rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; 0 where one of them does not vary."""
    if len({*one}) < 2 or len({*other}) < 2:
        return 0.0
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The place of each value in their order; equal ones share the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    shared: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2).astype(np.float64)
    return shared[places]


def tuned(state: State) -> Iterator[Claim]:
    """Other parameters were tried, in runs that MLflow has."""
    runs, where = (
        runs_of(state.settings, state.spec.name),
        f"MLflow, experiment {state.settings.stored(state.spec.name)}",
    )
    tried: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.params.items():
            tried.setdefault(key.rpartition(".")[2], set()).add(value)
    params = [*state.spec.train.params]
    left = [name for name in params if len(tried.get(name, ())) < 2]
    some = len(runs) >= _FEWEST_TRIALS and len(left) < len(params)
    remedy = f"try others: contrail train -p {state.spec.name} --no-register --set NAME=VALUE"
    yield state.cited(
        "half", some,
        f"{counted(len(runs), 'run')} tried other values of {len(params) - len(left)} of {len(params)} parameters" if some
        else f"MLflow has {counted(len(runs), 'run')} of it, and other values of {len(params) - len(left)} parameters were tried",
        remedy, where,
    )  # fmt: skip
    made = state.records.made_at
    since = sum(made is not None and run.started >= made.timestamp() * 1000 for run in runs)
    all_of_them = not left and since >= _FEWEST_TRIALS
    yield state.cited(
        "whole", all_of_them,
        f"all parameters were tried, {since} runs since version {state.version}" if all_of_them
        else f"not tried: {', '.join(left)}" if left
        else f"{counted(since, 'run')} since version {state.version} was trained",
        remedy, where,
    )  # fmt: skip


def staleness(state: State) -> Iterator[Claim]:
    """How much the champion loses with age is measured, and a loss starts a training."""
    metric = HEADLINE[state.spec.task]
    measured = [row for row in state.performance if row[metric] is not None and row[f"baseline_{metric}"] is not None]
    gains = [row[f"baseline_{metric}"] - row[metric] for row in measured]
    enough = len(gains) >= 2 * RECENT_DAYS
    first, last = (fmean(part) if part else 0.0 for part in (gains[:RECENT_DAYS], gains[-RECENT_DAYS:]))
    says = f"better than the baseline by {first:.4f} in its first {RECENT_DAYS} days and {last:.4f} in its last, of {len(gains)}"
    yield state.ran(
        "half", enough,
        f"version {state.version}, {metric}: {says}" if enough
        else f"{len(gains)} days of version {state.version} are measured; {2 * RECENT_DAYS} show what age does",
        f"{state.to_measure}, and again once outcomes of more days have arrived", "performance",
    )  # fmt: skip
    margin, row = state.spec.retrain.performance_margin, state.governed
    watches = margin is not None and row[PARTITION] >= state.newest and row["model_version"] == state.version
    yield state.cited(
        "whole", watches,
        f"the governor watches it: a loss of {margin:g} starts a training" if watches
        else "no loss starts a training: retrain.performance_margin is not set" if margin is None
        else f"the governor has decided until {row[PARTITION]} only",
        f"set retrain.performance_margin; contrail govern -p {state.spec.name} --on {state.newest}",
        f"governor, run {row['run_id']}", row["decided_at"].isoformat(),
    )  # fmt: skip


def simpler(state: State) -> Iterator[Claim]:
    """The gate found the champion better than group means and than the mean."""
    wanted: tuple[tuple[str, Needed], ...] = (("beats_constant", "half"), ("beats_rate_table", "whole"))
    for name, needed in wanted:
        check = state.gate_check(name)
        yield state.cited(
            needed, bool(check and check.passed),
            f"{check.title}: {check.detail}" if check else "the gate made no such comparison",
            f"contrail promote -p {state.spec.name} --model {state.version}", state.decided_in, state.decision.decided_at,
        )  # fmt: skip


def slices(state: State) -> Iterator[Claim]:
    """Quality is known by group, and the gate keeps a floor in each."""
    columns = [one.column for one in state.findings.segments if one.groups]
    yield state.cited(
        "half", bool(columns),
        f"quality with intervals by {', '.join(columns)}" if columns else "quality is not split by any feature",
        "set train.segments, and train", f"contrail model-card -p {state.spec.name}", state.trained_at,
    )  # fmt: skip
    floors = [one for one in state.decision.checks if one.name.startswith("segment_") and one.passed is not None]
    kept = bool(floors) and all(one.passed for one in floors)
    yield state.cited(
        "whole", kept,
        "; ".join(one.title for one in floors if bool(one.passed) == kept) if floors else "the gate has no floor in any group",
        "set gate.segments, and promote", state.decided_in, state.decision.decided_at,
    )  # fmt: skip


def inclusion(state: State) -> Iterator[Claim]:
    """Groups that must not be wronged are named and compared, and the gate keeps a floor in each."""
    wanted = state.spec.sensitive
    compared = {one.column for one in state.findings.fairness if one.groups}
    left = [name for name in wanted if name not in compared]
    yield state.cited(
        "half", bool(wanted) and not left,
        "no feature is called sensitive" if not wanted
        else f"not compared: {', '.join(left)}" if left
        else f"rates, errors and calibration by {', '.join(wanted)}, with intervals",
        "name the groups under sensitive, and train", f"contrail model-card -p {state.spec.name}",
        state.trained_at,
    )  # fmt: skip
    passed = {check.name for check in state.decision.checks if check.passed}
    bare = [name for name in wanted if not any(one.startswith(f"segment_{name}_") for one in passed)]
    yield state.cited(
        "whole", bool(wanted) and not bare,
        f"the gate kept no floor by {', '.join(bare) or 'any group'}" if bare or not wanted
        else f"the gate kept a floor in each group of {', '.join(wanted)}",
        f"set gate.segments for {', '.join(bare) or 'them'}, and promote", state.decided_in, state.decision.decided_at,
    )  # fmt: skip


TESTS = (
    RubricTest(
        "2.1", "Review", "Is each model's definition in version control, and read by a second person?",
        "git has the pipeline's folder as it is.", "The champion was made of it, and the repository asks for a reviewer.", review,
    ),
    RubricTest(
        "2.2", "Offline and online", "Do decisions gain where the metric of the gate gains?",
        f"Over {_LEAST_DAYS} days or more they go together, beyond chance.",
        "The governor compares each day with the gate.", promised,
    ),
    RubricTest(
        "2.3", "Parameters", "Were the parameters of training searched for?",
        f"MLflow has {_FEWEST_TRIALS} runs or more with other values.",
        "Every parameter was tried, and again since the champion was trained.", tuned,
    ),
    RubricTest(
        "2.4", "Effect of age", "Is it known what an old model costs?",
        "The champion's quality is measured for 56 days or more.", "The governor starts a training when too much is lost.",
        staleness,
    ),
    RubricTest(
        "2.5", "Simpler models", "Would something simpler do?",
        "At the gate, the champion was better than the mean.", "And better than a table of group means.", simpler,
    ),
    RubricTest(
        "2.6", "Groups", "Is it good enough in each group that matters?",
        "The training measured quality by group.", "The gate kept a floor in each.", slices,
    ),
    RubricTest(
        "2.7", "Inclusion", "Is nobody wronged for the group that they are in?",
        "Sensitive groups are named, and the training compared them.", "The gate kept a floor in each.", inclusion,
    ),
)  # fmt: skip
