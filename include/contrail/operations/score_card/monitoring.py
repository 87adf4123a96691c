"""Monitoring: would somebody learn of it if inputs, skew, age, numbers, speed or quality went wrong?"""

import math
from collections.abc import Iterator
from datetime import timedelta
from statistics import median

from contrail.config.names import literal, quoted
from contrail.config.schedules import longest_pause
from contrail.lake.datasets import PARTITION
from contrail.lake.history import makers
from contrail.lake.sql import ask
from contrail.methods.drift import WHOLE_DAY
from contrail.operations.score_card.claims import Claim, RubricTest
from contrail.operations.score_card.state import State
from contrail.partitions import Partitions
from contrail.stages.fingerprint import Fingerprint

NAME = "Monitoring"
_TIMED = ("features", "predictions", "drift")
_FEWEST_RUNS, _SLOWER = 2, 2.0
_PAUSES = 2  # of the schedule's trainings: one may be refused


def dependencies(state: State) -> Iterator[Claim]:
    """Each feed is measured every day, and people are told of what is unusual."""
    day, feeds = state.newest, state.spec.daily_tables
    sql = (
        "SELECT table_name, count(*), count(usual_least) FROM profiles WHERE partition_date BETWEEN "
        f"DATE '{day - timedelta(days=state.spec.label.mature_after_days)}' AND DATE '{day}' GROUP BY ALL"
    )
    with ask(state.lake, state.spec, sql) as answer:
        found = {name: (figures, usual) for name, figures, usual in answer.rows()}
    left = [name for name in feeds if name not in found]
    commit = state.commit("profiles", day)
    at = commit.committed_at if commit else ""
    link = f"profiles of {day}" + (f", run {commit.provenance.run_id}" if commit else "")
    yield state.cited(
        "half", bool(feeds) and not left,
        f"nothing was measured of {', '.join(left)} up to {day}" if left
        else f"{sum(n for n, _ in found.values())} figures of {', '.join(feeds)} up to {day}",
        f"contrail validate -p {state.spec.name} --from {day}", link, at,
    )  # fmt: skip
    new = [name for name in feeds if not found.get(name, (0, 0))[1]]
    yield state.cited(
        "whole", not new,
        f"no usual range yet of {', '.join(new)}" if new else "each feed has usual ranges, learned from its own last days",
        "validate 14 days or more", link, at,
    )  # fmt: skip
    told = "tests/unit/notify/test_messages.py"
    yield state.repository.test(told, "whole", "CI checks the messages to people about refused and unusual days")


def invariants(state: State) -> Iterator[Claim]:
    """What was trained on and what is scored has kept its contract; what broke it is counted, and kept aside."""
    days, table = state.recent, f"validated_{state.spec.entities}"
    training = state.records.card.training
    missing, before = (
        sorted({*window} - state.lake.partitions(table, window).keys()) for window in (days, training.partitions)
    )
    commit = state.commit(table, days.end)
    yield state.cited(
        "half", not missing,
        f"{len(missing)} of the last {len(days)} days were not judged" if missing
        else f"each of the last {len(days)} days was judged by its contract",
        f"contrail validate -p {state.spec.name} --from {days.start} --to {days.end}",
        f"{table}, run {commit.provenance.run_id}" if commit else table, commit.committed_at if commit else "",
    )  # fmt: skip
    within = f"WHERE partition_date BETWEEN DATE '{days.start}' AND DATE '{days.end}'"
    with ask(state.lake, state.spec, f"SELECT count(*) FROM refusals {within}") as answer:
        ((refused,),) = answer.rows()
    with ask(state.lake, state.spec, f"SELECT count(*) FROM quarantine {within}") as answer:
        ((aside,),) = answer.rows()
    yield state.ran(
        "whole", not refused,
        f"{refused} refusals of {days} wait for somebody" if refused
        else f"nothing of {days} is refused; {aside:,} rows are in quarantine",
        f"contrail status -p {state.spec.name} --from {days.start}", f"refusals, quarantine of {days}",
    )  # fmt: skip
    yield state.cited(
        "whole", not before,
        f"{len(before)} days of the training, {training.partitions}, were not judged" if before
        else f"so were the days of the training, {training.partitions}",
        f"contrail validate -p {state.spec.name} --from {training.start} --to {training.end}",
        f"{table}, snapshot {training.snapshots.get(table)}", state.trained_at,
    )  # fmt: skip


def skew(state: State) -> Iterator[Claim]:
    """Training and scoring read one table, made by one definition; a row comes out again; drift is measured."""
    found = state.again
    yield state.ran(
        "half", found.rows > 0 and found.same == found.rows,
        f"{found.same} of {found.rows} random rows of {state.recent}: the model gives the served score to the features of the "
        "table that trainings read", f"contrail why KEY -p {state.spec.name} says what differs",
        f"contrail why -p {state.spec.name} --sample {found.rows}",
    )  # fmt: skip
    now, training = state.commit("features", state.newest), state.records.card.training
    trained, served = _made_for_training(state), Fingerprint.read(now.provenance) if now else None
    known = bool(trained and served)
    changed = served.differs(trained) if trained and served else "it is not recorded"
    yield state.cited(
        "half", known and not changed,
        f"the features of the training were made otherwise than those of {state.newest}: {changed}" if changed
        else "the same code made the features of the training and of the newest day",
        f"contrail backfill -p {state.spec.name} --from {training.start} --to {state.newest} --stages features, then train",
        f"features of {state.newest}",
        now.committed_at if now else "",
    )  # fmt: skip
    verdict, commit = _verdict(state), state.commit("drift", state.newest)
    usual = verdict in ("ok", "watch")
    yield state.cited(
        "whole", usual,
        f"drift of {state.newest} for version {state.version}, against the days before it: {verdict or 'not measured'}",
        "look at the report of drift, and train again if it lasts" if verdict
        else f"contrail drift -p {state.spec.name} --from {state.newest}",
        f"drift of {state.newest}", commit.committed_at if commit else "",
    )  # fmt: skip


def _made_for_training(state: State) -> Fingerprint | None:
    """What made the features that the champion learned from: of its last day, else of the snapshot that is kept for it."""
    training = state.records.card.training
    if training.feature_snapshot is None:
        return None
    made = makers(state.lake, "features", training.feature_snapshot, [training.end]).get(training.end)
    made = made or next((one for one in state.history("features") if one.snapshot == training.feature_snapshot), None)
    return Fingerprint.read(made.provenance) if made else None


def _verdict(state: State) -> str:
    sql = (
        f"SELECT verdict FROM drift WHERE partition_date = DATE '{state.newest}' AND feature = {literal(WHOLE_DAY)} "
        f"AND model_version = {literal(state.version)}"
    )
    with ask(state.lake, state.spec, sql) as answer:
        return next((verdict for (verdict,) in answer.rows()), None) or ""


def age(state: State) -> Iterator[Claim]:
    """The governor asks every day, and the champion is no older than the schedule lets it be."""
    row, name = state.governed, state.spec.name
    asked = row[PARTITION] >= state.newest and row["model_version"] == state.version
    calm = row["decision"] == "hold"
    reason = row["reasons"].splitlines()[0]
    yield state.cited(
        "half", asked and calm,
        f"the governor holds as of {row[PARTITION]}: {reason}" if asked and calm
        else f"the governor says {row['decision']} as of {row[PARTITION]}: {reason}" if asked
        else f"the governor has decided until {row[PARTITION]}, for version {row['model_version']}",
        f"contrail govern -p {name} --on {state.newest}" if not asked else f"contrail train -p {name}",
        f"governor, run {row['run_id']}", row["decided_at"].isoformat(),
    )  # fmt: skip
    cron, old = state.spec.schedule.train, (state.newest - state.records.card.training.end).days
    allowed = _PAUSES * longest_pause(cron, state.newest) if cron else 0
    yield state.ran(
        "whole", old <= allowed,
        f"the newest predictions are of {old} days after the training of version {state.version}; "
        + (f"two pauses of the schedule are {allowed}" if cron else "no schedule trains"),
        f"let the DAG train run by its schedule, {cron}" if cron else "set schedule.train", f"version {state.version}",
    )  # fmt: skip


def numbers(state: State) -> Iterator[Claim]:
    """No published number is not one, and the publisher refuses infinite ones."""
    spec, days = state.spec, state.recent
    score = quoted(spec.prediction_column)
    beyond = f" OR {score} NOT BETWEEN 0 AND 1" if spec.task == "binary" else ""
    parts = "".join(f" OR NOT isfinite({quoted(f'reason_{n}_contribution')})" for n in range(1, spec.score.reasons + 1))
    sql = (
        f"SELECT count(*), count(*) FILTER ({score} IS NULL OR NOT isfinite({score}){beyond}{parts}) FROM predictions "
        f"WHERE partition_date BETWEEN DATE '{days.start}' AND DATE '{days.end}'"
    )
    with ask(state.lake, spec, sql) as answer:
        ((rows, wrong),) = answer.rows()
    yield state.ran(
        "half", bool(rows) and not wrong,
        f"{wrong:,} of {rows:,} predictions of {days} are no numbers, or no probabilities" if wrong
        else f"each of {rows:,} predictions of {days}, and each reason, is a finite number",
        f"contrail score -p {spec.name} --from {days.start} --to {days.end}", f"predictions of {days}",
    )  # fmt: skip
    metrics = [
        name for name, value in (state.performance[-1] if state.performance else {}).items() if isinstance(value, float)
    ]
    strange = [
        f"{name} of {row[PARTITION]}" for row in state.performance for name in metrics
        if row[name] is not None and not math.isfinite(row[name])
    ]  # fmt: skip
    yield state.cited(
        "whole", bool(metrics) and not strange,
        f"no number: {', '.join(strange[:3])}" if strange
        else f"each metric of {len(state.performance)} measured days is a number" if metrics
        else "no day is measured",
        state.to_measure, "performance",
    )  # fmt: skip
    audit = "tests/unit/lake/test_audit.py"
    yield state.repository.test(audit, "whole", "CI checks that the publisher refuses infinite numbers")


def speed(state: State) -> Iterator[Claim]:
    """The newest runs of a day are about as fast as those before; CI compares too."""
    compared, slow = [], []
    for table in _TIMED:
        seconds = [
            float(one.provenance.extra["seconds"])
            for one in (state.history(table) if state.lake.exists(table) else ())
            if "seconds" in one.provenance.extra and one.commit.partitions and _is_a_day(one.commit.partitions)
        ]
        if len(seconds) > _FEWEST_RUNS:
            usual = median(seconds[1:])
            compared.append(f"{table} {seconds[0]:.1f} s (usually {usual:.1f})")
            slow += [table] if seconds[0] > _SLOWER * usual else []
    yield state.ran(
        "half", bool(compared) and not slow,
        f"{', '.join(slow)} took more than twice its usual time: {', '.join(compared)}" if slow
        else f"the newest runs of a day: {', '.join(compared)}" if compared
        else f"fewer than {_FEWEST_RUNS + 1} runs of one day: nothing to compare",
        f"look for what made it slow: contrail history {slow[0]} -p {state.spec.name} --json has the seconds of each run" if slow
        else "run days one by one, as the DAG does", f"contrail history predictions -p {state.spec.name} --json",
    )  # fmt: skip
    yield state.repository.ci_makes("bench", "whole", "CI measures speed and memory at each change")


def _is_a_day(parts: tuple[Partitions, ...]) -> bool:
    return len(parts) == 1 and len(parts[0]) == 1


def quality(state: State) -> Iterator[Claim]:
    """The newest known outcomes are measured, and the governor finds that too little was lost to train."""
    day, row = state.newest_mature, state.governed
    measured = any(one[PARTITION] == day for one in state.performance)
    commit = state.commit("performance", day)
    yield state.cited(
        "half", measured,
        f"quality of {day}, the newest day with known outcomes, is measured" if measured
        else f"quality of {day}, whose outcomes are known, is not measured for version {state.version}",
        f"contrail performance -p {state.spec.name} --from {day}", f"performance of {day}",
        commit.committed_at if commit else "",
    )  # fmt: skip
    reason = next((one for one in row["reasons"].splitlines() if "improvement" in one), "")
    fresh = row[PARTITION] >= state.newest and row["model_version"] == state.version
    holds = bool(reason) and fresh and row["trigger"] != "performance"
    yield state.cited(
        "whole", holds,
        reason if holds
        else f"the governor says of {row[PARTITION]}: {reason or 'nothing about quality'}",
        f"contrail govern -p {state.spec.name} --on {state.newest}; set retrain.performance_margin",
        f"governor, run {row['run_id']}", row["decided_at"].isoformat(),
    )  # fmt: skip


TESTS = (
    RubricTest(
        "4.1", "Changes of inputs", "Do people learn when something that the pipeline depends on changes?",
        "Each feed is measured up to the newest day.", "It has usual ranges, and CI checks the messages to people.", dependencies,
    ),
    RubricTest(
        "4.2", "Invariants", "Do inputs of training and scoring keep what must always hold?",
        "Each recent day was judged by its contract.", "Nothing recent is refused, and the training's days were judged too.",
        invariants,
    ),
    RubricTest(
        "4.3", "Skew", "Do training and scoring see the same features?",
        "Random scores come out again from the table of features, which one definition made.",
        "Drift was measured on the newest day, for this champion, and is not raised.", skew,
    ),
    RubricTest(
        "4.4", "Age", "Is the model young enough?",
        "The governor has asked on the newest day, and holds.",
        "The training ended two pauses of its schedule before the newest predictions, or less.", age,
    ),
    RubricTest(
        "4.5", "Numbers", "Are all numbers finite?",
        "Each recent prediction and reason is.", "So is each metric, and CI checks that infinite ones are refused.", numbers,
    ),
    RubricTest(
        "4.6", "Speed", "Has it become slower?",
        "The newest runs of a day took at most twice their usual time.", "CI measures it at each change.", speed,
    ),
    RubricTest(
        "4.7", "Quality", "Are predictions still as good?",
        "The newest day with known outcomes is measured.", "The governor compares it with the gate, and too little was lost.",
        quality,
    ),
)  # fmt: skip
