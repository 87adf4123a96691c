"""The parts of a model card on quality, calibration and explanations. They compute no statistic."""

from collections.abc import Iterator, Sequence

from contrail.methods.explanations import Dependence
from contrail.methods.findings import Findings
from contrail.methods.metrics import HEADLINE
from contrail.methods.segments import Group, Measured
from contrail.reports import card_fairness, card_pictures
from contrail.reports.card_fairness import left_out
from contrail.reports.card_records import CardRecords
from contrail.reports.document import Block, Cell, Note, Picture, Pictures, Rows, Section, as_cell, number

_NAMES = {"auc": "AUC", "rmse": "RMSE", "mae": "MAE"}


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
        Section("Fairness", list(card_fairness.fairness(records, found))),
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
        f"On {checked.days} days at the end of the training window, {checked.start} to {checked.end}, "
        f"{checked.rows:,} rows{_evenly(checked.every)}. "
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
        yield from left_out(column)


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


def _evenly(every: int) -> str:
    return f", evenly one in {every}" if every > 1 else ""
