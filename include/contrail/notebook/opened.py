"""A pipeline that a notebook has opened: what can be read of it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from contrail.config.names import listed
from contrail.config.pipeline import Pipeline, default_pipeline, load_pipeline
from contrail.config.settings import settings
from contrail.errors import MissingInputError
from contrail.lake import readers
from contrail.lake.datasets import PARTITION
from contrail.lake.history import HistoryEntry
from contrail.lake.lake import Lake
from contrail.lake.views import Wanted, shown, source_of, unknown_table
from contrail.notebook.models import Decision, Model
from contrail.notebook.rows import Rows
from contrail.operations.decisions import decision_of
from contrail.operations.receipt import Receipt, receipt_of
from contrail.operations.why import Why, why
from contrail.partitions import Partitions, parse_moment
from contrail.reports.fragments import table_html
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted

Moment = str | date | datetime
Days = str | date | Partitions


def open_pipeline(name: str | None = None) -> "OpenPipeline":
    """Open a pipeline; see ``contrail.open``."""
    pipeline = load_pipeline(default_pipeline(name))
    return OpenPipeline(pipeline, Lake(settings(), pipeline.name))


class OpenPipeline:
    """A pipeline to read from: its tables, its models, their decisions, and the receipt of each prediction.

    Values of persons are pseudonyms, as in ``contrail query``, unless you ask with ``personal=True``.

    Example:
        >>> parcels.tables["predictions_latest"]
        'Late parcels: the predictions of the newest predicted day.'
        >>> parcels.columns("performance")["auc"]
        'Area under the ROC curve. Null when the labels have only one class.'
    """

    def __init__(self, pipeline: Pipeline, lake: Lake) -> None:
        self._pipeline, self._spec, self._lake = pipeline, pipeline.spec, lake
        self.name = pipeline.name

    @property
    def tables(self) -> dict[str, str]:
        """What can be read, and what a row of it is. A table that does not exist yet has no rows."""
        return {name: dataset.doc for name, dataset in shown(self._spec).items()}

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table, and what each means.

        Raises:
            SpecError: for an unknown table, with the nearest one.
        """
        known = shown(self._spec)
        if table not in known:
            raise unknown_table(self._spec, table, known)
        return {name: column.doc for name, column in known[table].columns.items()}

    def table(
        self,
        name: str,
        *,
        days: Days | None = None,
        columns: Sequence[str] | None = None,
        snapshot: int | None = None,
        as_of: Moment | None = None,
        personal: bool = False,
    ) -> Rows:
        """Open a table or a view. The rows are read when they are asked for; see ``Rows``.

        Args:
            name: One of ``tables``, or a table that was moved away.
            days: Partitions: a date, or a range such as ``2024-03-01..2024-03-07``. No file of the others is opened.
            columns: Those that you want. Default: all.
            snapshot: The table as it was at this snapshot; ``history`` lists them.
            as_of: The table as it was at this time, UTC. A date is its midnight, when the day begins.
            personal: Show the values of persons.

        Raises:
            SpecError: for an unknown table, with the nearest one, or an unknown column.
            MissingInputError: for days without rows, and for a snapshot that does not exist or has expired.

        Example:
            >>> parcels.table("predictions", days="2024-03-01..2024-03-02").arrow().num_rows
            120
            >>> first = parcels.history("predictions")[-1]
            >>> parcels.table("predictions", snapshot=first.snapshot).arrow().num_rows == first.rows
            True
            >>> parcels.table("predictions", as_of="2000-01-01").arrow().num_rows
            0
        """
        known = {*shown(self._spec), *self._lake.table_names()}
        if name not in known:
            raise unknown_table(self._spec, name, known)
        source, moment = source_of(self._spec, name), _moment(as_of)
        wanted = Wanted(as_of=moment, snapshots={} if snapshot is None else {source: snapshot}, personal=personal)
        where, partitions = "", _partitions(days)
        if partitions is not None:
            self._check_days(name, source, partitions, snapshot, moment)
            where = f" WHERE {PARTITION} BETWEEN DATE '{partitions.start}' AND DATE '{partitions.end}'"
            if name == source:
                wanted = Wanted(wanted.as_of, wanted.snapshots, {name: partitions}, personal)
        chosen = listed(columns) if columns else "*"
        at = (
            f" at snapshot {snapshot}"
            if snapshot is not None
            else f" as of {moment:%Y-%m-%d %H:%M} UTC"
            if moment
            else ""
        )
        title = f"{name} of {self.name}{at}{f', {partitions}' if partitions else ''}"
        return Rows(self._lake, self._spec, f"SELECT {chosen} FROM {listed([name])}{where}", wanted, title)

    def sql(self, query: str, *, as_of: Moment | None = None, personal: bool = False) -> Rows:
        """Ask in SQL, as ``contrail query`` does: every table is a view. Any statement that reads will do.

        Raises:
            SpecError: if the statement is wrong or does not only read.

        Example:
            >>> parcels.sql("SELECT decision, count(*) AS parcels FROM predictions GROUP BY 1 ORDER BY 1").columns
            {'decision': 'BOOLEAN', 'parcels': 'BIGINT'}
        """
        return Rows(
            self._lake, self._spec, query, Wanted(as_of=_moment(as_of), personal=personal), f"{self.name}: {query}"
        )

    def history(self, table: str) -> list[HistoryEntry]:
        """List the snapshots of a table, newest first: when, how many rows, which run and code, from which inputs.

        Raises:
            MissingInputError: if the table does not exist.
        """
        return self._lake.history(table)

    def model(self, ref: str | int = "champion") -> Model:
        """Read a model by its alias (``champion``, ``challenger``, ``latest``) or its version.

        Raises:
            MissingInputError: when there is no such model, with the command to run.
            SpecError: when it does not fit the pipeline as it is now.
        """
        return Model(fitted(self._spec, model_of(self._lake.settings, self._lake, str(ref))))

    def decision(self, ref: str | int = "champion") -> Decision:
        """Read the newest decision on a version, by its alias or number.

        Raises:
            MissingInputError: when there is no such version, or nobody has judged it.
        """
        return Decision(decision_of(self._lake.settings, self.name, str(ref)))

    def receipt(self, day: str | date, *, personal: bool = False, **key: object) -> Receipt:
        """Find one prediction and what made it, and compute its score again.

        Args:
            day: Its partition.
            personal: Show the values of reasons that are personal.
            key: Values of columns of the key, as many as name one prediction.

        Raises:
            SpecError: when the key has no such column, or the values name several predictions.
            MissingInputError: when there is no such prediction.

        Example:
            >>> receipt = parcels.receipt("2024-03-01", parcel=7)
            >>> receipt.model.version, receipt.scoring.stage, receipt.reasons[0].feature
            ('1', 'score', 'depot')
            >>> receipt.same
            True
        """
        return receipt_of(self._pipeline, self._lake, _day(day), key, personal)

    def why(
        self, day: str | date | None = None, *, as_of: Moment | None = None, personal: bool = False, **key: object
    ) -> Why:
        """Find all that made a prediction: each score that was published, its parts, and its source rows.

        Args:
            day: Its partition. None: the newest on which the key has a prediction.
            as_of: Answer for what readers saw at this time, UTC.
            personal: Show the values of persons.
            key: Values of columns of the key, as many as name one prediction.

        Raises:
            SpecError, MissingInputError: as ``receipt``.

        Example:
            >>> answer = parcels.why("2024-03-01", parcel=7)
            >>> len(answer.published), answer.same
            (1, True)
        """
        on = None if day is None else _day(day)
        return why(self._lake, self._pipeline, key, on, _moment(as_of), personal)

    def __repr__(self) -> str:
        return (
            f"{self.name}: {self._spec.title}. Tables: .tables; rows: .table(…), .sql(…); "
            "also .model(…), .decision(…), .receipt(…), .why(…)"
        )

    def _repr_html_(self) -> str:
        return table_html(f"{self.name}: {self._spec.title}", ("table", "what a row is"), self.tables.items())

    def _check_days(
        self, name: str, source: str, days: Partitions, snapshot: int | None, moment: datetime | None
    ) -> None:
        at = readers.snapshot_at(self._lake, source, moment) if snapshot is None else snapshot
        if at is not None and self._lake.made_of(source, days, at):
            return
        has = self._lake.ends(source) if snapshot is None and moment is None else None
        raise MissingInputError(
            f"{self.name}: {name} has no rows of {days}{f'; it has {has}' if has else ''}. "
            f"To see which command comes next: contrail status --pipeline {self.name}"
        )


def _moment(given: Moment | None) -> datetime | None:
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    if isinstance(given, date):
        return datetime.combine(given, time.min, UTC)
    return parse_moment(given, "as_of")


def _partitions(given: Days | None) -> Partitions | None:
    if given is None or isinstance(given, Partitions):
        return given
    return Partitions(given, given) if isinstance(given, date) else Partitions.from_text(given)


def _day(given: str | date) -> date:
    return given if isinstance(given, date) else Partitions.parse(given).start
