"""The part of a model card on fairness: each group's rates and errors, and what surely differs. It computes no statistic."""

from collections.abc import Iterator, Mapping

from contrail.methods.fairness import MEANINGS
from contrail.methods.findings import Findings
from contrail.methods.segments import FEWEST_ROWS, Group, Grouped
from contrail.reports.card_records import CardRecords
from contrail.reports.document import Block, Cell, Note, Rows, as_cell

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


def fairness(records: CardRecords, found: Findings) -> Iterator[Block]:
    """The groups of each sensitive column, and where they surely differ from all others."""
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
        yield from left_out(column)


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


def left_out(column: Grouped) -> Iterator[Block]:
    """What is not shown of a column."""
    if column.left_out:
        yield Note(
            f"{column.left_out} groups with {column.left_out_rows:,} rows are not shown: fewer than {FEWEST_ROWS} rows, or "
            "beyond the thirty largest.",
            "soft",
        )
