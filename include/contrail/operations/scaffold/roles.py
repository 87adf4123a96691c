"""What the columns of a sample are to a pipeline: each guess is a ``Choice`` with its reason.

Which columns a model may see is in ``known``.
"""

from dataclasses import dataclass

from contrail.adapters.sample_files import SampleColumn
from contrail.operations.scaffold.choices import Rows, Task
from contrail.operations.scaffold.keys import rows_and_key
from contrail.operations.scaffold.looked import Looked
from contrail.operations.scaffold.outcome import label_of, task_of
from contrail.operations.scaffold.times import known_at_of, label_after_of, time_of


@dataclass(frozen=True)
class Roles:
    """What the columns of a sample are.

    Attributes:
        label: The outcome.
        task: ``binary`` or ``regression``.
        positive: The text that means yes, where the label is text.
        time: The column of a row's time.
        rows: Whether rows are ``planned`` or ``events``.
        known_at: The column of the instant at which the outcome was known, if there is one.
        label_after: Days after the time at which it is known, without such a column.
        clock: ``hour`` or ``minute``, where a planned row has a time of the day.
        dims: Columns that tell rows apart, beside the time.
        by_time: Whether the time is a part of the key.
    """

    label: SampleColumn
    task: Task
    positive: str | None
    time: SampleColumn
    rows: Rows
    known_at: SampleColumn | None
    label_after: int
    clock: str
    dims: tuple[str, ...]
    by_time: bool


def roles_of(looked: Looked) -> Roles:
    """Take a role for each column that has one.

    Raises:
        DataError: The sample has no time, no label, or a label of one value.
        SpecError: An option does not fit the sample.
    """
    label = label_of(looked)
    task, positive = task_of(looked, label)
    time = time_of(looked)
    known_at = known_at_of(looked, label, time)
    rows, clock, dims, by_time = rows_and_key(looked, label, time, known_at)
    after = 0 if known_at else label_after_of(looked, label, time, rows)
    return Roles(label, task, positive, time, rows, known_at, after, clock, dims, by_time)
