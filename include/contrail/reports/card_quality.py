"""The parts of a model card on quality, calibration, explanations and fairness. They compute no statistic."""

from collections.abc import Iterator, Mapping, Sequence

from contrail.methods.explanations import Dependence
from contrail.methods.fairness import MEANINGS
from contrail.methods.findings import Findings
from contrail.methods.metrics import HEADLINE
from contrail.methods.segments import FEWEST_ROWS, Group, Grouped, Measured
from contrail.reports import card_pictures
from contrail.reports.card_records import CardRecords
from contrail.reports.document import Block, Cell, Note, Picture, Pictures, Rows, Section, as_cell, number

_NAMES = {"auc": "AUC", "rmse": "RMSE", "mae": "MAE"}
_RATES = ("label_mean", "prediction_mean", "flagged", "false_positives", "false_negatives", "precision")
# Shown in this order. Prediction and label are seen in their difference.
_FAIRNESS = (
    "label_mean",
    "flagged",
    "false_positives",
    "false_negatives",
    "precision",
    "bias",
    "mae",
    "calibration_error",
)


def sections(records: CardRecords) -> list[Section]:
    """The sections, as far as there are records for them."""
    found = records.findings
    if found is None:
        return [Section("Quality", list(_at_the_gate(records)))] if records.decision else []
    return [
        Section("Quality", [*_at_the_gate(records), *_on_validation(found)]),
        Section("Quality by segment", list(_segments(records, found))),
        Section("Calibration", list(_calibration(found))),
        Section("Explanations", list(_explanations(records, found))),
        Section("Fairness", list(_fairness(records, found))),
    ]


def _name(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " ").capitalize())


# ---- quality ----


def _at_the_gate(records: CardRecords) -> Iterator[Block]:
    record = records.decision
    if record is None:
        return
    yield Note(
        f"On the days of its gate, {record.window.start} to {record.window.end}, {record.window.rows:,} rows with known "
        "outcomes, all after its training:"
    )
    names = {"challenger": "This version", "champion": f"Version {record.champion.version}" if record.champion else ""}
    yield Rows(
        ["", *(_name(metric) for metric in record.metric_names)],
        [
            [
                names.get(model, model.replace("_", " ").capitalize()),
                *(
                    as_cell(_with_interval(values.get(metric), record.intervals.get(model, {}).get(metric)))
                    for metric in record.metric_names
                ),
            ]
            for model, values in record.metrics.items()
            if values
        ],
    )


def _with_interval(value: float | None, interval: object) -> Measured | None:
    return None if value is None else Measured.of(value, interval)  # type: ignore[arg-type]


def _on_validation(found: Findings) -> Iterator[Block]:
    checked = found.checked
    yield Note(
        f"On {checked.days} days at the end of the training window, {checked.start} to {checked.end}, {checked.rows:,} rows. "
        "Trees that had not seen these days predicted them. Those of the registered model may have been fitted again on all days."
    )
    yield Rows(
        ["", *map(_name, checked.metrics)],
        [
            ["This version", *(as_cell(value) for value in checked.metrics.values())],
            *(
                [name.capitalize(), *(number(values.get(metric)) for metric in checked.metrics)]
                for name, values in checked.baselines.items()
            ),
        ],
    )
    yield Note(
        "Below a number is its 95 % interval over days: on other days it would lie within it, in 95 of 100 cases.",
        "soft",
    )


def _segments(records: CardRecords, found: Findings) -> Iterator[Block]:
    if not found.segments:
        yield Note("The pipeline names no segments (train.segments in pipeline.yaml).", "soft")
        return
    headline = "auc" if records.card.task == "binary" else HEADLINE[records.card.task]
    yield Note(f"On the validation days. The line in each bar is the {_name(headline)} of all rows.", "soft")
    for column in found.segments:
        names = [metric for metric in found.checked.metrics if any(metric in group.measures for group in column.groups)]
        names = [headline, *(name for name in names if name != headline)] if headline in names else names
        strips = _strips(column.groups, headline, found.checked.metrics.get(headline))
        yield Rows(
            [column.column, "Rows", "Mean label", *map(_name, names)],
            [
                [
                    group.name,
                    f"{group.rows:,}",
                    as_cell(group.measures.get("label_mean")),
                    *(strips[group.name] if name == headline else as_cell(group.measures.get(name)) for name in names),
                ]
                for group in column.groups
            ],
            title=f"By {column.column}",
        )
        yield from _left_out(column)


def _left_out(column: Grouped) -> Iterator[Block]:
    if column.left_out:
        yield Note(
            f"{column.left_out} groups with {column.left_out_rows:,} rows are not shown: fewer than {FEWEST_ROWS} rows, or "
            "beyond the thirty largest.",
            "soft",
        )


def _strips(groups: Sequence[Group], metric: str, overall: Measured | None) -> dict[str, Cell]:
    """The cells of a metric, each with its interval on one line from the least to the most of all groups."""
    values = {group.name: group.measures.get(metric) for group in groups}
    ends = [
        end for one in [*values.values(), overall] if one for end in (one.value, one.low, one.high) if end is not None
    ]
    least, wide = (min(ends), (max(ends) - min(ends)) or 1.0) if ends else (0.0, 1.0)

    def at(value: float) -> float:
        return round(100 * (value - least) / wide, 2)

    cells = {}
    for name, one in values.items():
        cell = as_cell(one)
        if one and overall:
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            cell = Cell(cell.text, cell.under, strip=(at(low), at(one.value), at(high)), reference=at(overall.value))
        cells[name] = cell
    return cells


# ---- calibration and explanations ----


def _calibration(found: Findings) -> Iterator[Block]:
    bins = found.checked.calibration
    error = found.checked.metrics.get("calibration_error")
    words = f"Calibration error {number(error.value)}" if error else "Calibration"
    yield Picture(
        card_pictures.calibration(bins),
        f"{words}: the mean distance of predicted from found, over tenths of the validation rows.",
        "Predicted and found",
    )
    if error:
        ends = f" ({number(error.low)} to {number(error.high)})" if error.low is not None else ""
        yield Note(f"{words}{ends}: the mean distance of a point from the dashed line.")
    yield Rows(
        ["Tenth", "Rows", "Mean prediction", "Mean label"],
        [[str(at), f"{one.rows:,}", number(one.predicted), as_cell(one.found)] for at, one in enumerate(bins, start=1)],
        title="The numbers of the picture",
        folded=True,
    )
    if len(found.checked.months) > 1:
        yield Rows(
            ["Days", "Rows", "Mean prediction", "Mean label", "Calibration error"],
            [
                [
                    f"{one.start} to {one.end}",
                    f"{one.rows:,}",
                    number(one.prediction_mean),
                    number(one.label_mean),
                    as_cell(Measured.of(one.calibration_error, one.interval)),
                ]
                for one in found.checked.months
            ],
            title="By month",
        )


def _explanations(records: CardRecords, found: Findings) -> Iterator[Block]:
    shown = found.explanations
    unit = "log-odds" if records.card.task == "binary" else "units of the label"
    if not shown.effects:
        yield Note("No feature moves its predictions.", "warn")
        return
    top = ", ".join(f"{one.feature} ({one.size:.3g})" for one in shown.effects[:5])
    yield Picture(
        card_pictures.effects(shown),
        f"How far each feature moves a prediction, in {unit}, as the mean of the absolute SHAP values. The largest: {top}.",
        "SHAP values",
        wide=True,
    )
    more = f" {shown.others} other features move it less." if shown.others else ""
    yield Note(
        f"SHAP values in {unit} of {shown.rows:,} rows of the training window, drawn with a fixed seed. A bar is the taller, the "
        f"more rows have that value. They are exact contributions of XGBoost.{more}",
        "soft",
    )
    if shown.dependences:
        yield Note("Mean prediction when one feature is changed, and every other one stays as it was:")
        yield Pictures(
            [Picture(card_pictures.dependence(one), _in_words(one), one.feature) for one in shown.dependences]
        )
        yield Note(
            f"Each faint line is one row of {shown.dependence_rows:,} (ICE). Of a category, the bar holds the middle 80 % of the "
            "rows. A dashed line is the mean prediction without a value. Features that move together are changed alone here, so "
            "some of these rows do not occur.",
            "soft",
        )


def _in_words(one: Dependence) -> str:
    low, high = min(range(len(one.mean)), key=one.mean.__getitem__), max(range(len(one.mean)), key=one.mean.__getitem__)
    points = [point if isinstance(point, str) else number(point) for point in one.points]
    return f"lowest mean prediction {number(one.mean[low])} at {points[low]}, highest {number(one.mean[high])} at {points[high]}."


# ---- fairness ----


def _fairness(records: CardRecords, found: Findings) -> Iterator[Block]:
    if not found.fairness:
        yield Note(
            "The pipeline declares no column as sensitive, so groups were not compared (sensitive in pipeline.yaml).",
            "soft",
        )
        return
    yield Note(
        "Rates and errors of each group on the validation days. A bold number differs from that of all other groups together, "
        "and did so on resampled days too (95 %). By chance alone, one in twenty would be bold. Where groups have different "
        "labels, their error rates cannot all be equal. What is fair enough is for people to decide."
    )
    if found.threshold is not None:
        yield Note(f"Flagged means a probability of {found.threshold:g} or more.", "soft")
    for column in found.fairness:
        names = [name for name in _FAIRNESS if any(name in group.measures for group in column.groups)]
        if not names:
            yield Note(f"No group of {column.column} has {FEWEST_ROWS} rows.", "warn")
            continue
        binary = records.card.task == "binary"
        yield Rows(
            [column.column, "Rows", *(MEANINGS[name].capitalize() for name in names)],
            [
                [group.name, f"{group.rows:,}", *(_compared(group, name, binary) for name in names)]
                for group in column.groups
            ],
            title=f"By {column.column}",
        )
        yield from _largest(column, binary)
        yield from _left_out(column)


def _compared(group: Group, name: str, binary: bool) -> Cell:
    own, difference = group.measures.get(name), group.differences.get(name)
    if own is None:
        return as_cell(None)
    loud = difference is not None and difference.sure
    if not (binary and name in _RATES):
        return as_cell(own, loud)
    under = f"{_rate(own.low)} to {_rate(own.high)}" if own.low is not None and own.high is not None else ""
    return Cell(f"{_rate(own.value)} %", under, loud)


def _rate(value: float) -> str:
    return f"{100 * value:.1f}"


def _largest(column: Grouped, binary: bool) -> Iterator[Block]:
    """The largest difference that is sure, of what a person of a group would feel."""
    felt: Mapping[str, str] = {
        "flagged": "are flagged",
        "false_positives": "are flagged without need",
        "false_negatives": "are missed",
    }
    for name, words in felt.items() if binary else ():
        sure = [
            (group, group.differences[name])
            for group in column.groups
            if name in group.differences and group.differences[name].sure
        ]
        if sure:
            group, difference = max(sure, key=lambda one: abs(one[1].value))
            more = "more" if difference.value > 0 else "less"
            ends = sorted((abs(difference.low or 0), abs(difference.high or 0)))
            yield Note(
                f"Rows of {column.column} {group.name} {words} {more} often than all others, by {_rate(abs(difference.value))} "
                f"points ({_rate(ends[0])} to {_rate(ends[1])})."
            )
