"""The parts of a pipeline's spec that say what its tables hold: columns, label and features.

How a model is made of them does not belong here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from contrail.config.file_names import FileNames, Format, file_names
from contrail.config.landed_spec import LandedSpec, SourceSpec, landed_format, landed_pattern
from contrail.config.names import Name
from contrail.frozen import Frozen

ColumnType = Literal["string", "int", "float", "bool", "date", "timestamp"]
SQL_TYPES: dict[ColumnType, str] = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
_LARGEST_MB = 1 << 20  # a terabyte
LONGEST_DAYS = 3_660  # ten years; more is a slip of the finger, and far more is no date any longer


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


EarlierNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_several),
    Field(
        description="Its earlier names, one or a list. Files and rows that have one of them are read as this column."
    ),
]


class ColumnSpec(Frozen):
    """A column of a landed table. ``timestamp`` is UTC; an empty CSV field is null."""

    type: ColumnType = Field(description="What its values are. A value of another form goes to quarantine.")
    required: bool = Field(default=True, description="Whether a row without a value goes to quarantine.")
    personal: bool = Field(
        default=False,
        description="Whether its values are of persons. Messages, reports, queries and analysts' views do not show them.",
    )
    doc: str = Field(default="", description="What a value means, with its unit. `contrail describe` shows it.")
    renamed_from: EarlierNames = ()


class FileLimits(Frozen):
    """How large one landed file may be. A larger one is refused before it can fill the disk.

    ``max_ratio`` counts from 64 MB of text on, so that a small file of equal rows passes.
    """

    max_file_mb: int = Field(default=256, ge=1, le=_LARGEST_MB, description="Size of the file as it lies there.")
    max_text_mb: int = Field(default=1024, ge=1, le=_LARGEST_MB, description="Size of its text, without compression.")
    max_ratio: int = Field(default=200, ge=1, description="Bytes of text for each byte of the file.")
    max_row_kb: int = Field(default=1024, ge=1, le=65_536, description="Size of one row.")


class TableSpec(Frozen):
    """A landed table: ``daily`` (one file a day) or ``reference`` (one file, replaced whole).

    A daily table's partition is the local date on which its rows become known. So a cut-off at midnight of day D may
    read the partitions before D. It may also read D's own of a table that is ``known_ahead``.
    """

    kind: Literal["daily", "reference"] = Field(
        default="daily", description="One partition a day, or one file that is replaced whole."
    )
    doc: str = Field(default="", description="What a row is, and when it is known. `contrail describe` shows it.")
    key: tuple[str, ...] = Field(description="Columns that tell the rows of a partition apart; each required.")
    known_at: str | None = Field(
        default=None, description="Timestamp column from which a row was known. Daily tables need it."
    )
    known_ahead: bool = Field(default=False, description="Whether rows are known before their partition's cut-off.")
    may_be_empty: bool = Field(
        default=False, description="A day without a file, or with a header alone, is an empty partition, not refused."
    )
    unusual: Literal["warn", "refuse", "off"] = Field(
        default="warn", description="What happens to a day that is unlike the table's own last 28 days."
    )
    landed: LandedSpec = LandedSpec()
    source: SourceSpec | None = Field(
        default=None,
        description="A query whose rows are this table. Empty: files arrive by themselves, or by `source.py`.",
    )
    file_limits: FileLimits = FileLimits()
    columns: dict[str, ColumnSpec] = Field(description="Its columns by name.")

    @property
    def format(self) -> Format:
        """The format of the landed files."""
        return landed_format(self.landed, self.source)

    @property
    def file_names(self) -> FileNames:
        """What the landed files are called."""
        daily = self.kind == "daily"
        return file_names(landed_pattern(self.landed, self.source, daily=daily), daily, self.landed.complete)

    @property
    def optional_columns(self) -> frozenset[str]:
        """Columns that a landed file may lack. Their values are then null."""
        return frozenset(name for name, column in self.columns.items() if not column.required)

    @property
    def earlier_names(self) -> dict[str, str]:
        """The columns by the names that they had before."""
        return _by_earlier_name(self.columns)

    @property
    def personal(self) -> frozenset[str]:
        """Columns whose values are of persons."""
        return frozenset(name for name, column in self.columns.items() if column.personal)


class LabelSpec(Frozen):
    """What is predicted: a SQL expression over a validated table, joined to the entities by the pipeline's key.

    ``mature_after_days``: a partition's performance is final when so many later partitions are validated.
    """

    table: str = Field(description="Daily table of outcomes, with the pipeline's key.")
    expression: str = Field(
        description="SQL over a row of that table. Null means no label; a binary label is true or false, 1 or 0."
    )
    mature_after_days: int = Field(
        default=1,
        ge=0,
        le=LONGEST_DAYS,
        description="After how many days all labels of a day should have arrived. Then its performance is final.",
    )
    counts: Literal["newest", "first"] = Field(
        default="newest",
        description="Which outcome of a key counts: the newest that was known at the time, or the first. With first, a "
        "later one goes to quarantine.",
    )


class FeatureSpec(Frozen):
    """One feature column. A ``category`` is encoded by a table stored with the model."""

    kind: Literal["number", "category"] = Field(
        default="number", description="A number, or a text of which the model knows the values of its training."
    )
    doc: str = Field(description="What a value means, with its unit.")
    renamed_from: EarlierNames = ()


def _by_earlier_name(columns: "Mapping[str, ColumnSpec] | Mapping[str, FeatureSpec]") -> dict[str, str]:
    return {earlier: name for name, column in columns.items() for earlier in column.renamed_from}


class FeaturesSpec(Frozen):
    """``lookback_days`` bounds what a day's features may read, so that a day costs the same every day."""

    lookback_days: int = Field(
        ge=1, le=400, description="How many partitions before a day its features may read: the longest window, or more."
    )
    columns: dict[Name, FeatureSpec] = Field(description="The features by name. `build()` returns each of them.")

    @property
    def earlier_names(self) -> dict[str, str]:
        """The features by the names that they had before."""
        return _by_earlier_name(self.columns)

    @property
    def categories(self) -> list[str]:
        """Names of the categorical features."""
        return [name for name, column in self.columns.items() if column.kind == "category"]
