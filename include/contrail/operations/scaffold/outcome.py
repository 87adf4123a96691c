"""Which column of a sample is the outcome, and whether it is a number or one of two values."""

from contrail.adapters.sample_files import SampleColumn
from contrail.config.names import quoted
from contrail.errors import DataError, SpecError
from contrail.operations.scaffold import words
from contrail.operations.scaffold.choices import Choice, Task
from contrail.operations.scaffold.looked import Looked

_FEW = 100  # rows of the rarer value below which a model may learn little


def label_of(looked: Looked) -> SampleColumn:
    """The column of the outcome.

    Raises:
        DataError: No column can be one, or it has a single value.
        SpecError: An option names no column.
    """
    columns, rows = looked.sample.columns, looked.sample.rows
    fitting = [
        column
        for column in columns
        if (column.type in ("int", "float", "bool") or column.distinct == 2)
        and column.type not in ("date", "timestamp")
        and not (column.type == "int" and column.distinct == rows > 2 and words.says(column.name, words.IDS))
    ]
    if not fitting and not looked.options.label:
        shown = ", ".join(f"{column.given} ({column.type})" for column in columns)
        raise DataError(
            f"{looked.sample.name}: no column can be the label. A model predicts a number, or one of two values. Columns: "
            f"{shown}. Name one with --label, or give a sample that has the outcome"
        )
    told = [column for column in fitting if words.says(column.name, words.LABELS)]
    guess = min(told, key=_place) if told else fitting[-1] if fitting else columns[-1]
    why = "its name is that of an outcome" if told else "it is the last column that can be one"
    others = tuple(column.given for column in fitting if column is not guess)
    decide = "" if told and len(told) == 1 else "whether this is the outcome that you want to predict (--label)"
    given = looked.options.label and looked.named("--label", looked.options.label).given
    taken = looked.choices.settle(
        "Which column is the outcome to predict?",
        Choice("label", guess.given, why, others, decide),
        given,
        [column.given for column in fitting] if not given else (),
    )
    label = looked.named("--label", taken)
    if label.distinct < 2:
        value = f"the value {label.least}" if label.distinct else "no value"
        raise DataError(
            f"{looked.sample.name}: the label {label.given} has {value} in all {rows:,} rows, so there is nothing to learn. "
            "Give a sample with both outcomes, or name another column with --label"
        )
    return label


def _place(column: SampleColumn) -> int:
    return next(n for n, word in enumerate(words.LABELS) if words.says(column.name, (word,)))


def task_of(looked: Looked, label: SampleColumn) -> tuple[Task, str | None]:
    """What is predicted of the label, and the text that means yes where the label is text.

    Raises:
        SpecError: The task that was named does not fit the label.
    """
    two = label.distinct == 2
    numbers = label.type in ("int", "float")
    zero_one = two and numbers and (float(label.least), float(label.most)) == (0.0, 1.0)
    binary = zero_one or label.type == "bool" or (two and label.type == "string")
    why = f"{label.given} has two values: {', '.join(label.values)}" if binary else f"{label.given} is a number"
    task = looked.choices.settle("", Choice("task", "binary" if binary else "regression", why), looked.options.task)
    if task == "binary" and not binary:
        raise SpecError(
            f"--task binary: {label.given} has {label.distinct:,} values; a binary label is 0 or 1, or one of two texts"
        )
    if task == "regression" and not numbers:
        raise SpecError(f"--task regression: {label.given} is {label.type}; a regression predicts a number")
    if task == "regression":
        return "regression", None
    _rare(looked, label)
    if label.type != "string":
        return "binary", None
    yes = next((value for value in label.values if value.lower() in words.YES), None)
    other = next((value for value in label.values if value.lower() in words.NO), None)
    guess = yes or next((value for value in label.values if other and value != other), label.values[-1])
    why = "it reads as yes" if yes or other else "it is the rarer of the two"
    decide = "" if yes or other else "which of the two values is the one to predict (label.expression)"
    others = tuple(value for value in label.values if value != guess)
    return "binary", looked.choices.settle(
        f"Which value of {label.given} is predicted?",
        Choice("positive", guess, why, others, decide),
        None,
        label.values,
    )


def _rare(looked: Looked, label: SampleColumn) -> None:
    """Say it when one of the two values is so rare that a model may learn little."""
    rarest = looked.connection.sql(
        f"SELECT {quoted(label.name)}::VARCHAR, count(*) FROM {looked.sample.relation} WHERE {quoted(label.name)} IS NOT NULL "
        "GROUP BY 1 ORDER BY 2, 1 LIMIT 1"
    ).fetchall()
    ((value, count),) = rarest
    if count < _FEW:
        decide = "whether a longer sample is worth waiting for: the gate may refuse a model of so few cases"
        why = f"only {count} of {looked.sample.rows:,} rows have it"
        looked.choices.made.append(Choice("rare value", value, why, (), decide))
