"""The operators of what is of no day: upkeep, and a replay of mended rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrail.config.settings import settings
from contrail.errors import SpecError
from contrail.files import scratch
from contrail_airflow.operators.stage import NEW_RUN, StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class MaintainOperator(StageOperator):
    """Run ``contrail maintain`` for a pipeline. A retry goes on where a killed attempt stopped.

    Args:
        dry_run: Templated; nothing is removed when it renders to anything.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): its result. ``details`` says what went, place by place.
    """

    template_fields: Sequence[str] = (*StageOperator.template_fields, "dry_run")

    def __init__(self, *, dry_run: str = "", **kwargs: Any) -> None:
        # Messages name the day on which it ran.
        day = "{{ dag_run.run_after.date() }}"
        super().__init__(verb="maintain", partition_from=day, partition_to=day, **kwargs)
        self.dry_run = dry_run

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        return ["maintain", "--pipeline", self.pipeline, "--json", *(["--dry-run"] if self.dry_run.strip() else [])]


class ReplayOperator(StageOperator):
    """Run ``contrail replay`` for mended rows of a table. A retry goes on where a killed attempt stopped.

    Args:
        table: Templated; the landed table.
        rows: Templated; the mended rows as CSV. Empty: ``sql`` has them.
        sql: Templated; SQL that mends them.
        reason: Templated; why.
        person: Templated; who.
        dry_run: Templated; nothing changes when it renders to anything.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): its result. ``details`` says what was mended, and what became of it.
    """

    template_fields: Sequence[str] = (
        *StageOperator.template_fields,
        *("table", "rows", "sql", "reason", "person", "dry_run"),
    )

    def __init__(
        self,
        *,
        table: str,
        rows: str = "",
        sql: str = "",
        reason: str = "",
        person: str = "",
        dry_run: str = "",
        **kwargs: Any,
    ) -> None:
        # Messages name the day on which it ran.
        day = "{{ dag_run.run_after.date() }}"
        super().__init__(verb="replay", partition_from=day, partition_to=day, **kwargs)
        self.table, self.rows, self.sql = table, rows, sql
        self.reason, self.person, self.dry_run = reason, person, dry_run
        self._file = Path("rows.csv")

    def execute(self, context: "Context") -> dict[str, Any]:
        """Write the rows to a file of this machine, which no log shows, and run the command on it."""
        folder = settings().home_path / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        with scratch("replay-", folder) as own:
            self._file = own / "rows.csv"
            self._file.write_text(self.rows)
            return super().execute(context)

    def command(self, run_id: str) -> list[str]:
        """The arguments of ``contrail`` that do this task."""
        given = ["--file", str(self._file)] if self.rows.strip() else []
        given += ["--sql", self.sql] if self.sql.strip() else []
        who = ["--reason", self.reason, "--person", self.person]
        dry = ["--dry-run"] if self.dry_run.strip() else []
        of = ["--pipeline", self.pipeline, "--table", self.table]
        return ["replay", *of, *given, *who, "--run-id", run_id, "--json", *dry]

    def again(self, code: int) -> str:
        """What is wrong comes from the form, so a cleared task would be given it again."""
        return NEW_RUN if code == SpecError.exit_code else super().again(code)
