"""An inspection of features as a page that stands alone: what to drop, each feature, what was tried, what builds cost."""

from collections.abc import Iterator

from contrail.methods.intervals import Interval
from contrail.methods.redundancy import ALIKE
from contrail.operations.inspecting.build_costs import GroupCost
from contrail.operations.inspecting.results import DROP, InspectedFeature, Inspection, TriedDrop, nth, of, signed
from contrail.reports import document
from contrail.reports.document import Block, Bullets, Cell, Document, Facts, Note, Picture, Rows, Section
from contrail.reports.feature_pictures import Row, bars, intervals

_KINDS = {"keep": "dot", "uncertain": "none", "drop": "l3"}
_DRAWN = 30
_MOVED = 0.05  # a share of missing values that is seen
_TRIED = {
    "alone": "this feature alone",
    "covered": "all of a cluster but one",
    "cluster": "a whole cluster",
    "together": "together",
}


def render(found: Inspection) -> str:
    """The page as HTML."""
    return document.to_html(_document(found))


def _document(found: Inspection) -> Document:
    sections = [
        Section("What to drop", list(_drops(found))),
        Section("Each feature", list(_features(found))),
        Section("Trees without features", list(_tried(found))),
        Section("What building costs", list(_costs(found))),
        Section("How it was measured", list(_how(found))),
    ]
    sentence = f"{found.sentence[0].upper()}{found.sentence[1:]}."
    title = f"{found.pipeline} version {found.version}: what features bring"
    return Document(title, sentence, "waits" if found.drop else "pass", sections, "inspection of features")


def _drops(found: Inspection) -> Iterator[Block]:
    together = "–" if found.together is None else of(found.together)
    yield Facts(
        [
            ("Could be dropped", f"{len(found.drop)} of {len(found.features)}"),
            (f"{found.metric_name} without all of them", together),
            ("Saved in a day's build", f"{found.saved_seconds:.2f} s of {found.costs.whole_seconds:.2f} s"),
            (f"{found.metric_name} of the model", f"{found.loss:.4f}"),
        ],
        tiles=True,
    )
    if dropped := [one for one in found.features if one.verdict == DROP]:
        yield Rows(
            ["Feature", "Why it could go", "Built with"],
            [[one.name, one.because, ", ".join(one.groups)] for one in dropped],
            texts=3,
            code=(0,),
        )
        yield Note(
            "Take them out of features.columns and features.py, train, and let the gate judge. Seconds are saved only where "
            "no feature of a group is left."
        )


def _features(found: Inspection) -> Iterator[Block]:
    order = sorted(found.features, key=lambda one: -one.shuffled.estimate)
    rows = [
        Row(one.name, one.shuffled.estimate, one.shuffled.low, one.shuffled.high, _KINDS[one.verdict]) for one in order
    ]
    words = ", ".join(f"{one.name} {of(one.shuffled)}" for one in order[:_DRAWN])
    more = f", the first {_DRAWN} of {len(order)}" if len(order) > _DRAWN else ""
    yield Picture(
        intervals(rows[:_DRAWN], f"{found.metric_name} added, with its interval over days"),
        words,
        f"What is lost while a feature tells nothing{more} (blue: keep, red: drop, grey: uncertain)",
        wide=True,
    )
    head = ["Feature", "Shuffled", "Without it", "SHAP", "Cost (s)", "Odd days", "Missing"]
    yield Rows(head, [_feature(one) for one in found.by_worth()], texts=1)
    yield Rows(
        ["Feature", "Verdict", "Why"],
        [[one.name, one.verdict, one.because] for one in found.by_worth()],
        title="Why each verdict",
        texts=3,
        folded=True,
        code=(0,),
    )
    # A table of its own: two long names in one row are wider than the page.
    alike = sorted((one for one in found.features if one.partner), key=lambda one: (-one.likeness, one.name))
    yield Rows(
        ["Feature", "Most like", "Likeness"],
        [[one.name, one.partner or "–", Cell(f"{one.likeness:.2f}", loud=one.likeness >= ALIKE)] for one in alike],
        title="The feature most like each",
        texts=2,
        folded=True,
        code=(0, 1),
    )


def _feature(one: InspectedFeature) -> list[str | Cell]:
    moved = abs(one.missing - one.missing_trained) > _MOVED
    odd = f"{one.unusual_days} of {one.measured_days}" if one.measured_days else "–"
    return [
        Cell(one.name, one.verdict, one.verdict == DROP),
        _interval(one.shuffled),
        "–" if one.without is None else _interval(one.without),
        Cell(f"{one.size:.3g}", f"gain {one.gain:.1%}"),
        f"{one.seconds:.2f}",
        odd,
        Cell(f"{one.missing:.1%}", f"trained {one.missing_trained:.1%}", moved),
    ]


def _interval(found: Interval) -> Cell:
    return Cell(signed(found.estimate), f"{signed(found.low)} to {signed(found.high)}")


def _tried(found: Inspection) -> Iterator[Block]:
    yield Note(
        f"Trees grew without these features, with the parameters and rounds of version {found.version}, on its own training "
        f"rows. Harmless: the interval contains zero, and ends below {found.margin:.2g}."
    )
    rows = [
        [Cell(", ".join(one.without), _why(one)), _interval(one.added), "harmless" if one.harmless else "not harmless"]
        for one in found.tried
    ]
    yield Rows(["Without", f"{found.metric_name} added", "Verdict"], rows)


def _why(one: TriedDrop) -> str:
    return f"{_TRIED[one.why]}, {one.covered_by}" if one.covered_by else _TRIED[one.why]


def _costs(found: Inspection) -> Iterator[Block]:
    costs = found.costs
    groups = sorted(costs.groups, key=lambda one: -one.seconds)
    rows = [
        Row(one.name, one.seconds, one.least_seconds, one.most_seconds, "dot", f"{one.seconds:.2f} s") for one in groups
    ]
    yield Picture(
        bars(rows, f"{costs.unit} more than a build without any group; the line has the least and the most"),
        ", ".join(f"{one.name} {one.seconds:.2f} s" for one in groups),
        f"A build of {costs.day}: each group of features alone",
        wide=True,
    )
    yield Rows(
        ["Group", "Features", "Seconds", "Least to most"],
        [_group(one) for one in groups],
        texts=2,
    )
    yield Note(
        f"What describes a key is computed together, so seconds belong to a group. The whole day takes "
        f"{costs.whole_seconds:.2f} s, and {costs.none_seconds:.2f} s without any group. Equal builds "
        f"differ by up to {costs.noise_seconds:.2f} s.",
        "soft",
    )


def _group(one: GroupCost) -> list[str | Cell]:
    return [
        one.name,
        ", ".join(one.features) or "–",
        f"{one.seconds:.3f}",
        f"{one.least_seconds:.3f} to {one.most_seconds:.3f}",
    ]


def _how(found: Inspection) -> Iterator[Block]:
    every = "" if found.every > 1 else ", all that have a label"
    trained = f", every {nth(found.trained_every)} of them" if found.trained_every > 1 else ""
    yield Bullets(
        [
            f"Rows: {found.rows_of} of {found.partitions} ({found.days} days){every}. The model has seen none of them.",
            f"Loss: {found.metric_name}. That of the model is {found.loss:.4f}, that of predicting the mean "
            f"{found.loss_of_mean:.4f}. What may go may add {found.margin:.2g} at most, which is 2 % of the difference.",
            f"Shuffled: the feature's values are mixed among all rows, {found.repeats} times. The model stays as it is.",
            f"Trees: {found.trained_rows:,} training rows{trained}, {found.refits} fits, {found.refit_seconds:,.0f} processor "
            f"seconds. Each set of features was tried with {found.seeds} seeds, all together with {found.together_seeds}. "
            f"Between seeds an added loss differs by {found.seed_noise:.2g} (standard deviation), and the intervals contain it.",
            "Intervals: 95 %, from resampling whole days, of both losses together.",
            "Odd days: of the days whose drift was measured, those on which the feature was unusual.",
            "Most like: the largest rank correlation with another number, or Cramér's V with another category.",
        ]
    )
    if found.left:
        yield Note(f"Not tried alone: {', '.join(found.left)}. --thorough tries every feature.", "soft")
