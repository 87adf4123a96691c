"""The report of a search for parameters: the best against today's, what mattered, every trial, and how it was measured.

It computes no statistic and decides nothing. The pictures are in ``tuning_pictures``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from contrail.config.spec import PipelineSpec
from contrail.config.tune_spec import Searched, Value
from contrail.methods.folds import Fold
from contrail.methods.intervals import CONFIDENCE, Interval
from contrail.methods.metrics import HIGHER_IS_BETTER
from contrail.methods.study import TODAY, StudyRecord, TrialRecord
from contrail.reports import tuning_pictures as pictures
from contrail.reports.document import (
    Block,
    Cell,
    Document,
    Facts,
    Note,
    Picture,
    Pictures,
    Rows,
    Section,
    to_html,
)

_MOST_PICTURES, _MOST_ROWS = 6, 60
_WATT_SECONDS_PER_WH = 1000.0
_NO_CANDIDATE = "no version was registered by this search"


@dataclass(frozen=True)
class TuningReport:
    """What the page says.

    Attributes:
        spec: The pipeline.
        study: The study.
        space: The parameters that were tried.
        folds: The folds of every trial.
        trials: The finished trials, by number. The first has today's parameters.
        wanted: How many trials the study is to have.
        best: The number of the best whole trial.
        gain: How much better the best is than today's parameters, over days.
        by_fold: The same for each fold.
        importance: Each parameter's share of what differed between trials; empty when there are too few trials.
        today: Where today's parameters lie in the space.
        own: Today's values of the parameters, wherever they lie; None where nobody knows it.
        price: What a second costs, with its currency; None where nobody pays for one.
    """

    spec: PipelineSpec
    study: StudyRecord
    space: Mapping[str, Searched]
    folds: Sequence[Fold]
    trials: Sequence[TrialRecord]
    wanted: int
    best: int
    gain: Interval
    by_fold: Sequence[Interval]
    importance: Mapping[str, float]
    today: Mapping[str, Value]
    own: Mapping[str, Value | None]
    price: tuple[float, str] | None = None

    @property
    def found(self) -> TrialRecord:
        """The best trial."""
        return next(one for one in self.trials if one.number == self.best)

    @property
    def whole(self) -> list[TrialRecord]:
        """The trials that had every fold."""
        return [one for one in self.trials if one.whole]


def render(report: TuningReport) -> str:
    """The page."""
    lead, tone = _lead(report)
    sections = [
        Section("Best against today", list(_best(report))),
        Section("Parameters", list(_parameters(report))),
        Section("Trials", list(_trials(report))),
        Section("Learning curves", list(_curves(report))),
        Section("How it was measured", list(_measured(report))),
    ]
    return to_html(
        Document(f"{report.spec.title}: search for parameters", lead, tone, sections, "search for parameters")
    )


def with_candidate(page: str, version: str, trial: int) -> str:
    """The same page after the best trial was trained as this version."""
    return page.replace(_NO_CANDIDATE, _candidate(version, trial))


def _candidate(version: str, trial: int) -> str:
    return f"version {version}, with the parameters of trial {trial}"


def _lead(report: TuningReport) -> tuple[str, str]:
    if len(report.trials) == 1:
        return "Only today's parameters were tried, because the time was over. More seconds try others.", "none"
    if report.best == TODAY:
        return f"None of {len(report.trials) - 1} other trials is better than today's parameters.", "none"
    gain, what = report.gain, f"Trial {report.best} has a better {report.study.metric} than today's parameters"
    ends = (
        f"by {_digits(gain.estimate)}, {CONFIDENCE:.0%} interval over days {_digits(gain.low)} to {_digits(gain.high)}"
    )
    if gain.low > 0:
        return f"{what}, {ends}.", "pass"
    return f"{what}, {ends}. The interval has 0 in it: these days alone do not show that it is better.", "waits"


# ---- the best against today's ----


def _best(report: TuningReport) -> Iterator[Block]:
    today, best, other = report.trials[0], report.found, report.best != TODAY
    rows: list[list[str | Cell]] = []
    for at, fold in enumerate(today.folds):
        own = best.folds[at]
        difference = _signed(report.by_fold[at]) if other else "–"
        rows.append(
            [f"{fold.first} to {fold.last}", f"{fold.rows:,}", _digits(fold.value), _digits(own.value), difference]
        )
    total = sum(fold.rows for fold in today.folds)
    means: list[str | Cell] = ["Mean of the folds", f"{total:,}", _digits(today.value), _digits(best.value)]
    rows.append([*means, _signed(report.gain, loud=True) if other else "–"])
    metric = report.study.metric
    better = "larger is better" if metric in HIGHER_IS_BETTER else "smaller is better"
    head = ["Days that were predicted", "Rows", "Today's", f"Trial {report.best}", "Better by"]
    yield Rows(head, rows, title=f"{metric}, {better}")
    if other:
        yield Note(
            f"The best of {len(report.trials)} trials was chosen on these days, so its gain here is too hopeful. The gate judges "
            "a candidate on later days, which no trial has seen.",
            "soft",
        )


def _signed(gain: Interval, *, loud: bool = False) -> Cell:
    return Cell(_digits(gain.estimate, "+"), f"{_digits(gain.low, '+')} to {_digits(gain.high, '+')}", loud)


def _digits(value: float, sign: str = "") -> str:
    """Five digits after the point, as a log loss needs them; fewer of a large number."""
    return f"{value:{sign}.5f}" if abs(value) < 10 else f"{value:{sign},.2f}"


# ---- parameters ----


def _parameters(report: TuningReport) -> Iterator[Block]:
    best = report.found.params or report.own
    rows = [
        [name, _range(one), _value(report.own[name]), _value(best[name]), _share(report.importance.get(name))]
        for name, one in report.space.items()
    ]
    yield Rows(["Parameter", "Tried", "Today's", f"Trial {report.best}", "Importance"], rows, texts=2, code=(0,))
    if not report.importance:
        yield Note("Too few trials for an importance of parameters.", "soft")
        return
    words = ", ".join(f"{name} {share:.0%}" for name, share in report.importance.items())
    yield Picture(
        pictures.importance(report.importance), words, "Share of what differed between trials (fANOVA)", wide=True
    )
    ranked = sorted(report.importance, key=lambda name: -report.importance[name])
    drawn = [name for name in ranked if pictures.has_axis(report.space[name])][:_MOST_PICTURES]
    yield Pictures([_picture(report, name) for name in drawn])
    yield Note(
        "Each point is a trial with all folds: the best one blue, today's parameters yellow. A trial that was given up "
        "counts for the importance with today's value and its difference on the folds that it had; one that failed, as worse "
        "than all others.",
        "soft",
    )


def _picture(report: TuningReport, name: str) -> Picture:
    of_trials = [(one, one.params.get(name, report.today[name])) for one in report.whole]
    drawing = pictures.of_parameter(name, report.space[name], of_trials, report.best)
    return Picture(drawing, f"{report.study.metric} of the trials over {name}", f"{report.study.metric} over {name}")


def _range(one: Searched) -> str:
    if one.choices:
        return ", ".join(map(str, one.choices))
    return f"{one.low:g} to {one.high:g}" + (" by powers" if one.log else "")


def _value(value: Value | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


# ---- trials ----


def _trials(report: TuningReport) -> Iterator[Block]:
    given_up = sum(one.worse_than is not None for one in report.trials)
    failed = sum(one.failed is not None for one in report.trials)
    seconds = sum(one.cost.seconds for one in report.trials)
    energy = sum(one.cost.kwh for one in report.trials)
    facts = [
        ("Trials", f"{len(report.trials)} of {report.wanted}"),
        ("Given up early", f"{given_up}"),
        *([("Failed", f"{failed}")] if failed else []),
        ("Time", str(timedelta(seconds=round(seconds)))),
        ("Processor time", str(timedelta(seconds=round(sum(one.cost.core_seconds for one in report.trials))))),
        ("Energy, estimated", f"{energy * _WATT_SECONDS_PER_WH:.3g} Wh"),
    ]
    if report.price:
        facts.append(("Cost, estimated", f"{seconds * report.price[0]:,.2f} {report.price[1]}"))
    yield Facts(facts, tiles=True)
    best_so_far = list(_best_so_far(report))
    words = f"The best {report.study.metric} was {_digits(report.found.value)} after {best_so_far[-1][0]:.0f} seconds"
    yield Picture(
        pictures.by_seconds(report.trials, best_so_far, report.best, report.study.metric),
        words, "Trials with all folds, and the best so far", wide=True,
    )  # fmt: skip
    cost = ["Cost"] if report.price else []
    head = ["Trial", "Parameters", report.study.metric, "Folds", "Rounds", "Seconds", "Wh", *cost]
    rows = [_row(report, one) for one in report.trials]
    yield Rows(head, rows, title="Every trial", texts=2, folded=len(report.trials) > _MOST_ROWS)


def _best_so_far(report: TuningReport) -> Iterator[tuple[float, float]]:
    """The steps of a line: the seconds of all trials so far, and the best value by then."""
    sign, spent, best = -1 if report.study.metric in HIGHER_IS_BETTER else 1, 0.0, None
    for one in report.trials:
        spent += one.cost.seconds
        if best is not None:
            yield spent, best
        if one.whole and (best is None or sign * one.value < sign * best):
            best = one.value
            yield spent, best


def _row(report: TuningReport, one: TrialRecord) -> list[str | Cell]:
    of = f"{len(one.folds)} of {len(report.folds)}"
    values = ", ".join(f"{name} {_value(value)}" for name, value in one.params.items())
    name = str(one.number) + (", the best" if one.number == report.best else "")
    rounds = f"{sum(fold.rounds for fold in one.folds) / len(one.folds):.0f}" if one.folds else "–"
    why = one.failed or f"worse than {one.worse_than}"
    return [
        Cell(name, loud=one.number == report.best),
        values or "today's",
        _digits(one.value) if one.whole else "–",
        of if one.whole else Cell(of, why),
        rounds,
        f"{one.cost.seconds:.1f}",
        f"{one.cost.kwh * _WATT_SECONDS_PER_WH:.3g}",
        *([f"{one.cost.seconds * report.price[0]:.3f}"] if report.price else []),
    ]


# ---- learning curves, and how it was measured ----


def _curves(report: TuningReport) -> Iterator[Block]:
    today, best, other = report.trials[0], report.found, report.best != TODAY
    yield Pictures(
        [
            Picture(
                pictures.curves(fold, best.folds[at] if other else None, report.study.metric),
                f"{fold.rounds} rounds with today's parameters, {best.folds[at].rounds} in trial {report.best}",
                f"Before {fold.first}: {fold.rounds}"
                + (f" and {best.folds[at].rounds} rounds" if other else " rounds"),
            )
            for at, fold in enumerate(today.folds)
        ]
    )
    blue = f", in blue of trial {report.best}" if other else ""
    yield Note(
        f"The metric that stops the rounds, on the validation days after each round: in yellow of today's parameters{blue}. The "
        "thin lines are the days that were fitted; the dashed ones the rounds that were kept.",
        "soft",
    )


def _measured(report: TuningReport) -> Iterator[Block]:
    spec, study = report.spec, report.study
    rows = [
        [f"Fold {at}", str(fold.split.fit), str(fold.split.validation), str(fold.test)]
        for at, fold in enumerate(report.folds, start=1)
    ]
    yield Rows(["", "Fitted", "Stopped by", "Predicted"], rows, texts=4)
    gap = "1 day lies" if spec.train.embargo_days == 1 else f"{spec.train.embargo_days} days lie"
    again = " Then the trees are fitted again on both." if spec.train.refit else ""
    yield Note(
        f"Each training stops its rounds by its last days.{again} {gap} between all parts, because "
        "labels come late. No trial was measured on days that it was trained on, or on days before those."
    )
    if spec.train.calibration != "none":
        yield Note(
            f"The trees were measured before the {spec.train.calibration} calibration, which a training adds.", "soft"
        )
    facts = [("Study", study.name), ("Begun", f"{study.begun_at:%Y-%m-%d %H:%M} UTC by {study.person}")]
    facts += [("MLflow run", study.mlflow_run), ("Training set, MD5", study.made_of["rows"])]
    trial = report.trials[0]
    facts.append(("Machine", f"{trial.device}, {trial.threads} threads a trial"))
    version, trained = study.candidate, study.trained
    facts.append(("Candidate", _candidate(version, trained) if version and trained else _NO_CANDIDATE))
    yield Facts(facts)
