"""The DAG ``replay``: rows of the quarantine that a person mended end where they would have been."""

from airflow.sdk import DAG, Param

from contrail.config.pipeline import parse_pipeline
from contrail.config.spec import PipelineSpec
from contrail_airflow.dags.policy import dag, start
from contrail_airflow.operators.upkeep import ReplayOperator

# Airflow keeps a form in its database, and a page sends it whole. For more rows there is the command.
MOST_CHARACTERS = 500_000


def replay(pipeline: str) -> DAG:
    """One task, started by a person, from the form or from the page Contrail."""
    spec = parse_pipeline(pipeline).spec
    with dag(
        spec, "replay", stages=[],
        schedule=None, start_date=start(spec), max_active_runs=1, params=_params(spec),
        is_paused_upon_creation=False,  # it has no schedule, and who starts it expects that it starts
    ) as made:  # fmt: skip
        ReplayOperator(
            task_id="replay",
            pipeline=pipeline,
            table="{{ params.table }}",
            rows="{{ params.rows or '' }}",
            sql="{{ params.sql or '' }}",
            reason="{{ params.reason or '' }}",
            person="{{ dag_run.triggering_user_name or 'unknown' }}",
            dry_run="{{ 'yes' if params.dry_run else '' }}",
        )
    return made


def _params(spec: PipelineSpec) -> dict[str, Param]:
    """The form of a replay."""
    return {
        "table": Param(
            next(iter(spec.tables)), type="string", enum=list(spec.tables), title="Table",
            description="The landed table that the rows belong to.",
        ),
        "rows": Param(
            None, type=["null", "string"], format="multiline", maxLength=MOST_CHARACTERS, title="Mended rows, as CSV",
            description="With _file and _line of each row, as the page Contrail gives them under Data, Kept aside. Columns "
            f"that are left out stay as they landed. At most {MOST_CHARACTERS:,} characters; for more, use contrail replay.",
        ),
        "sql": Param(
            None, type=["null", "string"], format="multiline", maxLength=MOST_CHARACTERS, title="Or SQL that mends them",
            description="One SELECT from quarantined, with _file, _line and the columns that change.",
        ),
        "reason": Param(
            type="string", minLength=1, title="Reason", description="Why the rows were mended, for the record.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Say what would change, and change nothing."
        ),
    }  # fmt: skip
